"""Broker servers of a run's own, from the programs that this machine has: to be killed for real."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from barber.errors import SettingsError
from barber.standalone.children import end_group, end_with_parent, last_line
from barber.standalone.postgres import free_port

RABBITMQ_DATA = "data"  # in the server's folder: what outlives its death
START_S = 120.0  # RabbitMQ takes its time on a busy machine


class BrokerServer(ABC):
    """A server in a folder of its own, on a port of its own, from `__enter__` to `__exit__`.

    Args:
        folder: Created when missing.
    """

    name: str
    programs: Sequence[str]  # names or paths, the first of which that is there is run
    greeting: bytes  # what the server answers when it is ready

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that BARBER_BROKER_URL takes."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program with its arguments."""

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    @property
    def pid(self) -> int | None:
        """The server's process, which leads a session of its own; None while it is down."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process else None

    def __enter__(self) -> Self:
        """Starts the server and waits until it answers.

        Raises:
            SettingsError: It is not installed, or does not start.
        """
        self._command()  # before anything is written: the program may not be there
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch()
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self.pid is None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise SettingsError(f"{self.name} does not start: {last_line(self._log)}")
            time.sleep(0.1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            end_group(self._process.pid)
            self._process.wait()

    def launch(self) -> None:
        """Starts the server, again on the same port and data, and does not wait for it."""
        if self.pid is not None:
            return
        if self._process is not None:
            end_group(self._process.pid)  # what is left of the one that was killed
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )

    def answers(self) -> bool:
        """Whether the server serves."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as line:
            line.settimeout(2)
            line.sendall(self.greeting)
            return bool(line.recv(1))
        return False

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"


class Redis(BrokerServer):
    """A Redis that keeps nothing on the disk: killed, it has lost all messages."""

    name = "Redis"
    programs = ("redis-server", "valkey-server")
    greeting = b"PING\r\n"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        return [_found(self.programs), *where, "--appendonly", "no", "--save", ""]


class RabbitMQ(BrokerServer):
    """A RabbitMQ node: killed, it comes back with its durable queues and messages."""

    name = "RabbitMQ"
    # Debian's /usr/sbin/rabbitmq-server changes the user; the script behind it does not.
    programs = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
    greeting = b"AMQP\x00\x00\x09\x01"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names_port, self._node_port = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def _command(self) -> list[str]:
        return [_found(self.programs)]

    def _environment(self) -> dict[str, str]:
        (self.folder / "plugins").write_text("[].\n")
        # One core is enough, and quiet schedulers leave the other processes theirs.
        flags = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        return {
            **super()._environment(),
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": f"barber{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / RABBITMQ_DATA),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": flags,
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._end_names()

    def _end_names(self) -> None:
        """The node's name server is a daemon of its own session; it goes when no node is left."""
        epmd = shutil.which("epmd")
        if epmd is None:
            return
        for _ in range(40):
            done = subprocess.run(
                [epmd, "-kill"], env=self._environment(), capture_output=True, timeout=10
            )
            if b"Killed" in done.stdout + done.stderr or b"Cannot connect" in done.stderr:
                return
            time.sleep(0.25)


SERVERS: dict[str, type[BrokerServer]] = {"rabbitmq": RabbitMQ, "redis": Redis}


def _found(programs: Sequence[str]) -> str:
    for name in programs:
        if program := shutil.which(name):
            return program
    raise SettingsError(
        f"{Path(programs[0]).name} is not installed: install it, or leave --broker out for the "
        "folder of messages"
    )

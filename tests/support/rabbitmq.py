"""A RabbitMQ node of the test run's own, in a temporary folder, on free ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from kombu import Connection

from barber.standalone.postgres import free_port
from tests.support.brokers import Broker, not_installed

# Debian's /usr/sbin/rabbitmq-server changes the user; the script behind it does not.
CANDIDATES = ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server") or "")
START_S = 90


class RabbitMQ(Broker):
    """A single node; what is durable survives `kill`."""

    def __init__(self) -> None:
        found = next((path for path in CANDIDATES if path and Path(path).exists()), None)
        self._server = found or not_installed("rabbitmq-server")
        self._folder = Path(tempfile.mkdtemp(prefix="barber-mq-"))
        port, epmd_port = free_port(), free_port()
        self._environment = _environment(self._folder, port, epmd_port)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._server],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _wait_for(self.url, self._process, self._folder / "log")

    def kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=20)

    def wipe(self) -> None:
        shutil.rmtree(self._folder / "data")

    def remove(self) -> None:
        if self._process is not None:
            self.kill()
            _end_name_server(self._environment)
        shutil.rmtree(self._folder, ignore_errors=True)


def _environment(folder: Path, port: int, epmd_port: int) -> dict[str, str]:
    (folder / "plugins").write_text("[].\n")
    # One core is enough, and quiet schedulers leave the other processes theirs.
    flags = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"barber{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": flags,
    }


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with Connection(url, connect_timeout=2) as connection:
                connection.connect()
        except (OSError, *Connection(url).connection_errors):
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"RabbitMQ did not start:\n{log.read_text()[-3000:]}")


def _end_name_server(environment: dict[str, str]) -> None:
    """The node's name server is a daemon in a session of its own; it goes when no node is left."""
    for _ in range(20):
        done = subprocess.run(
            ["epmd", "-kill"], env=environment, check=False, capture_output=True, timeout=10
        )
        if b"Killed" in done.stdout + done.stderr:
            return
        time.sleep(0.25)

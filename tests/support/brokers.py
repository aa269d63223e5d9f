"""Every broker that the system supports, as servers that a test may kill, restart and rob.

A folder, RabbitMQ, Redis and Valkey. A program that is not installed skips its tests, and fails
them where CI says that all are there.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest
from kombu.exceptions import ChannelError


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


def broker_of(name: str, home: Path) -> Broker:
    """The broker of that name, not yet started; `home` is that of the system's settings."""
    from tests.support.rabbitmq import RabbitMQ
    from tests.support.redis_server import RedisServer, valkey_program

    match name:
        case "filesystem":
            return FolderBroker(home)
        case "rabbitmq":
            return RabbitMQ()
        case "redis":
            return RedisServer(shutil.which("redis-server"), "redis-server")
        case "valkey":
            return RedisServer(valkey_program(), "valkey-server")
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

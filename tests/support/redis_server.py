"""A Redis server of the test run's own, which keeps nothing, on a free port."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from barber.standalone.postgres import free_port

START_S = 30


@contextmanager
def redis() -> Iterator[str]:
    """Starts a server; yields its address. Skips without the program: no default uses it."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [program, *arguments], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(timeout=20)


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
    pytest.fail("Redis did not start")

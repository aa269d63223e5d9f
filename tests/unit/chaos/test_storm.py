"""Which servers of somebody's own a storm kills, and which it refuses to touch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from barber.chaos.faults import FaultKind
from barber.chaos.rules import ChaosRules
from barber.chaos.run import ChaosOptions, strangers
from barber.chaos.storm import Storm
from barber.errors import SettingsError
from barber.settings import Settings
from barber.standalone.postgres import free_port

NOWHERE = "postgresql+psycopg2://"
LISTENS = """
import socket, time
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    time.sleep(60)
"""


@contextmanager
def somebodys_server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that listens where a broker would, and its address."""
    command = [sys.executable, "-c", LISTENS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, f"redis://127.0.0.1:{int(process.stdout.readline())}/0"
        finally:
            process.kill()


def storm_over(home: Path, broker: str, **changes: Any) -> Storm:
    """A storm of the one kind; there are no workers to hit."""
    options = ChaosOptions(
        home=home, broker=broker, kinds=[FaultKind.KILL_BROKER], rules=ChaosRules(), **changes
    )
    settings = Settings(database_url=NOWHERE, home=home, broker_url=broker)
    idle = SimpleNamespace(settings=settings, pids={}, tend=lambda: None, stopping=False)
    return Storm(
        cast(Any, idle),
        broker=None,
        strangers=strangers(options, settings),
        kinds=options.kinds,
        every_s=0.1,
        seed=0,
        say=lambda _: None,
    )


def test_servers_of_somebodys_own_are_killed_when_asked_for_and_else_not(tmp_path: Path) -> None:
    with somebodys_server() as (server, url):
        patient = storm_over(tmp_path, url)
        assert not patient.rage_until(lambda: server.poll() is not None, limit_s=1)
        assert not patient.counts

        asked = storm_over(tmp_path, url, kill_servers=True)
        assert asked.rage_until(lambda: server.poll() is not None, limit_s=20)
        assert asked.counts == {FaultKind.KILL_BROKER: 1}
        assert not asked.rage_until(lambda: False, limit_s=1), "a server that is away is waited for"
        assert asked.counts == {FaultKind.KILL_BROKER: 1}


def test_a_server_that_cannot_be_killed_is_refused_before_anything_is_hit(tmp_path: Path) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(SettingsError, match="finds no process of yours behind your broker"):
        storm_over(tmp_path, nobody, kill_servers=True)

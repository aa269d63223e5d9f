"""A fleet of pretended workers, as real processes: started, restarted, drained, ended together."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from barber.settings import Settings
from barber.standalone import fleet
from barber.standalone.fleet import Fleet, FleetOptions

URL = "postgresql+psycopg2://u:p@127.0.0.1:1/none"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "WORKER_MODULE", "pretend_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "support"))
    monkeypatch.setattr(fleet, "LAST_WORD_S", 0.2)
    monkeypatch.setattr(fleet, "FIRST_PAUSE_S", 0.02)


class Run:
    """A fleet that is told to stop by a signal to this process once a fact holds."""

    def __init__(self, home: Path, *devices: str) -> None:
        self.home, self.said = home, list[str]()
        settings = Settings(database_url=URL, home=home, drain_s=0.3)
        options = FleetOptions(devices=devices, queues="gpu", name="w")
        self.fleet = Fleet(settings, options, environ=os.environ, say=self.said.append)
        self.pids: dict[str, int | None] = {}

    def until(self, fact: Any) -> int:
        """Runs until `fact()`, or until the fleet ends by itself; returns the exit code."""
        over = threading.Event()

        def stop() -> None:
            deadline = time.monotonic() + PATIENCE_S
            while not over.wait(0.02) and not fact() and time.monotonic() < deadline:
                pass
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

        watcher = threading.Thread(target=stop)
        watcher.start()
        try:
            return self.fleet.run()
        finally:
            over.set()
            watcher.join()

    def starts(self) -> list[str]:
        path = self.home / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def up(self, device: str) -> bool:
        return (self.home / f"{device}.up").exists()


def test_workers_of_all_devices_end_together_in_good_order(tmp_path: Path) -> None:
    run = Run(tmp_path, "cpu", "cpu")
    assert run.until(lambda: len(run.starts()) == 2 and run.up("cpu")) == 0
    assert sorted(run.starts()) == [
        "cpu --queues gpu --name w-cpu",
        "cpu --queues gpu --name w-cpu-2",
    ]
    assert run.said[-1] == "stopped"


def test_worker_that_does_not_drain_is_ended_by_force_and_told(tmp_path: Path) -> None:
    run = Run(tmp_path, "cuda:0")
    assert run.until(lambda: run.up("cuda:0")) == 1
    assert run.said[-1] == "stopped; ended by force: w"
    assert any("running stages wait for their leases" in line for line in run.said)


def test_worker_that_dies_is_started_again_after_longer_and_longer_waits(tmp_path: Path) -> None:
    run = Run(tmp_path, "cuda:2", "cpu")
    run.until(lambda: len(run.starts()) >= 5)
    assert "w-cuda2 ended with code 70; it starts again in 0 s" in run.said
    assert sum(line.startswith("cuda:2") for line in run.starts()) >= 3


def test_one_that_refuses_leaves_the_others_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, "cuda:1", "cpu")
    refused = "w-cuda1 does not start; it starts again in 300 s"
    assert run.until(lambda: refused in run.said and run.up("cpu")) == 0
    assert sum(line.startswith("cuda:1") for line in run.starts()) == 1


def test_fleet_of_which_all_refuse_ends_by_itself(tmp_path: Path) -> None:
    assert Run(tmp_path, "cuda:1").until(lambda: False) == fleet.REFUSED_CODE


def test_second_signal_hurries(tmp_path: Path) -> None:
    run = Run(tmp_path, "cuda:0")
    run.fleet._settings = Settings(database_url=URL, home=tmp_path, drain_s=600)
    twice = iter([False, True])

    def fact() -> bool:
        if not run.up("cuda:0"):
            return False
        if not next(twice):
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        return True

    began = time.monotonic()
    assert run.until(fact) == 1
    assert time.monotonic() - began < PATIENCE_S

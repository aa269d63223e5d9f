"""Faults hit whom they may hit, and what lasts is undone for everybody."""

from __future__ import annotations

import random
import resource
import subprocess
import time

import psutil

from barber.chaos import faults
from barber.chaos.faults import FaultKind, Target

DICE = random.Random(0)


def limit(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_FSIZE)[0]


def test_servers_of_others_are_not_hit() -> None:
    guests = set(faults.possible(Target(pids={"gpu-1": 1}, messages=None)))
    ours = {FaultKind.KILL_POSTGRES, FaultKind.KILL_BROKER}
    folder = {FaultKind.BROKER_AWAY, FaultKind.BROKER_EMPTIED}
    assert guests == set(FaultKind) - ours - folder
    everything = Target(pids={"gpu-1": 1, "postgres": 2, "broker": 3}, messages=None)
    assert set(faults.possible(everything)) == set(FaultKind) - folder


def test_room_on_the_disk_comes_back_for_children_started_meanwhile() -> None:
    parent = subprocess.Popen(["sh", "-c", "read x; sleep 60 & wait"], stdin=subprocess.PIPE)
    assert parent.stdin is not None
    try:
        before = limit(parent.pid)
        blow = faults.deal(
            FaultKind.DISK_FULL, Target(pids={"gpu-1": parent.pid}, messages=None), DICE
        )
        assert limit(parent.pid) == 0
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        deadline = time.monotonic() + 30
        while not (children := psutil.Process(parent.pid).children()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert limit(children[0].pid) == 0
        assert blow is not None
        assert blow.undo is not None
        blow.undo()
        assert (limit(parent.pid), limit(children[0].pid)) == (before, before)
    finally:
        for process in [*psutil.Process(parent.pid).children(), parent]:
            process.kill()
        parent.stdin.close()
        parent.wait()


def test_a_killed_broker_of_ours_is_started_again() -> None:
    launched: list[bool] = []
    server = subprocess.Popen(["sleep", "60"], start_new_session=True)
    target = Target(
        pids={"broker": server.pid}, messages=None, launch_broker=lambda: launched.append(True)
    )
    blow = faults.deal(FaultKind.KILL_BROKER, target, DICE)
    assert server.wait(timeout=20) == -9
    assert blow is not None
    assert blow.undo is not None
    blow.undo()
    assert launched == [True]

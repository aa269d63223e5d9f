"""What a chaos run does to the running system, and how each thing is undone.

Every fault is real: signals to the processes, files taken away, a limit that makes writes fail.
"""

from __future__ import annotations

import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import psutil

Undo = Callable[[], None]


class FaultKind(StrEnum):
    """The faults; the value is what reports call them."""

    KILL_CHILD = "pool child killed"
    KILL_WORKER = "whole worker killed"
    KILL_DISPATCHER = "dispatcher killed"
    KILL_CONSOLE = "console killed"
    KILL_POSTGRES = "Postgres killed"
    KILL_BROKER = "broker killed"
    BROKER_AWAY = "broker away"
    BROKER_EMPTIED = "broker emptied"
    STALL = "worker stalled past its lease"
    DISK_FULL = "disk full"


# How often each comes up, and for how long it lasts (in leases; 0: one blow).
WEIGHTS: dict[FaultKind, tuple[int, float]] = {
    FaultKind.KILL_CHILD: (6, 0),
    FaultKind.KILL_WORKER: (4, 0),
    FaultKind.KILL_DISPATCHER: (3, 0),
    FaultKind.KILL_CONSOLE: (1, 0),
    FaultKind.KILL_POSTGRES: (1, 0),
    FaultKind.KILL_BROKER: (3, 1.0),
    FaultKind.BROKER_AWAY: (2, 1.0),
    FaultKind.BROKER_EMPTIED: (2, 0),
    FaultKind.STALL: (3, 2.5),
    FaultKind.DISK_FULL: (2, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The running system, as a fault sees it."""

    pids: dict[str, int]  # by name; workers are gpu-1, gpu-2, .. and cpu-1
    messages: Path | None  # folder of the filesystem broker; None with another broker
    launch_broker: Undo | None = None  # starts our own broker again; None when others do


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A fault that was dealt."""

    kind: FaultKind
    whom: str
    undo: Undo | None = None  # None: one blow, nothing to undo


def possible(target: Target) -> list[FaultKind]:
    """The faults that can be dealt here."""
    found = list(FaultKind)
    if "postgres" not in target.pids:
        found.remove(FaultKind.KILL_POSTGRES)  # not ours to kill
    if "broker" not in target.pids:
        found.remove(FaultKind.KILL_BROKER)
    if target.messages is None:
        found.remove(FaultKind.BROKER_AWAY)
        found.remove(FaultKind.BROKER_EMPTIED)
    return found


def deal(kind: FaultKind, target: Target, dice: random.Random) -> Blow | None:
    """Deals one fault; None when whom it would hit is just not there."""
    workers = sorted(name for name in target.pids if name.startswith(("gpu-", "cpu-")))
    match kind:
        case FaultKind.KILL_DISPATCHER | FaultKind.KILL_CONSOLE | FaultKind.KILL_POSTGRES:
            name = kind.value.split()[0].lower()
            return _kill(kind, name, target.pids.get(name))
        case FaultKind.KILL_BROKER:
            own = target.launch_broker is not None
            blow = _kill(kind, "broker", target.pids.get("broker"), group=own)
            return replace(blow, undo=target.launch_broker) if blow else None
        case FaultKind.KILL_WORKER:
            name = dice.choice(workers)
            return _kill(kind, name, target.pids[name], group=True)
        case FaultKind.KILL_CHILD:
            name = dice.choice(workers)
            return _kill(kind, name, _child(target.pids[name]))
        case FaultKind.STALL:
            name = dice.choice(workers)
            return _stall(name, _child(target.pids[name]))
        case FaultKind.DISK_FULL:
            return _fill([target.pids[name] for name in workers])
        case FaultKind.BROKER_AWAY:
            assert target.messages is not None
            return _take_away(target.messages)
        case FaultKind.BROKER_EMPTIED:
            assert target.messages is not None
            return _empty(target.messages)


def _kill(kind: FaultKind, name: str, pid: int | None, *, group: bool = False) -> Blow | None:
    if pid is None:
        return None
    try:
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return Blow(kind=kind, whom=name)


def _stall(name: str, pid: int | None) -> Blow | None:
    """The child stands still while its lease runs out, then goes on as if nothing had been."""
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return None

    def undo() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return Blow(kind=FaultKind.STALL, whom=name, undo=undo)


def _fill(roots: list[int]) -> Blow | None:
    """Every write of the workers fails, as on a disk without room (the error is EFBIG)."""
    limited = [_limit_files(pid, 0) for root in roots for pid in _family(root)]
    if not any(limited):
        return None

    def undo() -> None:
        # The families as they are now: a child that was started meanwhile inherited the limit.
        for pid in [pid for root in roots for pid in _family(root)]:
            _limit_files(pid, None)

    return Blow(kind=FaultKind.DISK_FULL, whom="workers", undo=undo)


def _limit_files(pid: int, size: int | None) -> bool:
    """Limits how large files a process may write; None lifts that. False when it is gone."""
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        soft = hard if size is None else size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _take_away(messages: Path) -> Blow | None:
    aside = messages.with_name(f"{messages.name}-away")
    try:
        messages.rename(aside)
    except FileNotFoundError:
        return None

    def undo() -> None:
        with suppress(FileNotFoundError):
            for message in list(messages.glob("*")) if messages.exists() else []:
                message.replace(aside / message.name)
            if messages.exists():
                messages.rmdir()
            aside.rename(messages)

    return Blow(kind=FaultKind.BROKER_AWAY, whom="broker", undo=undo)


def _empty(messages: Path) -> Blow | None:
    if not messages.exists():
        return None
    for message in messages.glob("*"):
        message.unlink(missing_ok=True)
    return Blow(kind=FaultKind.BROKER_EMPTIED, whom="broker")


def _child(pid: int) -> int | None:
    """The pool child of a worker; None while it has none."""
    family = _family(pid)[1:]
    # The spawned child is the one that runs our code; multiprocessing's tracker stands beside it.
    return family[-1] if family else None


def _family(pid: int) -> list[int]:
    """A process and what it started, oldest first."""
    try:
        process = psutil.Process(pid)
        children = sorted(process.children(recursive=True), key=lambda p: p.create_time())
    except psutil.Error:
        return []
    return [pid, *(child.pid for child in children)]

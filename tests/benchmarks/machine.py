"""What a measurement was made on, and CPU time: figures that a busy machine does not spoil."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil


def words() -> str:
    """The machine and its load, for people."""
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {psutil.cpu_count()} CPUs ({platform.machine()}), "
        f"Python {platform.python_version()}, load {load:.1f} from this and other work"
    )


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of a process and its descendants, the ended and waited-for included."""

    pid: int

    def seconds(self) -> float:
        try:
            root = psutil.Process(self.pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0.0
        return sum(map(_seconds, family))


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)

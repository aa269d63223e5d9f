"""Which devices a machine has, and which of them workers are to run on. Without torch itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from barber.errors import InputError, SettingsError

CPU = "cpu"
PROBE_S = 120.0  # importing torch and waking a driver may take a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that networks can run on."""

    name: str  # "cpu", "cuda:0", ..
    model: str = ""
    memory_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({self.model})" if self.model else self.name


def find_devices() -> list[Device]:
    """Asks torch in a process that ends at once.

    Raises:
        SettingsError: Torch cannot be loaded, or does not answer.
    """
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "barber.models.devices"],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=True,
        )
        return [Device(**facts) for facts in json.loads(asked.stdout)]
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        reason = said[-1] if said else f"code {error.returncode}"
        raise SettingsError(f"torch cannot tell the devices of this machine: {reason}") from error
    except (subprocess.TimeoutExpired, ValueError, TypeError) as error:
        raise SettingsError(f"torch cannot tell the devices of this machine: {error}") from error


def choose(
    asked: Sequence[str],
    *,
    everything: bool,
    find: Callable[[], Sequence[Device]] = find_devices,
) -> list[str]:
    """The devices to run workers on, one process each; a name that comes twice gets two.

    Args:
        asked: By name; `cuda` is the first CUDA device.
        everything: Every CUDA device instead, or the processor where there is none.
        find: Tells what the machine has; called only when that matters.

    Raises:
        InputError: A device does not exist; those that do are named.
        SettingsError: Nobody can tell.
    """
    if everything:
        gpus = [device.name for device in find() if device.name != CPU]
        return gpus or [CPU]
    names = ["cuda:0" if name == "cuda" else name for name in asked]
    if all(name == CPU for name in names):
        return names
    found = find()
    missing = next((name for name in names if name not in {d.name for d in found}), None)
    if missing is not None:
        there = ", ".join(map(str, found))
        raise InputError(f"there is no device {missing!r} on this machine: it has {there}")
    return names

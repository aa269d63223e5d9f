"""The devices of this machine that networks can run on; `python -m barber.models.devices` as JSON.

A process of its own asks: who only wants their names need not hold torch, nor a device.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from barber.errors import SettingsError


def devices() -> list[dict[str, Any]]:
    """Each with `name`; a CUDA device also with its `model` and `memory_bytes`."""
    found: list[dict[str, Any]] = [{"name": "cpu"}]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            found.append(
                {
                    "name": f"cuda:{number}",
                    "model": facts.name,
                    "memory_bytes": int(facts.total_memory),
                }
            )
    return found


def check_device(name: str) -> torch.device:
    """The device of that name; `cuda` is the first CUDA device.

    Raises:
        SettingsError: This machine has none; those that it has are named.
    """
    names = [device["name"] for device in devices()]
    name = "cuda:0" if name == "cuda" else name
    if name not in names:
        raise SettingsError(f"BARBER_DEVICE is {name!r}: this machine has {', '.join(names)}")
    return torch.device(name)


if __name__ == "__main__":
    json.dump(devices(), sys.stdout)

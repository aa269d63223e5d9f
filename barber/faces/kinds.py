"""Hair by its everyday name: settings of the hair's parameters, for sheets, tests and demos."""

from __future__ import annotations

from dataclasses import fields, replace

from barber.errors import InputError
from barber.faces.parameters import FaceParams, HairShape

_PLAIN = {
    "growth": 3.0,
    "length": 0.30,
    "side_volume": 0.09,
    "top_volume": 0.07,
    "flare": 0.02,
    "round_ends": 0.16,
    "hairline": -0.39,
    "fringe": 0.02,
    "parting": 0.05,
    "sweep": 0.0,
    "cover": 0.36,
    "wave": -0.5,
    "curl": -0.5,
    "coil": -0.5,
    "tie": -0.5,
    "layers": 0.5,
}
HAIR_KINDS: dict[str, dict[str, float]] = {
    "bald": {"growth": -0.5},
    "shaved": {"growth": 1.0},
    "short": {"length": -0.10, "top_volume": 0.06, "side_volume": 0.05, "fringe": 0.05},
    "bob": {"length": 0.36, "round_ends": 0.20, "side_volume": 0.12},
    "long": {"length": 0.80, "fringe": -0.02},
    "parted": {"length": 0.70, "parting": 0.09, "fringe": -0.09, "cover": 0.33},
    "fringe": {"length": 0.48, "fringe": 0.16, "layers": 0.4},
    "swept": {"length": 0.10, "sweep": 0.28, "fringe": 0.08, "parting": -0.12},
    "waves": {"length": 0.75, "wave": 1.0, "side_volume": 0.14, "fringe": -0.05},
    "curls": {"length": 0.60, "curl": 1.0, "wave": 0.3, "side_volume": 0.15, "top_volume": 0.10},
    "afro": {
        "coil": 1.0,
        "length": 0.15,
        "side_volume": 0.18,
        "top_volume": 0.15,
        "round_ends": 0.30,
        "flare": 0.0,
    },
    "tied back": {"tie": 1.0, "length": 0.60, "fringe": -0.05},
}


def with_hair(person: FaceParams, kind: str) -> FaceParams:
    """The person with hair of that kind; its colour stays.

    Raises:
        InputError: There is no such kind.
    """
    if kind not in HAIR_KINDS:
        raise InputError(f"no hair is called {kind}: choose {', '.join(HAIR_KINDS)}")
    return replace(person, hair=HairShape(**(_PLAIN | HAIR_KINDS[kind])))


def at_share(person: FaceParams, group: str, name: str, share: float) -> FaceParams:
    """The person with one parameter at a share of its range: 0 its low end, 1 its high end."""
    part = getattr(person, group)
    span = next(entry.metadata for entry in fields(part) if entry.name == name)
    value = span["low"] + share * (span["high"] - span["low"])
    return replace(person, **{group: replace(part, **{name: value})})

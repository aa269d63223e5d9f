"""The demo's people and its eight jobs: portraits, a table, and the truth about each composite."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barber.faces.renderer import (
    FaceParams,
    face_params,
    render,
    sample_z,
    true_composite,
    true_face_swap,
)
from barber.pixels import Pixels, encode_png

# Seeds of people whose hair differs in length, shape and colour.
PEOPLE = {"ada": 3, "bea": 40, "cleo": 56, "dora": 52}
BROKEN = "broken"  # a file that stops in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoJob:
    """One row of the demo's table; each name is a person, or empty."""

    name: str
    identity: str
    hair: str = ""
    colour: str = ""
    face: str = ""

    def inputs(self) -> list[tuple[str, str]]:
        """What each portrait gives, and whose it is."""
        gives = [("identity", self.identity), ("hair", self.hair)]
        gives += [("colour", self.colour), ("face", self.face)]
        return [(what, who) for what, who in gives if who]

    def truth(self, size: int) -> Pixels:
        """What the composite would be if the renderer drew it."""
        identity = person(self.identity)
        if self.face:
            return true_face_swap(identity, person(self.face), size=size).pixels
        colour = person(self.colour) if self.colour else None
        hair = person(self.hair or self.identity)
        return true_composite(identity, hair, colour, size=size).pixels


JOBS = (
    DemoJob(name="ada-with-beas-hair", identity="ada", hair="bea"),
    DemoJob(name="ada-with-cleos-hair", identity="ada", hair="cleo"),
    DemoJob(name="dora-with-beas-hair", identity="dora", hair="bea"),
    DemoJob(name="dora-with-beas-hair-in-cleos-colour", identity="dora", hair="bea", colour="cleo"),
    DemoJob(name="cleo-with-doras-hair", identity="cleo", hair="dora"),
    DemoJob(name="bea-in-doras-colour", identity="bea", colour="dora"),
    DemoJob(name="ada-with-doras-face", identity="ada", face="dora"),
    DemoJob(name="bea-with-a-broken-picture", identity="bea", hair=BROKEN),
)


def person(name: str) -> FaceParams:
    """The parameters of one of the people."""
    return face_params(sample_z(np.random.default_rng(PEOPLE[name]), 1)[0])


def portrait(name: str, size: int) -> Pixels:
    """The portrait of one of the people, uint8 [size, size, 3]."""
    return render(person(name), size).pixels


def write_demo(folder: Path, size: int) -> Path:
    """Writes the portraits, one of them cut short, and the table; returns the table's path.

    Args:
        folder: Created when missing.
        size: Side of the portraits in pixels.
    """
    pictures = folder / "portraits"
    pictures.mkdir(parents=True, exist_ok=True)
    for name in PEOPLE:
        (pictures / f"{name}.png").write_bytes(encode_png(portrait(name, size)))
    whole = (pictures / "bea.png").read_bytes()
    (pictures / f"{BROKEN}.png").write_bytes(whole[: len(whole) // 3])
    table = folder / "demo.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "identity", "hair", "colour", "face"])
        for job in JOBS:
            people = (job.identity, job.hair, job.colour, job.face)
            writer.writerow([job.name, *(f"portraits/{p}.png" if p else "" for p in people)])
    return table

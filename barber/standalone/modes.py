"""Every way in which a composition can be asked for, each with people who show it and its truth.

The modes are those of method 16: hair in shape and colour, face swaps, single features, a beard,
several references at once. The people are drawn, so the true composite of each mode can be drawn
too; the renderer never sees what the method made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from barber.faces.parameters import COLOUR_GROUPS, BeardColour
from barber.faces.renderer import (
    FACE_SETS,
    PIECES,
    FaceParams,
    face_params,
    render,
    sample_z,
    true_mixture,
)
from barber.labels import Area, parse_region
from barber.pixels import Pixels
from barber.spec import JobSpec, PortraitKey, RegionEdit, StageParams

_FACE = ("head", *FACE_SETS["face"])  # the outline too
# What a word moves among what the renderer draws.
PARTS: dict[str, tuple[str, ...]] = {
    "hair": ("hair", "hair_colour"),
    "beard": FACE_SETS["beard"],
    "eyes-and-brows": FACE_SETS["eyes-and-brows"],
    "features": FACE_SETS["features"],
    "face": _FACE,
    "face+ears": (*_FACE, "ears"),
    "face+glasses": (*_FACE, "glasses"),
    "brows": FACE_SETS["brows"],
    "eyes": FACE_SETS["eyes"],
    "mouth": FACE_SETS["mouth"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody on the sheet, clean-shaven or with a full beard."""

    seed: int  # of the drawn person
    beard: BeardColour | None = None

    @property
    def params(self) -> FaceParams:
        drawn = face_params(sample_z(np.random.default_rng(self.seed), 1)[0])
        full = 1.0 if self.beard else -1.0
        grown = replace(drawn.beard, growth=full, moustache=full, reach=0.02)
        return replace(drawn, beard=grown, beard_colour=self.beard or drawn.beard_colour)

    def portrait(self, size: int) -> Pixels:
        """uint8 [size, size, 3]."""
        return render(self.params, size).pixels


# Chosen by eye: faces that differ in skin, eyes, brows and mouth, hair in length and colour.
PEOPLE: dict[str, Person] = {
    "ada": Person(seed=3),
    "bea": Person(seed=40),
    "cleo": Person(seed=56),
    "dora": Person(seed=52),
    "eve": Person(seed=10),
    "fred": Person(seed=50, beard=BeardColour(light=0.02, red=0.01)),
    "gus": Person(seed=19, beard=BeardColour(light=0.35, red=0.16)),
    "hana": Person(seed=23),
    "ines": Person(seed=44),
    "kim": Person(seed=9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One region of a mode; shape and colour are names of people."""

    region: str  # in the words of tables and of the command
    shape: str
    colour: str

    @property
    def area(self) -> Area:
        return parse_region(self.region)


def edit(region: str, shape: str, colour: str | None = None) -> Edit:
    """A region from one person, or its shape from one and its colour from another."""
    return Edit(region=region, shape=shape, colour=colour or shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One row of the sheet."""

    title: str
    identity: str
    edits: tuple[Edit, ...] = ()

    def spec(
        self, keys: Mapping[str, PortraitKey], *, bundle: str, params: StageParams, seed: int = 0
    ) -> JobSpec:
        """The job that makes the mode; `keys` are the portraits' by person."""
        return JobSpec(
            identity=keys[self.identity],
            regions=tuple(
                RegionEdit(
                    labels=each.area.labels,
                    zone=each.area.zone,
                    structure=keys[each.shape],
                    appearance=keys[each.colour],
                )
                for each in self.edits
            ),
            bundle=bundle,
            params=params,
            seed=seed,
        )

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who takes part, the identity first."""
        givers = (name for each in self.edits for name in (each.shape, each.colour))
        return tuple(dict.fromkeys([self.identity, *givers]))

    def gives(self, name: str) -> str:
        """What somebody gives besides the identity, in words."""
        words = []
        for each in self.edits:
            if each.shape == each.colour == name:
                words.append(each.region)
            elif each.shape == name:
                words.append(f"{each.region} shape")
            elif each.colour == name:
                words.append(f"{each.region} colour")
        return ", ".join(words)

    def truth(self, size: int) -> Pixels:
        """The composite as the renderer draws it, uint8 [size, size, 3]."""
        givers: dict[str, FaceParams] = {}
        for each in self.edits:
            givers |= _givers(each)
        return true_mixture(PEOPLE[self.identity].params, givers, size=size).pixels


def _givers(each: Edit) -> dict[str, FaceParams]:
    """Who gives each group of a region: shapes one person, colours another."""
    shape, colour = PEOPLE[each.shape].params, PEOPLE[each.colour].params
    both = replace(shape, skin=colour.skin)  # ears come with a skin
    return {
        name: colour if name in COLOUR_GROUPS else both if name in PIECES else shape
        for name in PARTS[each.region]
    }


MODES: tuple[Mode, ...] = (
    Mode(title="nothing: the identity, reconstructed", identity="ada"),
    Mode(title="hair", identity="ada", edits=(edit("hair", "bea"),)),
    Mode(title="hair shape and colour", identity="ada", edits=(edit("hair", "bea", "cleo"),)),
    Mode(title="hair shape only", identity="ada", edits=(edit("hair", "bea", "ada"),)),
    Mode(title="hair colour only", identity="ada", edits=(edit("hair", "ada", "cleo"),)),
    Mode(title="eyes and brows", identity="ada", edits=(edit("eyes-and-brows", "eve"),)),
    Mode(title="features", identity="ada", edits=(edit("features", "dora"),)),
    Mode(title="whole face", identity="ada", edits=(edit("face", "eve"),)),
    Mode(title="whole face and ears", identity="ada", edits=(edit("face+ears", "eve"),)),
    Mode(title="whole face and glasses", identity="ada", edits=(edit("face+glasses", "hana"),)),
    Mode(title="brows", identity="ada", edits=(edit("brows", "ines"),)),
    Mode(title="eyes", identity="ada", edits=(edit("eyes", "eve"),)),
    Mode(title="mouth", identity="ada", edits=(edit("mouth", "kim"),)),
    Mode(title="beard", identity="ada", edits=(edit("beard", "fred"),)),
    Mode(title="beard removed", identity="fred", edits=(edit("beard", "ada", "fred"),)),
    Mode(
        title="three references: hair, its colour, face",
        identity="ada",
        edits=(edit("hair", "bea", "cleo"), edit("face", "eve")),
    ),
    Mode(
        title="five references: hair, brows, eyes, mouth, beard",
        identity="ada",
        edits=(
            edit("hair", "bea"),
            edit("beard", "fred"),
            edit("brows", "ines"),
            edit("eyes", "eve"),
            edit("mouth", "kim"),
        ),
    ),
    Mode(
        title="order: a face, then one's own mouth",
        identity="ada",
        edits=(edit("face", "eve"), edit("mouth", "ada")),
    ),
)

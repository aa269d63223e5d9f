"""Every way in which a composition can be asked for, each with people who show it and its truth.

The modes are those of method 16: hair in shape and colour, face swaps, single features, a beard,
several references at once. The people are drawn, so the true composite of each mode can be drawn
too; the renderer never sees what the method made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from barber.faces.renderer import (
    FEATURES,
    Beard,
    FaceParams,
    Parts,
    draw,
    face_params,
    sample_z,
)
from barber.labels import Area, parse_region
from barber.pixels import Pixels
from barber.spec import JobSpec, PortraitKey, RegionEdit, StageParams

# What a word moves among the parts that the renderer draws.
PARTS: dict[str, tuple[str, ...]] = {
    "eyes-and-brows": ("eyes", "brows"),
    "features": FEATURES,
    "face": ("face", *FEATURES),
    "face+ears": ("face", "ears", *FEATURES),
    "face+glasses": ("face", "glasses", *FEATURES),
    "brows": ("brows",),
    "eyes": ("eyes",),
    "mouth": ("mouth",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody on the sheet."""

    seed: int  # of the drawn person
    beard: Beard | None = None

    @property
    def params(self) -> FaceParams:
        return face_params(sample_z(np.random.default_rng(self.seed), 1)[0])

    def portrait(self, size: int) -> Pixels:
        """uint8 [size, size, 3]."""
        return draw(Parts.of(self.params, self.beard), size).pixels


# Chosen by eye: faces that differ in skin, eyes, brows and mouth, hair in length and colour.
PEOPLE: dict[str, Person] = {
    "ada": Person(seed=8),
    "bea": Person(seed=35),
    "cleo": Person(seed=11),
    "dora": Person(seed=13),
    "eve": Person(seed=60),
    "fred": Person(seed=1, beard=Beard(light=0.05, red=0.04)),
    "gus": Person(seed=55, beard=Beard(light=0.35, red=0.22)),
    "hana": Person(seed=34),
    "ines": Person(seed=28),
    "kim": Person(seed=3),
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
        own = PEOPLE[self.identity]
        parts = Parts.of(own.params, own.beard)
        for each in self.edits:
            parts = _with(parts, each)
        return draw(parts, size).pixels


def _with(parts: Parts, each: Edit) -> Parts:
    shape, colour = PEOPLE[each.shape], PEOPLE[each.colour]
    if each.region == "hair":
        return replace(parts, hair=shape.params, hair_head=shape.params, colour=colour.params)
    if each.region == "beard":
        if shape.beard is None:
            return replace(parts, beard=None)
        dyed = colour.beard or shape.beard
        beard = replace(shape.beard, light=dyed.light, red=dyed.red)
        return replace(parts, beard=(beard, shape.params))
    giver = replace(shape.params, scene=colour.params.scene)
    changed = parts.given_by(giver, *PARTS[each.region])
    if "face" not in PARTS[each.region]:
        return changed
    return replace(changed, beard=None if shape.beard is None else (shape.beard, giver))


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

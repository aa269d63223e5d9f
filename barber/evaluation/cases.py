"""What is composed: portraits, and who gets whose hairstyle; drawn people or one's own pictures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from barber.errors import InputError
from barber.evaluation import people
from barber.evaluation.people import FaceParams, Rendering
from barber.labels import Region
from barber.photographs.picture import Picture
from barber.pixels import encode_png, portrait_key
from barber.spec import PortraitKey

LEAST_HAIR = 0.02  # share of a drawn portrait that must be hair before others can have it


class Stratum(StrEnum):
    """Whether the composite shall have more hair than the identity: removing is the harder part."""

    GROWS = "hair grows"
    SHRINKS = "hair shrinks"


class Experiment(StrEnum):
    """The two things that a run does with its portraits."""

    RECONSTRUCTION = "reconstruction"  # every portrait as a code and back
    TRANSFER = "transfer"  # every case composed

    def job(self, what: str, method: str) -> str:
        """The name of a job: of a portrait or case, by a method."""
        return f"{self}/{what}/{method}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One composite to be made."""

    name: str
    identity: PortraitKey
    hair: PortraitKey
    colour: PortraitKey  # the hair's own portrait when it keeps its colour
    stratum: Stratum | None = None  # None: found by the parser, once there are label maps

    @property
    def portraits(self) -> tuple[PortraitKey, ...]:
        """Everybody who takes part, each once."""
        return tuple(dict.fromkeys((self.identity, self.hair, self.colour)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything that a run composes and compares with."""

    source: str  # where the pictures come from, a phrase
    pictures: Mapping[PortraitKey, Picture] = field(repr=False)
    names: Mapping[PortraitKey, str]  # what to call each portrait
    cases: tuple[Case, ...]
    drawn: Mapping[PortraitKey, FaceParams] | None = field(repr=False, default=None)

    def truth(self, case: Case, size: int) -> Rendering | None:
        """The true composite, where it is known."""
        if self.drawn is None:
            return None
        identity, hair, colour = (self.drawn[k] for k in (case.identity, case.hair, case.colour))
        return people.composite(identity, hair, colour, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything."""

    images: int = 120
    pairs: int = 198  # A with the hairstyle of B
    triples: int = 0  # A with the hairstyle of B in the colour of C

    def check(self) -> None:
        """Raises InputError when so few images cannot make so many cases."""
        if self.pairs + self.triples < 1:
            raise InputError("nothing to compare: give --pairs or --triples from 1 up")
        least = 3  # of two no pair grows hair and another shrinks it: see below
        if self.images < least:
            raise InputError(f"--images {self.images}: at least {least} portraits are needed")
        # About half of all ordered pairs lie in either stratum, and some portraits have no hair.
        possible = self.images * (self.images - 1) // 4
        for name, count in (("pairs", self.pairs), ("triples", self.triples)):
            if count > possible:
                raise InputError(
                    f"--{name} {count} are too many for {self.images} portraits: give --images "
                    f"{_enough_images(count)} or --{name} {possible}"
                )


def _enough_images(count: int) -> int:
    return next(n for n in range(2, 1_000_000) if n * (n - 1) // 4 >= count)


def draw_material(seed: int, counts: Counts, size: int) -> Material:
    """Portraits of drawn people, and as many cases in which the hair grows as shrinks.

    Args:
        seed: Of the people and of who meets whom.
        counts: How many.
        size: Side of the portraits.

    Raises:
        InputError: The portraits do not make so many cases.
    """
    counts.check()
    drawn: dict[PortraitKey, FaceParams] = {}
    pictures: dict[PortraitKey, Picture] = {}
    hair: dict[PortraitKey, float] = {}
    names: dict[PortraitKey, str] = {}
    for number, person in enumerate(people.held_out(seed, counts.images), start=1):
        rendering = people.portrait(person, size)
        key = portrait_key(rendering.pixels)
        drawn[key], names[key] = person, f"person-{number:03d}"
        pictures[key] = _picture(key, names[key], rendering, size)
        hair[key] = float(np.mean(rendering.label_map == Region.HAIR))
    cases = (
        *_cases("pair", hair, counts.pairs, random.Random(f"pairs {seed}"), third=False),  # noqa: S311
        *_cases("triple", hair, counts.triples, random.Random(f"triples {seed}"), third=True),  # noqa: S311
    )
    return Material(
        source=f"people drawn by barber.faces, held out from training, seed {seed}",
        pictures=pictures,
        names=names,
        cases=cases,
        drawn=drawn,
    )


def _picture(key: PortraitKey, name: str, rendering: Rendering, size: int) -> Picture:
    return Picture(
        key=key,
        name=f"{name}.png",
        width=size,
        height=size,
        size=size,
        png=encode_png(rendering.pixels),
    )


def _cases(
    kind: str, hair: Mapping[PortraitKey, float], count: int, chance: random.Random, *, third: bool
) -> list[Case]:
    """Half of the cases from each stratum, in turn."""
    givers = [key for key, share in hair.items() if share >= LEAST_HAIR]
    pairs = [(a, b) for a in hair for b in givers if a != b and hair[a] != hair[b]]
    chance.shuffle(pairs)
    halves = {
        Stratum.SHRINKS: [(a, b) for a, b in pairs if hair[b] < hair[a]],
        Stratum.GROWS: [(a, b) for a, b in pairs if hair[b] > hair[a]],
    }
    cases = []
    for number in range(count):
        stratum = list(halves)[number % 2]
        if not halves[stratum]:
            raise InputError(
                f"these portraits make no more than {number} {kind}s with as many in which hair "
                f"grows as shrinks: give more --images or --{kind}s {number}"
            )
        identity, shape = halves[stratum].pop()
        others = [key for key in givers if key not in (identity, shape)]
        if third and not others:
            raise InputError("no third portrait shows hair: give more --images")
        colour = chance.choice(others) if third else shape
        name = f"{kind}-{number + 1:03d}"
        cases.append(Case(name=name, identity=identity, hair=shape, colour=colour, stratum=stratum))
    return cases


def used(cases: Sequence[Case]) -> tuple[PortraitKey, ...]:
    """Every portrait of some cases, each once, in order."""
    return tuple(dict.fromkeys(key for case in cases for key in case.portraits))

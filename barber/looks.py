"""What can be asked for in a hairdresser's words: which portraits it takes, and its regions.

A choice of faces and styles is the matrix of both: every face with every style.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from barber.errors import InputError
from barber.labels import parse_region
from barber.spec import PortraitKey, RegionEdit

T = TypeVar("T")


class Slot(StrEnum):
    """What a portrait is picked for; the face to change is another matter."""

    HAIR = "hair"
    COLOUR = "colour"
    FACE = "face"
    DETAIL = "detail"


SLOT_WORDS = {
    Slot.HAIR: "Hair from",
    Slot.COLOUR: "Colour from",
    Slot.FACE: "Face from",
    Slot.DETAIL: "Taken from",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One region of a look: whose shape, whose colour; None is the face's own."""

    region: str
    shape: Slot | None
    colour: Slot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One thing to ask for."""

    word: str  # for programs
    title: str
    says: str
    edits: tuple[Edit, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What must be picked, in the order of the page."""
        used = {slot for edit in self.edits for slot in (edit.shape, edit.colour)}
        return tuple(slot for slot in Slot if slot in used)

    def regions(
        self, identity: PortraitKey, picked: Mapping[Slot, PortraitKey]
    ) -> tuple[RegionEdit, ...]:
        """The regions for one face and one portrait in each slot."""

        def key(slot: Slot | None) -> PortraitKey:
            return identity if slot is None else picked[slot]

        areas = [parse_region(edit.region) for edit in self.edits]
        return tuple(
            RegionEdit(
                labels=area.labels,
                zone=area.zone,
                structure=key(edit.shape),
                appearance=key(edit.colour),
            )
            for area, edit in zip(areas, self.edits, strict=True)
        )


def _look(word: str, title: str, says: str, *edits: Edit) -> Look:
    return Look(word=word, title=title, says=says, edits=edits)


_HAIR, _COLOUR, _FACE, _DETAIL = Slot.HAIR, Slot.COLOUR, Slot.FACE, Slot.DETAIL
_FULL_HAIR = Edit("hair", _HAIR, _HAIR)

LOOKS: tuple[Look, ...] = (
    _look("hair", "Hair", "cut and colour from one picture", _FULL_HAIR),
    _look("hair-shape", "Cut only", "keeps their own colour", Edit("hair", _HAIR, None)),
    _look("hair-colour", "Colour only", "keeps their own cut", Edit("hair", None, _COLOUR)),
    _look(
        "hair-and-colour",
        "Cut and colour",
        "from two pictures",
        Edit("hair", _HAIR, _COLOUR),
    ),
    _look("face", "Face", "their hair with another face", Edit("face", _FACE, _FACE)),
    _look(
        "hair-and-face",
        "Hair and face",
        "from two pictures",
        _FULL_HAIR,
        Edit("face", _FACE, _FACE),
    ),
    _look(
        "hair-colour-and-face",
        "Cut, colour and face",
        "from three pictures",
        Edit("hair", _HAIR, _COLOUR),
        Edit("face", _FACE, _FACE),
    ),
    _look("beard", "Beard", "with its colour", Edit("beard", _DETAIL, _DETAIL)),
    _look("eyes-and-brows", "Eyes and brows", "", Edit("eyes-and-brows", _DETAIL, _DETAIL)),
    _look("lips", "Lips", "shape and colour", Edit("lips", _DETAIL, _DETAIL)),
    _look("lip-colour", "Lip colour", "keeps their own shape", Edit("lips", None, _DETAIL)),
    _look("glasses", "Glasses", "", Edit("glasses", _DETAIL, _DETAIL)),
)


def find_look(word: str) -> Look:
    """Raises InputError for a word that is none."""
    for look in LOOKS:
        if look.word == word:
            return look
    known = ", ".join(look.word for look in LOOKS)
    raise InputError(f"no look {word[:40]!r}: there are {known}")


def check_picked(look: Look, picked: Mapping[Slot, Sequence[T]]) -> None:
    """Raises InputError when a slot of the look is empty."""
    for slot in look.slots:
        if not picked.get(slot):
            raise InputError(f"{look.title} needs a portrait under “{SLOT_WORDS[slot]}”: pick one")


def matrix(
    faces: Sequence[T], look: Look, picked: Mapping[Slot, Sequence[T]]
) -> Iterator[tuple[T, dict[Slot, T]]]:
    """Every face with every combination of what was picked, but not with itself alone."""
    ways = [picked[slot] for slot in look.slots]
    for face, chosen in itertools.product(faces, itertools.product(*ways)):
        if any(each != face for each in chosen):
            yield face, dict(zip(look.slots, chosen, strict=True))


def matrix_size(faces: Sequence[T], look: Look, picked: Mapping[Slot, Sequence[T]]) -> int:
    """How many rows `matrix` would have at most, without making them."""
    total = len(faces)
    for slot in look.slots:
        total *= len(picked[slot])
    return total

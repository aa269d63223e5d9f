"""The face-parsing labels by name, their colours, and the areas of them that people ask for.

Source: shared label set of the official segmentation network (CelebAMask-HQ parts, left and right
merged); colours of the official visualisation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError

NOSE_EDGE_SHARE = 0.25  # of the nose's greatest width: how wide its lower edge still is


class Region(IntEnum):
    """One label of a label map; the value is the class index of the face parser."""

    BACKGROUND = 0
    SKIN = 1
    NOSE = 2
    EYEGLASSES = 3
    EYES = 4
    BROWS = 5
    EARS = 6
    MOUTH = 7
    UPPER_LIP = 8
    LOWER_LIP = 9
    HAIR = 10
    HAT = 11
    EARRING = 12
    NECKLACE = 13
    NECK = 14
    CLOTH = 15

    @property
    def word(self) -> str:
        """The name as people type it: lower case, words joined by a hyphen."""
        return self.name.lower().replace("_", "-")


REGION_COUNT = len(Region)


class LabelSet(StrEnum):
    """The classes that a face parser's weights were trained on."""

    REGIONS = "regions"  # the 16 of `Region`, in that order
    CELEBAMASK = "celebamask-19"  # left and right apart, in the order of `CELEBAMASK_CLASSES`


# The class order of the widespread CelebAMask-HQ parsers, by the data set's names of the parts.
CELEBAMASK_CLASSES: tuple[tuple[str, Region], ...] = (
    ("background", Region.BACKGROUND),
    ("skin", Region.SKIN),
    ("l_brow", Region.BROWS),
    ("r_brow", Region.BROWS),
    ("l_eye", Region.EYES),
    ("r_eye", Region.EYES),
    ("eye_g", Region.EYEGLASSES),
    ("l_ear", Region.EARS),
    ("r_ear", Region.EARS),
    ("ear_r", Region.EARRING),
    ("nose", Region.NOSE),
    ("mouth", Region.MOUTH),
    ("u_lip", Region.UPPER_LIP),
    ("l_lip", Region.LOWER_LIP),
    ("neck", Region.NECK),
    ("neck_l", Region.NECKLACE),
    ("cloth", Region.CLOTH),
    ("hair", Region.HAIR),
    ("hat", Region.HAT),
)


def class_labels(labels: LabelSet) -> tuple[Region, ...]:
    """Which region each class of a parser belongs to, in the order of its classes."""
    if labels is LabelSet.REGIONS:
        return tuple(Region)
    return tuple(region for _, region in CELEBAMASK_CLASSES)


COLOURS: dict[Region, tuple[int, int, int]] = {
    Region.BACKGROUND: (0, 0, 0),
    Region.SKIN: (102, 204, 255),
    Region.NOSE: (255, 204, 255),
    Region.EYEGLASSES: (255, 255, 153),
    Region.EYES: (255, 255, 153),
    Region.BROWS: (255, 255, 102),
    Region.EARS: (51, 255, 51),
    Region.MOUTH: (0, 153, 255),
    Region.UPPER_LIP: (0, 255, 255),
    Region.LOWER_LIP: (0, 255, 255),
    Region.HAIR: (204, 102, 255),
    Region.HAT: (0, 153, 255),
    Region.EARRING: (0, 255, 153),
    Region.NECKLACE: (0, 51, 0),
    Region.NECK: (102, 153, 255),
    Region.CLOTH: (255, 153, 102),
}


class Zone(StrEnum):
    """A part of the face that the labels do not part; found anew in every label map."""

    LOWER_FACE = "lower-face"  # below the nose's lower edge: beard, moustache, chin, jaw


# What may be taken from a zone: what lies in it. Hair of the head is never part of a beard.
ZONE_LABELS: dict[Zone, frozenset[Region]] = {
    Zone.LOWER_FACE: frozenset({Region.SKIN, Region.MOUTH, Region.UPPER_LIP, Region.LOWER_LIP})
}


def lower_face_rows(nose_width: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """The rows below the nose's lower edge; none where there is no nose.

    The edge is the lowest row on which the nose is more than a quarter as wide as on its widest:
    a speck of nose elsewhere does not move it. The 16 labels have no beard, so this is how the
    skin that can carry one is told from cheeks and forehead; portraits are aligned, so rows do.

    Args:
        nose_width: Pixels of nose on each row, [..., H].

    Returns:
        Bool of the same shape.
    """
    wide = nose_width > NOSE_EDGE_SHARE * nose_width.max(axis=-1, keepdims=True)
    at_or_below = np.logical_or.accumulate(wide[..., ::-1], axis=-1)[..., ::-1]
    below: NDArray[np.bool_] = ~at_or_below & wide.any(axis=-1, keepdims=True)
    return below


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What a region of a plan covers in a label map: its labels, everywhere or in one zone."""

    labels: tuple[Region, ...]  # ascending, at least one, never background
    zone: Zone | None = None

    def __post_init__(self) -> None:
        if not self.labels or Region.BACKGROUND in self.labels:
            raise InputError("a region needs at least one label, and background is not one")
        if tuple(sorted(set(self.labels))) != self.labels:
            raise InputError(f"region labels must be distinct and ascending, not {self.labels}")
        if self.zone is not None and not ZONE_LABELS[self.zone].issuperset(self.labels):
            known = ", ".join(label.word for label in sorted(ZONE_LABELS[self.zone]))
            raise InputError(
                f"the zone {self.zone} holds {known} and nothing else: make "
                f"{'+'.join(label.word for label in self.labels)} a region without it"
            )

    @property
    def words(self) -> str:
        """The area as people ask for it: a group's name, or the labels joined."""
        for name, group in GROUPS.items():
            if group == self:
                return name
        labels = "+".join(label.word for label in self.labels)
        return labels if self.zone is None else f"{labels} of the {self.zone}"

    @property
    def facts(self) -> list[int | str]:
        """What tells it from others in a digest; labels alone when there is no zone."""
        labels: list[int | str] = [int(label) for label in self.labels]
        return labels if self.zone is None else [*labels, str(self.zone)]


_MOUTH = (Region.MOUTH, Region.UPPER_LIP, Region.LOWER_LIP)
_FEATURES = (Region.NOSE, Region.EYES, Region.BROWS, *_MOUTH)

# Groups by the words of the paper's face-swap figure (method 16.4) and of hairdressers.
GROUPS: dict[str, Area] = {
    "hair": Area(labels=(Region.HAIR,)),
    "face": Area(labels=(Region.SKIN, *_FEATURES)),
    "features": Area(labels=_FEATURES),
    "eyes-and-brows": Area(labels=(Region.EYES, Region.BROWS)),
    "lips": Area(labels=_MOUTH),
    "mouth": Area(labels=_MOUTH),  # people mean all of it, not only what open lips show
    "beard": Area(labels=(Region.SKIN,), zone=Zone.LOWER_FACE),
    "glasses": Area(labels=(Region.EYEGLASSES,)),
}


def region_words() -> tuple[str, ...]:
    """Every word that names a region, groups first."""
    words = [region.word for region in Region if region is not Region.BACKGROUND]
    return tuple(dict.fromkeys([*GROUPS, *words]))


def parse_region(text: str) -> Area:
    """Reads "hair", "face", "beard" or "eyes+brows" as the area it names.

    A beard joins what lies in its zone ("beard+lips"), or skin that holds it already
    ("beard+face" is the face).

    Raises:
        InputError: A word is neither a group nor a region (the message lists what is), or a beard
            is joined to what lies outside its zone.
    """
    known = {region.word: Area(labels=(region,)) for region in Region if region.value} | GROUPS
    parts: list[Area] = []
    for word in (part.strip().lower().replace("_", "-") for part in text.split("+")):
        if word not in known:
            raise InputError(
                f"unknown region {word!r}: use one of {', '.join(region_words())}, joined by '+'"
            )
        parts.append(known[word])
    labels = tuple(sorted({label for part in parts for label in part.labels}))
    zone = next((part.zone for part in merge_areas(parts) if part.zone), None)
    if zone is not None and not ZONE_LABELS[zone].issuperset(labels):
        raise InputError(
            f"{text.strip()!r} joins a beard, which is the skin below the nose, with what lies "
            "elsewhere: make them two regions"
        )
    return Area(labels=labels, zone=zone)


def merge_areas(areas: Iterable[Area]) -> tuple[Area, ...]:
    """Distinct areas that cover the same: at most one without a zone, then one per zone."""
    everywhere: set[Region] = set()
    zoned: dict[Zone, set[Region]] = {}
    for area in areas:
        taken = everywhere if area.zone is None else zoned.setdefault(area.zone, set())
        taken.update(area.labels)
    found = [Area(labels=tuple(sorted(everywhere)))] if everywhere else []
    for zone in sorted(zoned):
        rest = tuple(sorted(zoned[zone] - everywhere))
        if rest:
            found.append(Area(labels=rest, zone=zone))
    return tuple(found)

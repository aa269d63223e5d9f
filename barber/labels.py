"""The face-parsing labels by name, their colours, and the groups people ask for.

Source: shared label set of the official segmentation network (CelebAMask-HQ parts, left and right
merged); colours of the official visualisation.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from barber.errors import InputError


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

# Groups by the words of the paper's face-swap figure (method 16.4) and of hairdressers.
GROUPS: dict[str, tuple[Region, ...]] = {
    "hair": (Region.HAIR,),
    "eyes-and-brows": (Region.EYES, Region.BROWS),
    "features": (
        Region.NOSE,
        Region.EYES,
        Region.BROWS,
        Region.MOUTH,
        Region.UPPER_LIP,
        Region.LOWER_LIP,
    ),
    "face": (
        Region.SKIN,
        Region.NOSE,
        Region.EYES,
        Region.BROWS,
        Region.MOUTH,
        Region.UPPER_LIP,
        Region.LOWER_LIP,
    ),
    "lips": (Region.MOUTH, Region.UPPER_LIP, Region.LOWER_LIP),
}


def parse_regions(text: str) -> tuple[Region, ...]:
    """Reads "hair", "face" or "eyes+brows" as the labels it names, in ascending order.

    Raises:
        InputError: A word is neither a group nor a region; the message lists what is.
    """
    labels: set[Region] = set()
    by_word = {region.word: region for region in Region}
    for word in (part.strip().lower().replace("_", "-") for part in text.split("+")):
        if word in GROUPS:
            labels.update(GROUPS[word])
        elif word in by_word and by_word[word] is not Region.BACKGROUND:
            labels.add(by_word[word])
        else:
            known = ", ".join(
                [*GROUPS, *(w for w in by_word if w not in GROUPS and w != "background")]
            )
            raise InputError(f"unknown region {word!r}: use one of {known}, joined by '+'")
    return tuple(sorted(labels))

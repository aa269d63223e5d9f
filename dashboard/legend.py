"""What the colours of a job's label maps stand for: only those that its maps show."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from barber.catalogue.store import Store
from barber.labels import COLOURS, Region
from dashboard.job_page import Layer

Colour = tuple[int, int, int]

KEPT: Final = 4096  # files of the store never change, so what was seen in one stays true
MOST_COLOURS: Final = 256  # a picture with more is no label map


def legend(layers: Iterable[Layer], store: Store) -> tuple[tuple[str, str], ...]:
    """The colours with the names of what they show, in the order of labels; some share one.

    A file that cannot be read adds nothing: the page has pictures to show all the same.
    """
    shown = {digest for layer in layers for digest in (layer.own, layer.mask) if digest}
    seen: set[Colour] = set()
    for digest in shown:
        try:
            seen |= _colours(store.path(digest))
        except OSError:
            continue
    named: dict[Colour, list[str]] = {}
    for region in Region:
        if COLOURS[region] in seen:
            named.setdefault(COLOURS[region], []).append(region.word)
    return tuple((f"rgb{colour}", ", ".join(words)) for colour, words in named.items())


@lru_cache(KEPT)
def _colours(path: Path) -> frozenset[Colour]:
    """Those of a picture."""
    with Image.open(path, formats=("PNG",)) as image:
        found = image.convert("RGB").getcolors(MOST_COLOURS)
    return frozenset(_rgb(colour) for _, colour in found or ())


def _rgb(colour: object) -> Colour:
    assert isinstance(colour, tuple)
    red, green, blue = colour
    return int(red), int(green), int(blue)

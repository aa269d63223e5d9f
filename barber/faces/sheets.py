"""Contact sheets of the renderer: people, kinds of hair, sweeps of parameters, true composites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from barber.errors import InputError
from barber.faces.kinds import HAIR_KINDS, at_share, with_hair
from barber.faces.parameters import KINDS, Z_DIM, FaceParams, face_params, sample_z
from barber.faces.renderer import (
    Rendering,
    render,
    true_composite,
    true_face_swap,
    true_mixture,
)
from barber.labels import COLOURS, Region
from barber.pixels import Pixels

_INK, _PAPER = (28, 30, 34), (252, 252, 250)
_GAP, _CAPTION = 6, 18
_PALETTE = np.array([COLOURS[region] for region in Region], dtype=np.uint8)
_TONES = (
    *((0.18, 0.04, 0.03), (0.42, 0.08, 0.05), (0.80, 0.04, 0.08)),
    *((0.40, 0.17, 0.06), (0.58, 0.10, 0.07)),
)
# Parameters that the sweeps show, one row each.
_SWEEPS = (
    *(("head", "face_width"), ("head", "jaw"), ("head", "turn"), ("eyes", "opening")),
    *(("eyes", "slant"), ("iris", "blue"), ("brows", "arch"), ("nose", "width")),
    *(("nose", "length"), ("mouth", "smile"), ("mouth", "gape"), ("lips", "red")),
    *(("beard", "growth"), ("skin", "light"), ("skin", "freckles"), ("scene", "light_x")),
    *(("hair", "growth"), ("hair", "length"), ("hair", "fringe"), ("hair", "parting")),
    *(("hair", "wave"), ("hair", "curl"), ("hair", "coil"), ("hair", "tie")),
    *(("hair_colour", "light"), ("hair_colour", "red"), ("hair_colour", "gloss")),
    *(("wear", "glasses"), ("wear", "hat"), ("wear", "earrings")),
)

_CLOSE = ("eyes", "iris", "brows", "nose", "mouth", "lips", "skin", "beard")
_SWEEP_HAIR = {
    "earrings": "tied back",
    "wave": "long",
    "curl": "long",
    "coil": "long",
    "tie": "long",
}
_ABSENT_BELOW_0 = (
    *("growth", "moustache", "freckles", "wave", "curl", "coil", "tie"),
    *("glasses", "earrings", "necklace", "hat"),
)

Tile = tuple[str, Pixels]


def _grid(tiles: Sequence[Tile], columns: int) -> Image.Image:
    """Pictures of one size in rows, each above its caption."""
    side = tiles[0][1].shape[0]
    wide, tall = side + _GAP, side + _CAPTION + _GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * tall + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (caption, pixels) in enumerate(tiles):
        x, y = _GAP + number % columns * wide, _GAP + number // columns * tall
        sheet.paste(Image.fromarray(pixels), (x, y))
        pen.text((x, y + side + 2), caption, fill=_INK, font=font)
    return sheet


def _colours(drawn: Rendering) -> Pixels:
    found: Pixels = _PALETTE[drawn.label_map]
    return found


def _people(seed: int, count: int) -> list[FaceParams]:
    return [face_params(code) for code in sample_z(np.random.default_rng(seed), count)]


def people_sheet(side: int) -> Image.Image:
    """Twenty-four people, each row above the row of their label maps."""
    drawn = [render(person, side) for person in _people(7, 24)]
    tiles: list[Tile] = []
    for start in range(0, len(drawn), 8):
        row = drawn[start : start + 8]
        tiles += [("", picture.pixels) for picture in row]
        tiles += [("", _colours(picture)) for picture in row]
    return _grid(tiles, 8)


def plain_person() -> FaceParams:
    """The middle of every range, wearing nothing, clean-shaven."""
    person = face_params(np.zeros(Z_DIM))
    wear = replace(person.wear, glasses=-1.0, earrings=-1.0, necklace=-1.0, hat=-1.0)
    beard = replace(person.beard, growth=-1.0, moustache=-1.0)
    return replace(person, wear=wear, beard=beard)


def hair_sheet(side: int) -> Image.Image:
    """Every kind of hair, in four colours."""
    tiles: list[Tile] = []
    for number, kind in enumerate(HAIR_KINDS):
        light, red, yellow = _TONES[number % len(_TONES)]
        person = with_hair(plain_person(), kind)
        colour = replace(person.hair_colour, light=light, red=red, yellow=yellow)
        tiles.append((kind, render(replace(person, hair_colour=colour), side).pixels))
    return _grid(tiles, 6)


def sweep_sheet(side: int) -> Image.Image:
    """Parameters from one end of what they do to the other in five steps, two to a row."""
    tiles: list[Tile] = []
    for group, name in _SWEEPS:
        kind = _SWEEP_HAIR.get(name, "bob")
        for step, share in enumerate(_shares(group, name)):
            person = at_share(with_hair(plain_person(), kind), group, name, share)
            caption = "" if step else f"{group}.{name}"
            tiles.append((caption, _seen(person, side, close=group in _CLOSE)))
    return _grid(tiles, 10)


def _shares(group: str, name: str) -> list[float]:
    """Five shares of the range; what is absent below 0 starts there."""
    span = next(f.metadata for f in fields(KINDS[group]) if f.name == name)
    low, high = span["low"], span["high"]
    end = 2.0 if (group, name) == ("hair", "growth") else high
    absent = name in _ABSENT_BELOW_0
    first = (-low if absent else 0.0) / (high - low)
    return [float(v) for v in np.linspace(first, (end - low) / (high - low), 5)]


def _seen(person: FaceParams, side: int, *, close: bool) -> Pixels:
    """The portrait, or the middle half of one twice as large."""
    if not close:
        return render(person, side).pixels
    top, left = int(0.86 * side), side // 2
    return render(person, 2 * side).pixels[
        top - side // 4 : top + side - side // 4, left : left + side
    ]


def truth_sheet(side: int) -> Image.Image:
    """True composites of three people for every kind of job, pictures above label maps."""
    tiles: list[Tile] = []
    for seed in (60, 9, 52):
        a, b, c = _people(seed, 3)
        drawn = [
            ("A", render(a, side)),
            ("B", render(b, side)),
            ("C", render(c, side)),
            ("hair of B", true_composite(a, b, size=side)),
            ("B's, on A's head", true_composite(a, b, size=side, convention="head")),
            ("of B, colour of C", true_composite(a, b, c, size=side)),
            ("shape of B only", true_composite(a, b, a, size=side)),
            ("colour of C only", true_composite(a, None, c, size=side)),
            ("eyes, brows of B", true_face_swap(a, b, size=side, region="eyes-and-brows")),
            ("features of B", true_face_swap(a, b, size=side, region="features")),
            ("face of B", true_face_swap(a, b, size=side)),
            (
                "hair B, mouth C",
                true_mixture(a, {"hair": b, "hair_colour": b, "mouth": c, "lips": c}, size=side),
            ),
        ]
        tiles += [(name, picture.pixels) for name, picture in drawn]
        tiles += [("", _colours(picture)) for _, picture in drawn]
    return _grid(tiles, 12)


def portrait_sheet(side: int) -> Image.Image:
    """Six people, large."""
    chosen = [_people(seed, 12)[number] for seed, number in ((6, 3), (12, 5), (101, 6), (6, 1))]
    chosen += [_people(seed, 12)[number] for seed, number in ((101, 4), (12, 2))]
    return _grid([("", render(person, side).pixels) for person in chosen], 3)


_SHEETS: dict[str, tuple[Callable[[int], Image.Image], int]] = {
    "portraits": (portrait_sheet, 384),
    "people": (people_sheet, 128),
    "hair": (hair_sheet, 200),
    "sweeps": (sweep_sheet, 110),
    "truths": (truth_sheet, 112),
}


def write_sheets(folder: Path) -> list[Path]:
    """Writes every sheet as `drawn-NAME.jpg` into a folder, made if missing; existing ones go.

    Raises:
        InputError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, (draw, side) in _SHEETS.items():
            path = folder / f"drawn-{name}.jpg"
            fresh = path.with_suffix(".part")
            draw(side).save(fresh, format="JPEG", quality=88, optimize=True)
            written.append(fresh.replace(path))
    except OSError as error:
        raise InputError(f"cannot write sheets into {folder}: {error}") from error
    return written

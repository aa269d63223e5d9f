"""The demo's contact sheet: what went in, what came out, what is true, how far apart they are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from barber.pixels import Pixels

TILE = 160  # side of a picture in pixels, unless told
GAP = 12
CAPTION = 20  # height of the line below a picture
TITLE = 28  # height of a row's heading
FIGURES = 190  # width of the column of figures
INK, PALE, PAPER, LINE = (28, 30, 34), (110, 114, 120), (252, 252, 250), (222, 222, 218)
RED = (176, 42, 36)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One job on the sheet."""

    title: str
    inputs: Sequence[tuple[str, Pixels | None]]  # caption and picture; None cannot be shown
    results: Sequence[tuple[str, Pixels]] = ()  # target mask, result, true composite
    figures: Sequence[str] = ()  # one line each
    refusal: str = ""  # why there is no result


def draw_sheet(heading: str, rows: Sequence[SheetRow], *, tile: int = TILE) -> Pixels:
    """Draws all rows below each other; inputs left, results right, figures beside them.

    Args:
        heading: Stands above.
        rows: At least one.
        tile: Side of a picture in pixels.

    Returns:
        uint8 [H, W, 3].
    """
    inputs = max(len(row.inputs) for row in rows)
    results = max((len(row.results) for row in rows), default=0)
    width = (inputs + results) * (tile + GAP) + 2 * GAP + FIGURES + GAP
    row_height = TITLE + tile + CAPTION + GAP
    image = Image.new("RGB", (width, 56 + row_height * len(rows)), PAPER)
    pen = _Pen(image, tile)
    pen.text((GAP, 14), heading, size=22)
    for number, row in enumerate(rows):
        pen.row(row, top=56 + number * row_height, results_at=GAP + inputs * (tile + GAP))
    return np.array(image, dtype=np.uint8)


class _Pen:
    """Draws on one image."""

    def __init__(self, image: Image.Image, side: int) -> None:
        self._image = image
        self._side = side
        self._draw = ImageDraw.Draw(image)

    def text(
        self,
        place: tuple[int, int],
        text: str,
        *,
        size: int = 14,
        colour: tuple[int, int, int] = INK,
    ) -> None:
        self._draw.text(place, text, fill=colour, font=ImageFont.load_default(size))

    def row(self, row: SheetRow, *, top: int, results_at: int) -> None:
        self._draw.line([(GAP, top), (self._image.width - GAP, top)], fill=LINE)
        self.text((GAP, top + 6), row.title, size=16)
        top += TITLE
        for number, (caption, picture) in enumerate(row.inputs):
            self._tile(GAP + number * (self._side + GAP), top, caption, picture)
        left = results_at + GAP
        for caption, picture in row.results:
            self._tile(left, top, caption, picture)
            left += self._side + GAP
        if row.refusal:
            lines = textwrap.wrap(f"refused: {row.refusal}", 48)
            self._lines(results_at + GAP, top, lines, colour=RED)
        self._lines(left, top, row.figures)

    def _lines(
        self, left: int, top: int, lines: Sequence[str], *, colour: tuple[int, int, int] = INK
    ) -> None:
        for number, line in enumerate(lines):
            self.text((left, top + 4 + 21 * number), line, colour=colour)

    def _tile(self, left: int, top: int, caption: str, picture: Pixels | None) -> None:
        side = self._side
        if picture is None:
            self._draw.rectangle([left, top, left + side - 1, top + side - 1], outline=LINE)
            self._draw.line([(left, top), (left + side - 1, top + side - 1)], fill=LINE)
        else:
            shown = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
            self._image.paste(shown, (left, top))
        self.text((left, top + side + 3), caption, size=12, colour=PALE)

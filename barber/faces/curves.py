"""The curves of a training as one drawing: the generator's PSNR and the parser's IoU. SVG."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from barber.errors import InputError
from barber.labels import Region

Points = Sequence[tuple[float, float]]  # thousands of images, score

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 300, 60, 190, 44, 40
COLOURS = (
    "#2f7d4f", "#b3541e", "#3a5fa0", "#8a3ffc", "#9f1853", "#5f6b00", "#007d79", "#a56eff",
    "#6f6f6f", "#ba4e00", "#005d5d", "#520408", "#198038", "#0043ce", "#740937", "#33302e",
)  # fmt: skip
TICKS = 5


def draw_curves(run: Path) -> str:
    """Draws what a run folder's curves say.

    Args:
        run: Holds generator.csv, and sharp.csv and parser.csv if those were trained.

    Raises:
        InputError: There are no curves.
    """
    generator = _read(run / "generator.csv")
    if not generator:
        raise InputError(f"{run} holds no generator.csv: name the folder of a training")
    sharp = [
        {**row, "images": row["images"] + generator[-1]["images"]}
        for row in _read(run / "sharp.csv")
    ]
    panels = [
        _panel(
            "Generator: PSNR of held-out people, dB",
            {
                f"{name}{kind}": _points(rows, column)
                for name, rows in (("trained", generator), ("sharpened", sharp))
                for kind, column in (("", "psnr_db"), (", mixed", "mixed_psnr_db"))
                if rows
            },
            0,
        )
    ]
    if parser := _read(run / "parser.csv"):
        named = {region.word: _points(parser, region.word) for region in Region}
        drawn = {name: points for name, points in named.items() if points}
        panels.append(_panel("Parser: IoU of held-out people", drawn, HEIGHT))
    height = HEIGHT * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(panels)}</svg>\n'
    )


def _read(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _points(rows: Sequence[Mapping[str, float]], column: str) -> Points:
    return [(row["images"] / 1000, row[column]) for row in rows if column in row]


def _panel(title: str, lines: Mapping[str, Points], top: int) -> str:
    """One set of axes, `top` pixels down, with each line named at its right."""
    most = max(x for points in lines.values() for x, _ in points)
    values = [y for points in lines.values() for _, y in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return LEFT + value / most * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return top + TOP + (high - value) / span * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="{top + 24}" font-size="15">{escape(title)}</text>']
    for k in range(TICKS + 1):
        value, images = low + k * span / TICKS, k * most / TICKS
        parts.append(
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
            f'<text x="{x(images):.1f}" y="{top + HEIGHT - 16}" text-anchor="middle">'
            f"{images:.0f}k</text>"
        )
    spread = _spread([y(points[-1][1]) for points in lines.values()], top)
    for (name, points), place, colour in zip(lines.items(), spread, COLOURS, strict=False):
        path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
        parts.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            f'<text x="{WIDTH - RIGHT + 8}" y="{place + 4:.1f}" fill="{colour}">'
            f"{escape(name)} {points[-1][1]:.3g}</text>"
        )
    return "".join(parts)


def _spread(wanted: Sequence[float], top: float, least: float = 14.0) -> list[float]:
    """Places for names near the wanted ones, in the same order, none over another or outside."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = list(wanted)
    room = top + HEIGHT - BOTTOM
    for k, index in reversed(list(enumerate(order))):
        placed[index] = room = min(placed[index], room)
        room -= least
        if room < top + TOP + k * least:  # no more than what the rest needs
            for rank, at in enumerate(order[: k + 1]):
                placed[at] = top + TOP + rank * least
            break
    return placed

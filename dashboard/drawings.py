"""How losses fell, as lines in a small picture: SVG paths that the server computes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from barber.catalogue.curves import CurveRow

WIDTH, HEIGHT = 320, 96  # of the picture's own units
INSET = 3.0  # so that a line at the edge is not cut
LINES = 6  # colours in console.css; further terms are told as numbers only


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One loss over the steps of a stage."""

    name: str  # "total", "lpips"
    path: str  # SVG path data; empty where it was never a number
    first: float
    last: float
    tone: int  # 0 is the total, 1.. its terms
    is_past: bool = False  # of an earlier attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """All losses of a stage; the height is logarithmic, the width the whole stage."""

    lines: tuple[Line, ...]
    borders: tuple[float, ...]  # x of where a phase ended
    top: float  # the loss at the upper edge
    bottom: float

    @property
    def total(self) -> Line:
        """The latest attempt's sum of losses."""
        return next(line for line in self.lines if line.tone == 0 and not line.is_past)

    @property
    def words(self) -> str:
        """What the picture says to those who do not see it."""
        return f"loss from {self.total.first:.3g} to {self.total.last:.3g}"


Points = Sequence[tuple[float, float]]  # how far the stage was, 0..1; the loss, above 0


def draw(curves: Sequence[CurveRow]) -> Drawing | None:
    """The drawing of a stage's attempts; None when nothing was told that can be drawn."""
    if not curves:
        return None
    latest, past = _series(curves[-1]), [_series(row).get("total", []) for row in curves[:-1]]
    everything = [p for points in (*latest.values(), *past) for p in points]
    if not latest.get("total"):
        return None
    top, bottom = max(y for _, y in everything), min(y for _, y in everything)
    terms = [name for name in latest if name != "total"][: LINES - 1]
    named = [("total", latest["total"], 0), *((n, latest[n], i + 1) for i, n in enumerate(terms))]
    lines = [_line(name, points, tone, top, bottom) for name, points, tone in reversed(named)]
    before = [_line("total", points, 0, top, bottom, is_past=True) for points in past if points]
    return Drawing(
        lines=(*before, *lines), borders=tuple(_borders(curves[-1])), top=top, bottom=bottom
    )


def _series(row: CurveRow) -> dict[str, list[tuple[float, float]]]:
    """Every loss of an attempt over all phases, total first."""
    found: dict[str, list[tuple[float, float]]] = {}
    for phase in row.phases:
        for point in phase.points:
            done = point[1] or 0.0
            for name, value in zip(phase.names, point[2:], strict=True):
                if value is not None and value > 0:
                    found.setdefault(name, []).append((done, value))
    return found


def _borders(row: CurveRow) -> Iterable[float]:
    for phase in row.phases[:-1]:
        yield round(WIDTH * float(phase.points[-1][1] or 0), 1)


def _line(
    name: str, points: Points, tone: int, top: float, bottom: float, *, is_past: bool = False
) -> Line:
    places = [f"{_x(done):.1f} {_y(value, top, bottom):.1f}" for done, value in points]
    if len(places) == 1:
        places *= 2  # a dot: the line's ends are round
    return Line(
        name=name,
        path="M" + "L".join(places),
        first=points[0][1],
        last=points[-1][1],
        tone=tone,
        is_past=is_past,
    )


def _x(done: float) -> float:
    return INSET + (WIDTH - 2 * INSET) * min(max(done, 0.0), 1.0)


def _y(value: float, top: float, bottom: float) -> float:
    """Losses fall by orders of magnitude, so each takes the same height."""
    span = math.log(top) - math.log(bottom)
    part = (math.log(top) - math.log(value)) / span if span > 0 else 0.5
    return INSET + (HEIGHT - 2 * INSET) * part

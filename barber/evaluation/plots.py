"""One metric of every method as a drawing: a dot per case, the mean and its interval. SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from barber.evaluation.cases import Stratum
from barber.evaluation.intervals import estimate
from barber.evaluation.summary import Metric

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 860, 46, 150, 30, 62, 44
TICKS = 6
COLOURS = {Stratum.GROWS: "#2f7d4f", Stratum.SHRINKS: "#b3541e"}
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # between ticks, times a power of ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From values to places on the drawing."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """An axis with round ticks that holds all values."""
        low, high = min(values), max(values)
        rough = max(high - low, 1e-3) / (TICKS - 1)
        scale = 10.0 ** _exponent(rough)
        step = next(s * scale for s in STEPS if s * scale >= rough * 0.999)
        first = int(low // step)
        last = int(-(-high // step))
        return cls(low=first * step, high=max(last, first + 1) * step, step=step)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + k * self.step for k in range(count + 1)]


def _exponent(value: float) -> int:
    """Of the power of ten at or below a positive value."""
    return int(f"{value:e}".partition("e")[2])


def dots(
    metric: Metric,
    values: Mapping[str, Mapping[Stratum, Sequence[float]]],
    *,
    stamp: str,
) -> str:
    """Draws a metric.

    Args:
        metric: What the numbers are.
        values: One number per case, by method and stratum; at least one number in all.
        stamp: What the numbers are of; stands below.
    """
    axis = Axis.around(
        [v for strata in values.values() for found in strata.values() for v in found]
    )
    height = TOP + ROW * len(values) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="600">{escape(metric.heading)}</text>',
        *_legend(values),
        *_ticks(axis, metric, height),
    ]
    for number, (method, strata) in enumerate(values.items()):
        top = TOP + number * ROW
        parts.append(f'<text x="12" y="{top + ROW / 2 + 4:.0f}">{escape(method)}</text>')
        for place, (stratum, found) in enumerate(strata.items(), start=1):
            y = top + ROW * place / (len(strata) + 1)
            parts += _row(axis, y, found, COLOURS[stratum])
    parts.append(
        f'<text x="12" y="{height - 6}" font-size="11" fill="#777">{escape(stamp)}</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _legend(values: Mapping[str, Mapping[Stratum, Sequence[float]]]) -> list[str]:
    shown = dict.fromkeys(stratum for strata in values.values() for stratum in strata)
    found, x = [], LEFT
    for stratum in shown:
        found.append(f'<circle cx="{x + 5}" cy="42" r="5" fill="{COLOURS[stratum]}"/>')
        found.append(f'<text x="{x + 16}" y="46">{escape(stratum)}</text>')
        x += 130
    note = "small: cases; large: mean and 95 % interval"
    return [*found, f'<text x="{x + 16}" y="46" fill="#777">{note}</text>']


def _ticks(axis: Axis, metric: Metric, height: int) -> list[str]:
    found = []
    digits = min(metric.digits, max(0, -_exponent(axis.step) + 1))
    for tick in axis.ticks():
        x = axis.x(tick)
        found.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - BOTTOM}" stroke="#ddd"/>'
            f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle" fill="#777">'
            f"{tick:.{digits}f}</text>"
        )
    return found


def _row(axis: Axis, y: float, found: Sequence[float], colour: str) -> list[str]:
    if not found:
        return []
    middle = estimate(found)
    path = "".join(f"M{axis.x(value):.1f} {y:.1f}h0" for value in found)
    parts = [
        f'<path d="{path}" stroke="{colour}" stroke-width="4" stroke-linecap="round" opacity=".4"/>'
    ]
    if middle.low is not None and middle.high is not None:
        parts.append(
            f'<line x1="{axis.x(middle.low):.1f}" y1="{y:.1f}" x2="{axis.x(middle.high):.1f}" '
            f'y2="{y:.1f}" stroke="{colour}" stroke-width="3"/>'
        )
    parts.append(f'<circle cx="{axis.x(middle.mean):.1f}" cy="{y:.1f}" r="5.5" fill="{colour}"/>')
    return parts

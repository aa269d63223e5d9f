"""How a stage's losses fall, kept small: enough steps to draw, however many there are."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the pool's parent imports this module, and torch only its child
    from barber.stages.descent import StepReport

MOST_POINTS = 80
TOTAL = "total"


@dataclass(slots=True)
class _Phase:
    phase: str
    steps: int
    names: tuple[str, ...]
    points: list[tuple[float | None, ...]] = field(default_factory=list)


class Curve:
    """Takes every step of one attempt in the stage's thread; is read in the heart's.

    When it has too many points it forgets every second one, and takes half as many from then on.
    The first and the latest step of a phase are always among those that are told.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most, self._stride, self._taken = most, 1, 0
        self._phases: list[_Phase] = []
        self._latest: tuple[float | None, ...] | None = None
        self._lock = threading.Lock()
        self.count = 0  # of all steps that it was told

    def add(self, report: StepReport) -> None:
        """Takes a step; one without losses is passed over."""
        if TOTAL not in report.losses:
            return
        names = (TOTAL, *sorted(report.losses.keys() - {TOTAL}))
        with self._lock:
            self.count += 1
            if not self._phases or self._phases[-1].phase != report.phase:
                self._end_phase()
                self._phases.append(_Phase(report.phase, report.steps, names))
            phase = self._phases[-1]
            losses = (_rounded(report.losses.get(name)) for name in phase.names)
            point = (report.step, round(report.done, 4), *losses)
            if not phase.points or self._taken % self._stride == 0:
                phase.points.append(point)
                self._thin()
            self._taken += 1
            self._latest = point

    def phases(self) -> list[dict[str, Any]]:
        """Plain data, as `catalogue.curves` keeps it."""
        with self._lock:
            told = [
                {"phase": p.phase, "steps": p.steps, "names": list(p.names), "points": [*p.points]}
                for p in (*self._phases[:-1], *self._current())
            ]
        return told

    def _current(self) -> list[_Phase]:
        """The phase under way, with its latest step."""
        if not self._phases or self._latest is None:
            return []
        phase = self._phases[-1]
        more = [] if phase.points[-1] == self._latest else [self._latest]
        return [replace(phase, points=[*phase.points, *more])]

    def _end_phase(self) -> None:
        """The last step of a phase stays, wherever the stride falls."""
        if self._phases and self._latest is not None:
            points = self._phases[-1].points
            if points[-1] != self._latest:
                points.append(self._latest)

    def _thin(self) -> None:
        if sum(len(phase.points) for phase in self._phases) <= self._most:
            return
        self._stride *= 2
        for phase in self._phases:
            phase.points[:] = phase.points[::2]


def _rounded(value: float | None) -> float | None:
    """Four digits are enough to draw; JSON has no word for infinity."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None

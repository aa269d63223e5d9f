"""Where a worker process ends itself on purpose, so that tests can watch the recovery.

`BARBER_FAILPOINT` lists points such as `align:before_finish` or `reconstruct:mid:fail`, with
commas between them. Each fires once per installation: a marker file in the home folder says so.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path

from barber.errors import SettingsError, StageError
from barber.plan import StageKind
from barber.settings import Settings


class Point(StrEnum):
    """A place in the run of a stage."""

    AFTER_CLAIM = "after_claim"
    MID = "mid"  # between two steps, past half of the work
    BEFORE_FINISH = "before_finish"  # files written, nothing recorded


class Effect(StrEnum):
    """What happens there."""

    KILL = "kill"  # SIGKILL to the own process
    STOP = "stop"  # SIGSTOP: a machine that stalls past its lease, until somebody continues it
    FAIL = "fail"  # a StageError, which no repeat follows


class Failpoints:
    """The points that are set, ready to be hit.

    Raises:
        SettingsError: The setting names no such point.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / "failpoints"
        self._effects: dict[tuple[StageKind, Point], Effect] = {}
        for text in filter(None, settings.failpoint.split(",")):
            kind, _, rest = text.partition(":")
            point, _, effect = rest.partition(":")
            try:
                self._effects[StageKind(kind), Point(point)] = Effect(effect or Effect.KILL)
            except ValueError as error:
                raise SettingsError(
                    f"BARBER_FAILPOINT names {text!r} ({error}): write stage:point or "
                    f"stage:point:effect with a point of {', '.join(Point)}"
                ) from error

    def hit(self, kind: StageKind, point: Point) -> None:
        """Does what is set for this point, unless it has been done before.

        Raises:
            StageError: The point's effect is `fail`.
        """
        effect = self._effects.get((kind, point))
        if effect is None or not self._first(f"{kind}-{point}"):
            return
        if effect is Effect.FAIL:
            raise StageError(f"failpoint {kind}:{point}", stage=kind)
        os.kill(os.getpid(), signal.SIGKILL if effect is Effect.KILL else signal.SIGSTOP)

    def _first(self, name: str) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            Path(self._folder, name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

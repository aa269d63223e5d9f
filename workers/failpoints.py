"""Where a worker process ends itself on purpose, so that tests can watch the recovery.

`BARBER_FAILPOINT` lists points such as `align:before_finish` or `reconstruct:mid:fail`, with
commas between them. Each fires once per installation: a marker file in the home folder says so.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from barber.errors import SettingsError, StageError
from barber.plan import StageKind
from barber.settings import Settings


class Point(StrEnum):
    """A place in the run of a stage, or in the dispatcher's loop."""

    AFTER_CLAIM = "after_claim"
    MID = "mid"  # between two steps, past half of the work
    BEFORE_FINISH = "before_finish"  # files written, nothing recorded
    IN_TICK = "in_tick"  # of the dispatcher: rows changed, nothing committed
    PUBLISHED = "published"  # of the dispatcher: messages sent, still in the outbox


DISPATCHER: Final = "dispatcher"
PLACES: Final[Mapping[str, tuple[Point, ...]]] = {
    **dict.fromkeys(StageKind, (Point.AFTER_CLAIM, Point.MID, Point.BEFORE_FINISH)),
    DISPATCHER: (Point.IN_TICK, Point.PUBLISHED),
}


class Effect(StrEnum):
    """What happens there."""

    KILL = "kill"  # SIGKILL to the own process
    STOP = "stop"  # SIGSTOP: a machine that stalls past its lease, until somebody continues it
    FAIL = "fail"  # a StageError, which no repeat follows
    ERROR = "error"  # an OSError, which is tried again
    POISON = "poison"  # SIGKILL each time, until somebody puts the marker file there
    HANG = "hang"  # no further step, ever, while the other threads live
    CUDA = "cuda"  # what torch raises when a device has failed for good
    MEMORY = "memory"  # what an allocation raises that finds no memory


class Failpoints:
    """The points that are set, ready to be hit.

    Raises:
        SettingsError: The setting names no such point.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / "failpoints"
        self._effects = dict(map(_parsed, filter(None, settings.failpoint.split(","))))

    def hit(self, place: str, point: Point) -> None:
        """Does what is set for this point, unless it has been done before.

        Args:
            place: The kind of the stage, or `DISPATCHER`.
            point: Where in its run.

        Raises:
            StageError: The point's effect is `fail`.
            OSError: It is `error`; RuntimeError and MemoryError as those say.
        """
        effect = self._effects.get((place, point))
        if effect is None or not self._fires(effect, self._folder / f"{place}-{point}"):
            return
        match effect:
            case Effect.FAIL:
                raise StageError(f"failpoint {place}:{point}", stage=place)
            case Effect.ERROR:
                raise OSError(f"failpoint {place}:{point}")
            case Effect.CUDA:
                raise RuntimeError(f"CUDA error: unspecified launch failure ({place}:{point})")
            case Effect.MEMORY:
                raise MemoryError(f"failpoint {place}:{point}")
            case Effect.HANG:
                while True:
                    time.sleep(1)
            case Effect.KILL | Effect.STOP | Effect.POISON:
                stops = effect is Effect.STOP
                os.kill(os.getpid(), signal.SIGSTOP if stops else signal.SIGKILL)

    def _fires(self, effect: Effect, marker: Path) -> bool:
        if effect is Effect.POISON:
            return not marker.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _parsed(text: str) -> tuple[tuple[str, Point], Effect]:
    """`place:point` or `place:point:effect`, checked."""
    place, _, rest = text.partition(":")
    point, _, effect = rest.partition(":")
    try:
        found = (place, Point(point)), Effect(effect or Effect.KILL)
    except ValueError as error:
        raise SettingsError(
            f"BARBER_FAILPOINT names {text!r} ({error}): write stage:point or "
            f"stage:point:effect with a point of {', '.join(Point)}"
        ) from error
    if found[0][1] not in PLACES.get(place, ()):
        raise SettingsError(
            f"BARBER_FAILPOINT names {text!r}: {point} is no point of {place!r}; "
            f"places are {', '.join(PLACES)}"
        )
    return found

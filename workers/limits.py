"""How long a stage may take: a soft limit between two steps, a hard one, and a watch for hangs.

Soft: the stage ends with an error of its own at its next step. Hard: the pool's parent kills the
child, whatever it does, and the lease runs out. Hang: the heart beats while the stage's thread
makes no step; the heart itself then reports it and ends the process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from barber.errors import SettingsError, StageHung, StageTimeout
from barber.plan import StageKind
from barber.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds by stage; 0 is no limit."""

    soft_s: Mapping[StageKind, float]
    hard_s: Mapping[StageKind, float]
    hang_s: float  # without a step

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Reads the settings' limits.

        Raises:
            SettingsError: One is no number or names no stage, or a soft limit is above a hard one.
        """
        soft_s = parse("BARBER_SOFT_LIMIT_S", settings.soft_limit_s)
        hard_s = parse("BARBER_HARD_LIMIT_S", settings.hard_limit_s)
        for kind in StageKind:
            if 0 < hard_s[kind] <= soft_s[kind]:
                raise SettingsError(
                    f"BARBER_SOFT_LIMIT_S is {soft_s[kind]:g} for {kind}, which "
                    f"BARBER_HARD_LIMIT_S ends at {hard_s[kind]:g}: give a soft limit below it"
                )
        hang_s = settings.hang_leases * settings.lease_s
        return cls(soft_s=soft_s, hard_s=hard_s, hang_s=hang_s)

    def watch(self, kind: StageKind) -> Watch:
        """A watch for one run of a stage, which begins now."""
        return Watch(kind, soft_s=self.soft_s[kind], hang_s=self.hang_s)


class Watch:
    """Over one run of a stage: `step` is called in its own thread, `hang` in another."""

    def __init__(self, kind: StageKind, *, soft_s: float, hang_s: float) -> None:
        self._kind, self._soft_s, self._hang_s = kind, soft_s, hang_s
        self._began = self._moved = time.monotonic()

    def step(self) -> None:
        """Notes that the stage gets on.

        Raises:
            StageTimeout: It has taken longer than its soft limit.
        """
        self._moved = time.monotonic()
        taken_s = self._moved - self._began
        if 0 < self._soft_s < taken_s:
            raise StageTimeout(
                f"{self._kind} was not done after {taken_s:.0f} s: give fewer steps, a quicker "
                f"device, or a BARBER_SOFT_LIMIT_S above {self._soft_s:g}",
                stage=self._kind,
            )

    def hang(self) -> StageHung | None:
        """The error of a stage that has not got on for too long; None while all is well."""
        still_s = time.monotonic() - self._moved
        if not 0 < self._hang_s < still_s:
            return None
        return StageHung(
            f"{self._kind} made no step for {still_s:.0f} s while its process lived; the process "
            "was ended: look at its device, or raise BARBER_HANG_LEASES if steps take so long",
            stage=self._kind,
        )


def parse(name: str, text: str) -> dict[StageKind, float]:
    """`600,blend=1200` as seconds for every stage; what is not named has the number alone, or 0.

    Raises:
        SettingsError: A part is no number, or names no stage.
    """
    found = dict.fromkeys(StageKind, 0.0)
    named: dict[StageKind, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, value = part.rpartition("=")
        try:
            seconds = float(value)
            if not 0 <= seconds < 1e9:
                raise ValueError("out of range")
            if kind:
                named[StageKind(kind.strip())] = seconds
            else:
                found = dict.fromkeys(StageKind, seconds)
        except ValueError:
            raise SettingsError(
                f"{name} has {part!r}: write seconds, or stage=seconds with a stage of "
                f"{', '.join(StageKind)}"
            ) from None
    return found | named

"""Faults at random moments, from a seed, for as long as the jobs need."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from barber.chaos import faults
from barber.chaos.brokers import BrokerServer
from barber.chaos.faults import Blow, FaultKind, Target
from barber.standalone.supervisor import Supervisor

Say = Callable[[str], None]

CHECK_S = 1.0  # between two looks at how far the jobs are
TURN_S = 0.05


class Storm:
    """Deals faults, and undoes those that last.

    Args:
        supervisor: Of the system that is hit.
        broker: The broker's server when it is the run's own; None for the folder of messages, or
            for somebody else's.
        strangers: Looks up the processes of somebody else's servers that may be hit as well.
        kinds: The faults that may be dealt.
        every_s: Mean pause between two faults.
        seed: Of the dice.
        say: Takes a line for each fault.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        broker: BrokerServer | None,
        strangers: Callable[[], dict[str, int]],
        kinds: Collection[FaultKind],
        every_s: float,
        seed: int,
        say: Say,
    ) -> None:
        self._supervisor, self._broker, self._say = supervisor, broker, say
        self._strangers, self._kinds, self._every_s = strangers, kinds, every_s
        self._dice = random.Random(seed)  # noqa: S311 (no secret)
        self._pending: list[tuple[float, Blow]] = []  # to be undone, and when
        self.counts: Counter[FaultKind] = Counter()

    def rage_until(self, is_over: Callable[[], bool], *, limit_s: float) -> bool:
        """Faults until it is over; False when the limit came first."""
        deadline = time.monotonic() + limit_s
        next_blow = time.monotonic() + self._pause_s()
        next_look = 0.0
        while time.monotonic() < deadline and not self._supervisor.stopping:
            now = time.monotonic()
            self._supervisor.tend()
            self._undo(now)
            if now >= next_blow:
                self._deal(now)
                next_blow = now + self._pause_s()
            if now >= next_look:
                if asks(is_over):
                    return True
                next_look = now + CHECK_S
            time.sleep(TURN_S)
        return False

    def end(self) -> None:
        """Undoes whatever still lasts."""
        self._undo(float("inf"))

    def _pause_s(self) -> float:
        return self._dice.uniform(0.3, 1.7) * self._every_s

    def _deal(self, now: float) -> None:
        target = self._target()
        free = [kind for kind in faults.possible(target) if not self._lasts(kind)]
        kinds = [kind for kind in free if kind in self._kinds]
        if not kinds:
            return
        weights = [faults.WEIGHTS[kind][0] for kind in kinds]
        (kind,) = self._dice.choices(kinds, weights)
        blow = faults.deal(kind, target, self._dice)
        if blow is None:
            return
        self.counts[kind] += 1
        self._say(f"{kind}: {blow.whom}")
        if blow.undo is not None:
            lease_s = self._supervisor.settings.lease_s
            self._pending.append((now + faults.WEIGHTS[kind][1] * lease_s, blow))

    def _target(self) -> Target:
        settings = self._supervisor.settings
        pids = {**self._supervisor.pids, **self._strangers()}
        if self._broker is not None and self._broker.pid is not None:
            pids["broker"] = self._broker.pid
        folder: Path | None = None
        if settings.broker_url.startswith("filesystem"):
            folder = settings.broker_dir.absolute() / "messages"
        launch = self._broker.launch if self._broker is not None else None
        return Target(pids=pids, messages=folder, launch_broker=launch)

    def _lasts(self, kind: FaultKind) -> bool:
        return any(blow.kind is kind for _, blow in self._pending)

    def _undo(self, now: float) -> None:
        for due, blow in list(self._pending):
            if now >= due and blow.undo is not None:
                blow.undo()
                self._pending.remove((due, blow))


def asks(question: Callable[[], bool]) -> bool:
    """The answer, or False while the database is away."""
    try:
        return question()
    except DBAPIError:
        return False

"""A chaos run from its first job to its report."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from barber.catalogue.db import open_engine
from barber.chaos import faults
from barber.chaos.checker import check_leftovers, check_records
from barber.chaos.faults import Blow, FaultKind, Target
from barber.chaos.report import ChaosReport, count_dice, read_record
from barber.chaos.rules import ChaosRules
from barber.chaos.toys import submit_toys
from barber.errors import BarberError
from barber.standalone.supervisor import Supervisor, UpOptions

Say = Callable[[str], None]

CHECK_S = 1.0  # between two looks at how far the jobs are
DRAIN_S = 60.0  # for what is still on its way when the last job has ended
# Short times, so that hours of bad luck fit into minutes; budgets that bad luck does not use up.
QUICK: Mapping[str, str] = {
    "BARBER_TICK_S": "0.2",
    "BARBER_LEASE_S": "3",
    "BARBER_GRACE_S": "6",
    "BARBER_SWEEP_S": "1",
    "BARBER_BACKOFF_S": "0.2",
    "BARBER_PROGRESS_S": "0.5",
    "BARBER_WINDOW": "32",
    "BARBER_MAX_ERRORS": "20",
    "BARBER_MAX_LOSSES": "50",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """What is run, and how hard it is hit."""

    home: Path  # of the run; a new or empty directory
    jobs: int = 200
    people: int = 40  # portraits that the jobs share
    seed: int = 0
    workers: int = 2
    every_s: float = 4.0  # mean pause between two faults
    limit_s: float = 3600.0  # a run that takes longer has failed
    rules: ChaosRules = field(
        default_factory=lambda: ChaosRules(drop=0.05, double=0.05, error=0.03)
    )


def run_chaos(options: ChaosOptions, environ: Mapping[str, str], say: Say) -> ChaosReport:
    """Runs toy jobs through the real system while it is killed at random, then looks at the record.

    Raises:
        SettingsError: The home is in use, or the system does not start.
        BarberError: The jobs were not done within the limit.
    """
    up = UpOptions(home=options.home, port=0, workers=options.workers, rules=options.rules)
    began = time.monotonic()
    quick = {name: value for name, value in QUICK.items() if name not in environ}
    with Supervisor(up, environ={**environ, **quick}, say=lambda _: None) as supervisor:
        engine = open_engine(supervisor.settings, application="chaos")
        submit_toys(
            engine,
            supervisor.settings,
            count=options.jobs,
            people=options.people,
            seed=options.seed,
        )
        say(f"{options.jobs} jobs are queued; seed {options.seed}")
        storm = _Storm(options, supervisor, say)
        done = storm.rage_until(lambda: _open_jobs(engine) == 0)
        storm.end()
        _drain(engine, supervisor)
        findings = check_records(engine, supervisor.settings.store_dir)
        record = read_record(engine, lease_s=supervisor.settings.lease_s)
        engine.dispose()
    findings += check_leftovers(options.home.absolute())
    if not done:
        say(f"not done after {options.limit_s:.0f} s")
    return ChaosReport(
        seed=options.seed,
        seconds=time.monotonic() - began,
        blows=storm.counts,
        dice=count_dice(options.home / "logs"),
        record=record,
        findings=tuple(findings),
    )


class _Storm:
    """Deals faults at random moments, from a seed."""

    def __init__(self, options: ChaosOptions, supervisor: Supervisor, say: Say) -> None:
        self._options, self._supervisor, self._say = options, supervisor, say
        self._dice = random.Random(options.seed)  # noqa: S311 (no secret)
        self._pending: list[tuple[float, Blow]] = []  # to be undone, and when
        self.counts: Counter[FaultKind] = Counter()

    def rage_until(self, is_over: Callable[[], bool]) -> bool:
        """Faults until it is over; False when the limit came first."""
        deadline = time.monotonic() + self._options.limit_s
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
                if _asks(is_over):
                    return True
                next_look = now + CHECK_S
            time.sleep(0.05)
        return False

    def end(self) -> None:
        """Undoes whatever still lasts."""
        self._undo(float("inf"))

    def _pause_s(self) -> float:
        return self._dice.uniform(0.3, 1.7) * self._options.every_s

    def _deal(self, now: float) -> None:
        settings = self._supervisor.settings
        folder = settings.broker_dir.absolute() / "messages"
        target = Target(
            pids=self._supervisor.pids,
            messages=folder if settings.broker_url.startswith("filesystem") else None,
        )
        kinds = [k for k in faults.possible(target) if not self._lasts(k)]
        weights = [faults.WEIGHTS[kind][0] for kind in kinds]
        (kind,) = self._dice.choices(kinds, weights)
        blow = faults.deal(kind, target, self._dice)
        if blow is None:
            return
        self.counts[kind] += 1
        self._say(f"{kind}: {blow.whom}")
        if blow.undo is not None:
            self._pending.append((now + faults.WEIGHTS[kind][1] * settings.lease_s, blow))

    def _lasts(self, kind: FaultKind) -> bool:
        return any(blow.kind is kind for _, blow in self._pending)

    def _undo(self, now: float) -> None:
        for due, blow in list(self._pending):
            if now >= due and blow.undo is not None:
                blow.undo()
                self._pending.remove((due, blow))


def _asks(question: Callable[[], bool]) -> bool:
    """The answer, or False while the database is away."""
    try:
        return question()
    except DBAPIError:
        return False


def _open_jobs(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM job WHERE finished_at IS NULL")
        return int(connection.scalar(query) or 0)


def _drain(engine: Engine, supervisor: Supervisor) -> None:
    """Waits for messages that are still on their way, and for attempts that will be fenced."""
    query = text(
        "SELECT (SELECT count(*) FROM outbox) + "
        "(SELECT count(*) FROM attempt WHERE outcome IS NULL)"
    )

    def is_quiet() -> bool:
        with engine.connect() as connection:
            return not connection.scalar(query)

    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and not _asks(is_quiet):
        supervisor.tend()
        time.sleep(0.2)


def refuse_home(home: Path) -> None:
    """Raises BarberError when a run would mix with something else."""
    if home.exists() and any(home.iterdir()):
        raise BarberError(f"{home} is not empty: a chaos run wants a directory of its own")

"""A chaos run from its first job to its report."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from barber.catalogue import jobs, portraits
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.jobs import NewJob
from barber.catalogue.store import Store
from barber.chaos import faults
from barber.chaos.checker import Finding, check_leftovers, check_records
from barber.chaos.faults import Blow, FaultKind, Target
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST, ChaosRules
from barber.errors import BarberError
from barber.labels import Region
from barber.pixels import encode_png
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey, RegionEdit
from barber.standalone.supervisor import Supervisor, UpOptions

Say = Callable[[str], None]

SIDE_PX = 8
BATCHES = 4
PEOPLE = 40  # portraits that the jobs share
CHECK_S = 1.0  # between two looks at how far the jobs are
DRAIN_S = 60.0  # for what is still on its way when the last job has ended
LEASE_S = 3.0
# Short times, so that hours of bad luck fit into minutes; budgets that bad luck does not use up.
QUICK: Mapping[str, str] = {
    "BARBER_TICK_S": "0.2",
    "BARBER_LEASE_S": str(LEASE_S),
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
    seed: int = 0
    workers: int = 2
    every_s: float = 4.0  # mean pause between two faults
    limit_s: float = 3600.0  # a run that takes longer has failed
    rules: ChaosRules = field(
        default_factory=lambda: ChaosRules(drop=0.05, double=0.05, error=0.03)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """What a run showed."""

    options: ChaosOptions
    seconds: float
    blows: Mapping[FaultKind, int]
    jobs: Mapping[str, int]  # by status
    attempts: Mapping[str, int]  # by outcome
    recovery_s: tuple[float, ...]  # from a lost worker's last heartbeat to the next claim, sorted
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return all(finding.kept for finding in self.findings)

    def recovery(self, share: float) -> float:
        """A quantile of the recovery times; nan without any."""
        return float(np.quantile(self.recovery_s, share)) if self.recovery_s else float("nan")


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
        _submit(engine, supervisor.settings, options)
        say(f"{options.jobs} jobs are queued; seed {options.seed}")
        storm = _Storm(options, supervisor, say)
        done = storm.rage_until(lambda: _open_jobs(engine) == 0)
        storm.end()
        _drain(engine, supervisor)
        findings = check_records(engine, supervisor.settings.store_dir)
        counts = _counts(engine, "job", "status"), _counts(engine, "attempt", "outcome")
        recovery_s = _recovery_s(engine)
        engine.dispose()
    findings += check_leftovers(options.home.absolute())
    if not done:
        say(f"not done after {options.limit_s:.0f} s")
    return ChaosReport(
        options=options,
        seconds=time.monotonic() - began,
        blows=storm.counts,
        jobs=counts[0],
        attempts=counts[1],
        recovery_s=recovery_s,
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
            self._pending.append((now + faults.WEIGHTS[kind][1] * LEASE_S, blow))

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


def _submit(engine: Engine, settings: Settings, options: ChaosOptions) -> None:
    dice = random.Random(options.seed)  # noqa: S311 (no secret)
    store = Store(settings.store_dir)
    with transaction(engine) as session:
        people = [
            portraits.register(
                session, store, _picture(number), size=SIDE_PX, name=f"person-{number}.png"
            )
            for number in range(PEOPLE)
        ]
    per_batch = -(-options.jobs // BATCHES)
    for batch in range(BATCHES):
        numbers = range(batch * per_batch, min((batch + 1) * per_batch, options.jobs))
        new = [NewJob(name=f"job-{n}", spec=_spec(dice.sample(people, 4))) for n in numbers]
        if not new:
            continue
        with transaction(engine) as session:
            jobs.submit(
                session,
                name=f"chaos-{batch}",
                jobs=new,
                bundle_name=TOY_BUNDLE,
                submitted_by="chaos",
                max_errors=settings.max_errors,
                max_losses=settings.max_losses,
            )


def _picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return encode_png(pixels)


def _spec(people: list[PortraitKey]) -> JobSpec:
    """Three references: the hair's shape, its colour, and the eyes."""
    identity, shape, colour, eyes = people
    return JobSpec(
        identity=identity,
        regions=(
            RegionEdit(labels=(Region.HAIR,), structure=shape, appearance=colour),
            RegionEdit(labels=(Region.EYES,), structure=eyes, appearance=eyes),
        ),
        bundle=TOY_DIGEST,
    )


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


def _counts(engine: Engine, table: str, column: str) -> dict[str, int]:
    query = text(f"SELECT {column}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC")  # noqa: S608 (our own words)
    with engine.connect() as connection:
        return {str(word): int(count) for word, count in connection.execute(query)}


def _recovery_s(engine: Engine) -> tuple[float, ...]:
    """Per attempt that was lost: from its last heartbeat until the stage's next claim."""
    query = text(
        "SELECT extract(epoch FROM next.started_at - lost.ended_at) FROM attempt AS lost"
        " JOIN LATERAL (SELECT started_at FROM attempt WHERE stage_id = lost.stage_id"
        "   AND token > lost.token ORDER BY token LIMIT 1) AS next ON true"
        " WHERE lost.outcome IN ('lost', 'fenced')"
    )
    with engine.connect() as connection:
        return tuple(sorted(float(s) + LEASE_S for s in connection.scalars(query)))


def refuse_home(home: Path) -> None:
    """Raises BarberError when a run would mix with something else."""
    if home.exists() and any(home.iterdir()):
        raise BarberError(f"{home} is not empty: a chaos run wants a directory of its own")

"""The simulation against the real system: toy jobs at 1, 2 and 4 workers, and what was foretold.

The simulation gets what one worker showed with stages that take no time, measured before and after
(the machine is shared); it has not seen a stage that takes time, nor a second worker.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import text

from barber.chaos.rules import ChaosRules
from barber.settings import Settings
from tests.benchmarks.page import Section, table
from tests.benchmarks.server import catalogue
from tests.benchmarks.simulation import Costs, Plant, Work, simulate
from tests.benchmarks.system import BUSY, Shelf, fan_in, run, toy_system
from tests.support.builders import known_portraits
from tests.support.system import System

WORKERS = (1, 2, 4)
STAGE_S = 0.5  # mean seconds of a toy stage
JOBS_PER_WORKER = 8
CALIBRATION_JOBS = 12
KINDS = ("target", "reconstruct", "align", "blend")

# The rate of the middle of a run: from the moment when a fifth of its stages had ended until four
# fifths had.
ENDS = text("""
SELECT extract(epoch FROM attempt.ended_at)
  FROM attempt JOIN stage ON stage.id = attempt.stage_id
 WHERE stage.job_id = ANY (:job_ids) AND attempt.outcome = 'succeeded'
 ORDER BY 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What one worker showed with stages that take no time."""

    stage_s: float  # overhead of a stage when the queue is full
    fan_in_s: float  # from a job's last header stage until its blend is handed out


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One real run beside its simulation; stages per second."""

    workers: int
    real: float
    foretold: float

    @property
    def error(self) -> float:
        return self.foretold / self.real - 1


def measure() -> Section:
    """Calibrates, runs 1, 2 and 4 workers, calibrates again."""
    with catalogue() as (settings, _):
        toy = replace(settings, chaos=ChaosRules(stage_s=STAGE_S).as_text())
        first = calibrate(settings)
        real = {workers: real_rate(toy, workers) for workers in WORKERS}
        seen = [first, calibrate(settings)]
    trials = [
        Trial(workers=workers, real=rate, foretold=foretold(toy, workers, seen))
        for workers, rate in real.items()
    ]
    return section(trials, seen)


def calibrate(settings: Settings) -> Calibration:
    toy = replace(settings, chaos=ChaosRules(stage_s=0.0).as_text(), **BUSY)
    with tempfile.TemporaryDirectory() as logs, toy_system(toy, Path(logs), workers=1) as system:
        run(system, fresh_people(system, 2), 1)
        job_ids, _ = run(system, fresh_people(system, 2 * CALIBRATION_JOBS), CALIBRATION_JOBS)
        stage_s = 1 / middle_rate(system, job_ids)
        fan_in_s = statistics.median(offered for offered, _ in fan_in(system, job_ids))
    return Calibration(stage_s=stage_s, fan_in_s=fan_in_s)


def real_rate(settings: Settings, workers: int) -> float:
    """Stages per second with the settings as shipped."""
    jobs = JOBS_PER_WORKER * workers
    with (
        tempfile.TemporaryDirectory() as logs,
        toy_system(settings, Path(logs), workers=workers) as system,
    ):
        job_ids, _ = run(system, fresh_people(system, 2 * jobs), jobs)
        return middle_rate(system, job_ids)


def fresh_people(system: System, count: int) -> Shelf:
    """Portraits that no other run has had, so that nothing is reused."""
    with system.engine.connect() as connection:
        known = connection.scalar(text("SELECT count(*) FROM portrait")) or 0
    return Shelf(known_portraits(system.engine, count, start=known))


def middle_rate(system: System, job_ids: Sequence[int]) -> float:
    with system.engine.connect() as connection:
        ends = [float(s) for s in connection.scalars(ENDS, {"job_ids": list(job_ids)})]
    first, last = len(ends) // 5, 4 * len(ends) // 5
    return (last - first) / (ends[last] - ends[first])


def foretold(settings: Settings, workers: int, seen: Sequence[Calibration]) -> float:
    """Stages per second by simulation."""
    plant = Plant(
        workers=workers, window=settings.window, pause_s=settings.tick_s, heartbeat_every_s=1e9
    )
    work = Work(stage_s=dict.fromkeys(KINDS, STAGE_S), spread="uniform")
    costs = Costs(
        worker_s=float(np.mean([c.stage_s for c in seen])),
        fan_in_wait_s=float(np.mean([c.fan_in_s for c in seen])),
    )
    return simulate(plant, work, costs, stages=3_000).stages_per_s


def section(trials: Sequence[Trial], seen: Sequence[Calibration]) -> Section:
    rows = [
        (t.workers, f"{t.real:.2f}", f"{t.foretold:.2f}", f"{100 * t.error:+.0f} %") for t in trials
    ]
    before, after = seen
    body = f"""
Toy stages of {STAGE_S} s on average (uniform from 0 to twice that), folder broker, settings as
shipped, {JOBS_PER_WORKER} jobs per worker; the rate is that of the middle three fifths of the
stages. The simulation knows two figures from runs of one worker with stages that take no time: the
overhead of a stage, {before.stage_s:.2f} s before these runs and {after.stage_s:.2f} s after them
(the mean goes in; the difference is the machine's other work), and the seconds until a blend is
handed out, {before.fan_in_s:.1f} and {after.fan_in_s:.1f}.

{table(("workers", "measured, stages/s", "simulated", "error"), rows)}
"""
    figures: Mapping[str, object] = {
        "workers": [t.workers for t in trials],
        "real": [t.real for t in trials],
        "foretold": [t.foretold for t in trials],
        "overhead_s": [c.stage_s for c in seen],
        "fan_in_s": [c.fan_in_s for c in seen],
    }
    title = "The simulation against the real system"
    return Section(name="validation", title=title, text=body, figures=figures)

"""Toy jobs through the real system, per broker: what a stage costs beside its own time.

Toy stages take no time here, so all the time there is is the system's: tick, outbox, broker, claim,
file, finish, fan-in. First jobs alone, one after the other (latency), then many at once (cost).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sqlalchemy import text

from barber.catalogue.db import transaction
from barber.catalogue.jobs import NewJob
from barber.catalogue.jobs import submit as submit_jobs
from barber.chaos.rules import TOY_BUNDLE, ChaosRules
from barber.settings import Settings
from barber.spec import PortraitKey
from tests.benchmarks.machine import CpuTime
from tests.benchmarks.page import Section, table
from tests.benchmarks.seed import toy_spec
from tests.benchmarks.server import catalogue
from tests.support.brokers import broker_of
from tests.support.builders import known_portraits
from tests.support.system import System
from workers.app import create_app
from workers.chords import publish
from workers.delays import declare_delays

ALONE, TOGETHER = 8, 30  # jobs, of six stages each
STAGES = 6
NOBODY = 2**62  # an id that no job and no stage has
PUBLISHED = 40  # messages of each form, to time the publishing alone
BUSY: Mapping[str, Any] = {"window": 48, "tick_s": 0.1}  # else the window would be measured

# Of each job: the end of its last stage before the blend, the blend's dispatch, its claim.
FAN_IN = text("""
SELECT job.id,
       extract(epoch FROM offered.at - header.at) AS offered_s,
       extract(epoch FROM claimed.at - header.at) AS claimed_s
  FROM job
  JOIN stage AS blend ON blend.job_id = job.id AND blend.kind = 'blend'
 CROSS JOIN LATERAL (SELECT max(event.at) AS at FROM event JOIN stage ON stage.id = event.stage_id
       WHERE event.job_id = job.id AND stage.kind <> 'blend' AND event.kind = 'succeeded') AS header
 CROSS JOIN LATERAL (SELECT min(at) AS at FROM event
       WHERE stage_id = blend.id AND kind = 'dispatched') AS offered
 CROSS JOIN LATERAL (SELECT min(at) AS at FROM event
       WHERE stage_id = blend.id AND kind = 'claimed') AS claimed
 WHERE job.id = ANY (:job_ids)
""")


BROKERS: Mapping[str, str] = {  # as the page calls them, and as the tests do
    "filesystem": "filesystem",
    "RabbitMQ": "rabbitmq",
    "Redis": "redis",
    "Valkey": "valkey",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one broker showed; seconds by the clock unless they are CPU's."""

    stage_message_s: float  # to publish one
    chord_message_s: float
    alone_s: float  # a job alone, median
    offered_s: tuple[float, ...]  # last stage before the blend ended until the blend was handed out
    claimed_s: tuple[float, ...]  # the same until it was claimed
    together_s: float  # per stage, one worker, many jobs
    cpu_s: Mapping[str, float]  # per stage, of each process


def measure() -> Section:
    """Every broker that is present, one after the other."""
    shown: dict[str, Shown] = {}
    for name, program in BROKERS.items():
        try:
            shown[name] = one_broker(program)
        except pytest.skip.Exception as reason:
            print(f"{name}: {reason}", flush=True)
    return section(shown)


def one_broker(program: str) -> Shown:
    with (
        catalogue() as (settings, postmaster),
        broker_of(program, settings.home) as broker,
        tempfile.TemporaryDirectory() as logs,
    ):
        toy = replace(settings, broker_url=broker.url, chaos=ChaosRules(stage_s=0.0).as_text())
        publishing = publish_s(toy)
        broker.kill()
        broker.wipe()  # a purge would leave the pollers that RabbitMQ keeps for later
        broker.start()
        with toy_system(toy, Path(logs), workers=1) as system:
            people = Shelf(known_portraits(system.engine, 4 * (ALONE + TOGETHER)))
            alone = [run(system, people, 1) for _ in range(ALONE)]
            gaps = fan_in(system, [job_id for ids, _ in alone for job_id in ids])
            for process in list(system.processes):
                process.stop(60)
        with toy_system(replace(toy, **BUSY), Path(logs), workers=1) as system:
            run(system, people, 1)
            before = cpu(system, postmaster)
            _, seconds = run(system, people, TOGETHER)
            after = cpu(system, postmaster)
            for process in list(system.processes):
                process.stop(60)
    count = TOGETHER * STAGES
    return Shown(
        stage_message_s=publishing[0],
        chord_message_s=publishing[1],
        alone_s=float(np.median([seconds for _, seconds in alone])),
        offered_s=tuple(row[0] for row in gaps),
        claimed_s=tuple(row[1] for row in gaps),
        together_s=seconds / count,
        cpu_s={name: (after[name] - before[name]) / count for name in before},
    )


@contextmanager
def toy_system(settings: Settings, logs: Path, *, workers: int) -> Iterator[System]:
    """A dispatcher, a worker for fan-ins and so many for stages, ready."""
    names = [f"gpu-{n}" for n in range(workers)]
    with System(settings, logs) as system:
        system.start_worker("cpu", queues="cpu")
        for name in names:
            system.start_worker(name, queues="gpu")
        system.start_dispatcher()
        system.wait_ready("cpu", *names)
        yield system


class Shelf:
    """Portraits that no job has used yet, so that no stage is reused."""

    def __init__(self, keys: Sequence[PortraitKey]) -> None:
        self._keys = iter(keys)

    def pair(self) -> tuple[PortraitKey, PortraitKey]:
        return next(self._keys), next(self._keys)


def run(system: System, people: Shelf, count: int) -> tuple[list[int], float]:
    """Submits a batch and waits for it; the seconds are the catalogue's own."""
    new = [NewJob(name=f"toy-{n}", spec=toy_spec(*people.pair())) for n in range(count)]
    with transaction(system.engine) as session:
        batch_id = submit_jobs(session, name="toys", jobs=new, bundle_name=TOY_BUNDLE)
    query = text(
        "SELECT array_agg(id ORDER BY id) AS ids, count(*) FILTER (WHERE finished_at IS NULL)"
        " AS open, bool_and(status = 'succeeded') AS good,"
        " extract(epoch FROM max(finished_at) - min(created_at)) AS seconds"
        " FROM job WHERE batch_id = :batch_id"
    )

    def done() -> Any:
        with system.engine.connect() as connection:
            row = connection.execute(query, {"batch_id": batch_id}).one()
        return None if row.open else row

    row = system.wait(done, f"batch {batch_id} to end", 900)
    assert row.good, "a toy job failed"
    return list(row.ids), float(row.seconds)


def fan_in(system: System, job_ids: Sequence[int]) -> list[tuple[float, float]]:
    """Of each job: seconds until its blend was handed out, and until it was claimed."""
    with system.engine.connect() as connection:
        rows = connection.execute(FAN_IN, {"job_ids": list(job_ids)}).all()
    return [(float(row.offered_s), float(row.claimed_s)) for row in rows]


ROLES = {"cpu": "fan-in worker", "dispatcher": "dispatcher", "console": "console"}


def cpu(system: System, postmaster: int) -> dict[str, float]:
    """CPU seconds so far, by role."""
    found = {"Postgres": CpuTime(postmaster).seconds()}
    for process in system.processes:
        role = ROLES.get(process.name, "worker")
        found[role] = CpuTime(process.popen.pid).seconds()
    found["broker"] = sum(
        CpuTime(child.pid).seconds()
        for child in psutil.Process().children()
        if any(word in child.name() for word in ("redis", "valkey", "beam", "rabbit", "erl"))
    )
    return found


def publish_s(settings: Settings) -> tuple[float, float]:
    """Seconds to publish a stage's message and a job's chord; nobody listens yet.

    The ids are those of no stage.
    """
    app = create_app(settings)
    declare_delays(app)
    stage = {"kind": "target", "stage_id": NOBODY, "generation": 1}
    took = []
    for topic, payload in (("stage", stage), ("chord", nobodys_chord())):
        publish(app, topic, payload)  # opens the connection
        began = time.monotonic()
        for _ in range(PUBLISHED):
            publish(app, topic, payload)
        took.append((time.monotonic() - began) / PUBLISHED)
    app.close()
    return took[0], took[1]


def nobodys_chord() -> dict[str, Any]:
    """A job's chord as the outbox has it, of a job that does not exist."""
    stage = {"stage_id": NOBODY, "generation": 1}
    branches = [[{**stage, "kind": kind} for kind in ("reconstruct", "align")] for _ in range(2)]
    return {"job_id": NOBODY, "generation": 1, "branches": branches}


def section(shown: Mapping[str, Shown]) -> Section:
    overhead = [
        (
            name,
            f"{1000 * s.stage_message_s:.1f}",
            f"{1000 * s.chord_message_s:.1f}",
            f"{s.alone_s / STAGES:.2f}",
            f"{1000 * s.together_s:.0f}",
            *(f"{1000 * s.cpu_s[role]:.1f}" for role in ("dispatcher", "Postgres", "worker")),
        )
        for name, s in shown.items()
    ]
    gaps = [(name, *quantiles(s.offered_s), *quantiles(s.claimed_s)) for name, s in shown.items()]
    over = (
        "publish a stage, ms",
        "a chord, ms",
        "a stage of a job alone, s",
        "of many jobs, ms",
        "dispatcher, CPU ms",
        "Postgres, CPU ms",
        "worker, CPU ms",
    )
    waits = ("handed out, p50 s", "p95 s", "claimed, p50 s", "p95 s")
    body = f"""
Toy stages that take no time, through dispatcher, broker, one worker for the stages and one for the
fan-ins. *A job alone* is {ALONE} jobs one after the other with the settings as shipped (a tick each
0.5 s, of which a job waits for three); *many jobs* is {TOGETHER} at once, a tick each 0.1 s and a
window of 48. Both are seconds by the clock per stage, so whole overhead. CPU time is per stage, of
the second run.

{table(("broker", *over), overhead)}

Fan-in: from the end of a job's last stage before the blend, jobs alone, settings as shipped. The
result backend looks once a second whether a chord's header is done; then the blend waits for the
relay, which comes with the next tick.

{table(("broker", *waits), gaps)}
"""
    figures = {
        name: {
            "stage_message_s": s.stage_message_s,
            "chord_message_s": s.chord_message_s,
            "alone_stage_s": s.alone_s / STAGES,
            "together_stage_s": s.together_s,
            "offered_s": sorted(s.offered_s),
            "claimed_s": sorted(s.claimed_s),
            "cpu_s": dict(s.cpu_s),
        }
        for name, s in shown.items()
    }
    return Section(name="system", title="Overhead of a stage", text=body, figures=figures)


def quantiles(seconds: Sequence[float]) -> tuple[str, str]:
    """p50 and p95."""
    p50, p95 = np.quantile(seconds, (0.5, 0.95))
    return f"{p50:.2f}", f"{p95:.2f}"

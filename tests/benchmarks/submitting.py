"""How long it takes to submit 10,000 jobs at once, and what they weigh in the catalogue."""

from __future__ import annotations

import random
import statistics
import time

from sqlalchemy import Engine, text

from barber.catalogue import jobs
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.jobs import NewJob
from barber.chaos.rules import TOY_BUNDLE
from tests.benchmarks.machine import CpuTime
from tests.benchmarks.page import Section, table
from tests.benchmarks.seed import PEOPLE, toy_spec
from tests.benchmarks.server import catalogue
from tests.support.builders import known_portraits

SIZES = (1_000, 10_000)
ROUNDS = 2


def measure() -> Section:
    """Both sizes in turn, each in a transaction of its own, as `barber submit` does it."""
    took: dict[int, list[float]] = {size: [] for size in SIZES}
    dice = random.Random(1)
    with catalogue() as (settings, postmaster):
        engine = open_engine(settings, application="submit")
        people = known_portraits(engine, PEOPLE)
        before, weight = CpuTime(postmaster).seconds(), bytes_of(engine)
        for _ in range(ROUNDS):
            for size in SIZES:
                new = [
                    NewJob(name=f"{n}", spec=toy_spec(*dice.sample(people, 2))) for n in range(size)
                ]
                began = time.monotonic()
                with transaction(engine) as session:
                    jobs.submit(session, name="many", jobs=new, bundle_name=TOY_BUNDLE)
                took[size].append(time.monotonic() - began)
        total = ROUNDS * sum(SIZES)
        database_s = (CpuTime(postmaster).seconds() - before) / total
        per_job = (bytes_of(engine) - weight) / total
        with engine.connect() as connection:
            stages = connection.scalar(text("SELECT count(*) FROM stage")) or 0
        engine.dispose()
    best = {size: min(seconds) for size, seconds in took.items()}
    rows = [
        (
            f"{size:,}",
            f"{stages * size // total:,}",
            f"{best[size]:.1f}",
            f"{statistics.median(took[size]):.1f}",
            f"{1000 * best[size] / size:.2f}",
        )
        for size in SIZES
    ]
    head = ("jobs", "stages", "s, best", "s, median", "ms per job")
    body = f"""
One transaction, six stages a job, planning included (portraits are registered already), {ROUNDS}
rounds of both in turn. Postgres needs {1000 * database_s:.2f} ms of CPU time a job; a waiting job
weighs {per_job / 1000:.1f} kB with its stages, artifacts and indexes.

{table(head, rows)}

Ten times the jobs take {best[SIZES[1]] / best[SIZES[0]]:.1f} times as long.
"""
    figures = {"job_s": best[SIZES[1]] / SIZES[1], "database_cpu_s": database_s, "bytes": per_job}
    return Section(name="submit", title="10,000 jobs submitted", text=body, figures=figures)


def bytes_of(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT pg_database_size(current_database())")) or 0

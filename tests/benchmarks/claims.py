"""Claims per second against the number of claimers: processes of their own, and no broker.

Every tenth message is given to two claimers. A stage that was claimed twice would have two
attempts. CPU seconds of Postgres and of the claimers are told beside the clock's, because on two
cores sixteen claimers measure the cores.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from typing import Any

import psutil
from sqlalchemy import Engine, text

from barber.catalogue import dispatch, stages, workers
from barber.catalogue.db import open_engine, transaction
from barber.settings import Settings
from tests.benchmarks.machine import CpuTime
from tests.benchmarks.page import Section, table
from tests.benchmarks.seed import seed
from tests.benchmarks.server import catalogue
from tests.benchmarks.walk import WALKER
from tests.support.builders import succeed

CLAIMERS = (1, 2, 4, 8, 16)
MESSAGES = 240  # per run
DOUBLED = 10  # every so many-th message comes twice
ROUNDS = 2
HEARTS, BEATS = 20, 40  # stages whose heartbeats are timed, and how many of each

Message = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One number of claimers."""

    claimers: int
    claims: int
    seconds: float  # of claims alone
    stages_s: float  # of claim, heartbeat and finish
    database_s: float  # CPU seconds of Postgres per whole stage
    worker_s: float  # CPU seconds of the claimers per whole stage


def measure() -> Section:
    """Runs all numbers of claimers, in turn, several rounds."""
    with catalogue() as (settings, postmaster):
        engine = open_engine(settings, application="claims")
        wanted = MESSAGES * len(CLAIMERS) * ROUNDS + HEARTS
        seed(engine, past=0, queued=wanted)
        messages = dispatched(engine, replace(settings, window=wanted))
        runs = []
        for _ in range(ROUNDS):
            for claimers in CLAIMERS:
                batch, messages = messages[:MESSAGES], messages[MESSAGES:]
                runs.append(race(settings, postmaster, claimers, batch))
        check(engine, sum(run.claims for run in runs))
        beat_s = heartbeat_s(engine, postmaster, messages)
        engine.dispose()
    return section(runs, beat_s)


def heartbeat_s(engine: Engine, postmaster: int, messages: Sequence[Message]) -> float:
    """CPU seconds of Postgres per heartbeat."""
    held = [claim for message in messages if (claim := claimed(engine, message, "heart"))]
    database = CpuTime(postmaster)
    before = database.seconds()
    for _ in range(BEATS):
        for claim in held:
            with transaction(engine) as session:
                stages.heartbeat(session, claim, lease_s=300, progress=0.5, note="toy 1/2")
    return (database.seconds() - before) / (BEATS * len(held))


def dispatched(engine: Engine, settings: Settings) -> list[Message]:
    """Hands out every stage that can be; the outbox is left alone."""
    with transaction(engine) as session:
        workers.hello(session, WALKER)
        dispatch.fill(session, settings)
    with engine.connect() as connection:
        query = "SELECT id, generation FROM stage WHERE status = 'dispatched' ORDER BY id"
        return [(row.id, row.generation) for row in connection.execute(text(query))]


def race(settings: Settings, postmaster: int, claimers: int, batch: Sequence[Message]) -> Run:
    """The batch is shared out among the claimers, who start at one moment."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(claimers + 1)
    answers: Any = context.Queue()
    shares = [list(batch[n::claimers]) for n in range(claimers)]
    for n, message in enumerate(batch):
        if n % DOUBLED == 0:
            shares[(n + 1) % claimers].append(message)
    processes = [
        context.Process(target=claimer, args=(settings, share, barrier, answers))
        for share in shares
    ]
    for process in processes:
        process.start()
    barrier.wait()
    database = CpuTime(postmaster)
    before = database.seconds()
    told = [answers.get(timeout=300) for _ in processes]
    spent = database.seconds() - before
    for process in processes:
        process.join()
    claims = sum(answer["claims"] for answer in told)
    return Run(
        claimers=claimers,
        claims=claims,
        seconds=max(answer["claim_s"] for answer in told),
        stages_s=max(answer["stage_s"] for answer in told),
        database_s=spent / claims,
        worker_s=sum(answer["cpu_s"] for answer in told) / claims,
    )


def claimer(settings: Settings, share: list[Message], barrier: Barrier, answers: Any) -> None:
    """Claims its messages, then finishes what it got."""
    engine = open_engine(settings, application="claimer")
    name = multiprocessing.current_process().name
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    with transaction(engine) as session:  # compiles the statements
        stages.claim(session, 0, 0, worker=name, device="cpu", lease_s=30)
    barrier.wait()
    began, cpu = time.monotonic(), psutil.Process().cpu_times()
    held = [claim for message in share if (claim := claimed(engine, message, name))]
    claim_s = time.monotonic() - began
    for claim in held:
        with transaction(engine) as session:
            stages.heartbeat(session, claim, lease_s=30, progress=0.5)
        with transaction(engine) as session:
            succeed(session, claim)
    stage_s, after = time.monotonic() - began, psutil.Process().cpu_times()
    cpu_s = after.user + after.system - cpu.user - cpu.system
    engine.dispose()
    answers.put({"claims": len(held), "claim_s": claim_s, "stage_s": stage_s, "cpu_s": cpu_s})


def claimed(engine: Engine, message: Message, name: str) -> Any:
    with transaction(engine) as session:
        return stages.claim(session, *message, worker=name, device="cpu", lease_s=300)


def check(engine: Engine, claims: int) -> None:
    """Every claim is of a stage of its own, and every one was finished."""
    query = (
        "SELECT count(*), count(DISTINCT stage_id), count(*) FILTER (WHERE outcome = 'succeeded')"
        " FROM attempt"
    )
    with engine.connect() as connection:
        found = tuple(connection.execute(text(query)).one())
    if found != (claims, claims, claims):
        raise AssertionError(f"{claims} claims, but attempts, stages, successes are {found}")


def section(runs: Sequence[Run], beat_s: float) -> Section:
    """The best round of each number of claimers: the others met more of other people's work."""
    best = {
        n: max((r for r in runs if r.claimers == n), key=lambda r: r.claims / r.stages_s)
        for n in CLAIMERS
    }
    alone = best[1].claims / best[1].seconds
    rows = [
        (
            n,
            f"{run.claims / run.seconds:.0f}",
            f"{run.claims / run.seconds / alone:.2f}",
            f"{run.claims / run.stages_s:.0f}",
            f"{1000 * run.database_s:.1f}",
            f"{1000 * run.worker_s:.1f}",
        )
        for n, run in best.items()
    ]
    head = ("claimers", "claims/s", "times one", "whole stages/s", "Postgres, CPU ms per stage")
    text = f"""
{sum(run.claims for run in runs)} stages, every tenth message given to two claimers, none claimed
twice. A whole stage is a claim, a heartbeat and a finish, each a transaction with its event;
nothing is computed and no file written. The best of {ROUNDS} rounds. A heartbeat alone costs
Postgres {1000 * beat_s:.2f} ms of CPU time.

{table((*head, "claimer, CPU ms per stage"), rows)}
"""
    figures = {
        "database_cpu_s": best[1].database_s,
        "worker_cpu_s": best[1].worker_s,
        "heartbeat_cpu_s": beat_s,
        "stages_per_s": {str(n): run.claims / run.stages_s for n, run in best.items()},
        "claims_per_s": {str(n): run.claims / run.seconds for n, run in best.items()},
    }
    return Section(
        name="claims", title="Claims against the number of workers", text=text, figures=figures
    )

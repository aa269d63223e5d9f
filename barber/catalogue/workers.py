"""The workers, as they describe themselves: what each holds, on which device, and whether it lives.

Stages are handed out only for bundles that a live worker holds; who may write a stage's result is
never decided here (leases and tokens do that).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.owners import owned
from barber.catalogue.status import JobStatus, WorkerStatus
from barber.catalogue.tables import Job, Worker
from barber.errors import short_key

ALIVE_S = 30.0  # a worker that says nothing for so long counts as lost, unless it gave another time
SERVING = (WorkerStatus.READY, WorkerStatus.BUSY)  # those that take new stages
WORKERS_TOLD = 5

# Each bundle that open jobs name, by steps through an index: there are few bundles and many jobs.
OPEN_BUNDLES = text("""
WITH RECURSIVE found (bundle) AS (
    SELECT min(bundle) FROM job WHERE status IN ('queued', 'running')
    UNION ALL
    SELECT (SELECT min(job.bundle) FROM job
             WHERE job.status IN ('queued', 'running') AND job.bundle > found.bundle)
      FROM found WHERE found.bundle IS NOT NULL
)
SELECT bundle FROM found WHERE bundle IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker process; `silent_s` seconds ago it was last heard of."""

    name: str
    device: str
    queues: tuple[str, ...]
    pid: int
    versions: dict[str, Any]
    status: WorkerStatus
    started_at: datetime
    seen_at: datetime
    alive_until: datetime
    silent_s: float
    alive: bool  # it neither stopped nor fell silent
    bundle: str | None  # digest of what it has loaded; None where it serves no stages
    bundle_name: str | None
    host: str
    memory: dict[str, Any]  # bytes: process, device (total), reserved (of the device, by it)
    warm_up_s: float | None  # seconds from its start until it could take a stage


class Process(NamedTuple):
    """A process on its machine: containers number theirs alike."""

    host: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a worker says of itself when it starts."""

    name: str
    device: str  # "cpu", "cuda:0", ..; "none" where it serves no stages
    queues: Sequence[str]
    pid: int
    versions: Mapping[str, Any]
    bundle: str | None = None  # digest
    bundle_name: str | None = None
    host: str = ""
    memory: Mapping[str, int] = field(default_factory=dict)
    warm_up_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """Jobs that wait for a bundle that no live worker holds."""

    bundle: str  # digest
    bundle_name: str
    jobs: int
    sentence: str  # what an operator can do


def hello(session: Session, who: Introduction, *, alive_s: float = ALIVE_S) -> None:
    """A worker has started; one of the same name is replaced.

    Args:
        session: Its transaction.
        who: The worker.
        alive_s: It counts as lost when it says nothing for so long.
    """
    facts = {
        "device": who.device,
        "queues": list(who.queues),
        "pid": who.pid,
        "versions": dict(who.versions),
        "bundle": who.bundle,
        "bundle_name": who.bundle_name,
        "host": who.host,
        "memory": dict(who.memory),
        "warm_up_s": who.warm_up_s,
        "status": WorkerStatus.READY,
        "started_at": func.now(),
        "seen_at": func.now(),
        "alive_until": _in_seconds(alive_s),
    }
    statement = insert(Worker).values(name=who.name, **facts)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=facts))


def seen(
    session: Session,
    name: str,
    *,
    by: Process | None = None,
    status: str = WorkerStatus.READY,
    memory: Mapping[str, int] | None = None,
    alive_s: float = ALIVE_S,
) -> bool:
    """A sign of life.

    Args:
        session: Its transaction.
        name: The worker's.
        by: The process that gives it; None speaks for whichever bears the name.
        status: How it is.
        memory: In bytes, as it told when it said hello; None leaves what was told.
        alive_s: It counts as lost when it says nothing for so long.

    Returns:
        False when nobody of that name has said hello, or the name is another process's by now.
    """
    facts = {"status": WorkerStatus(status), "alive_until": _in_seconds(alive_s)}
    statement = (
        update(Worker)
        .where(Worker.name == name, *_borne_by(by))
        .values(seen_at=func.now(), **facts, **({} if memory is None else {"memory": dict(memory)}))
        .returning(Worker.name)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).first() is not None


def bye(session: Session, name: str, *, by: Process | None = None) -> bool:
    """A worker has stopped in good order; nothing changes when another bears its name by now."""
    return seen(session, name, by=by, status=WorkerStatus.STOPPED)


def bearer(session: Session, name: str) -> Process | None:
    """The living process that bears a name; None while there is none."""
    alive = _present() & (Worker.alive_until >= func.now())
    query = select(Worker.host, Worker.pid).where(Worker.name == name, alive)
    row = session.execute(query).one_or_none()
    return Process(row.host, row.pid) if row else None


def _borne_by(process: Process | None) -> tuple[ColumnElement[bool], ...]:
    if process is None:
        return ()
    return (Worker.host == process.host, Worker.pid == process.pid)


def mark_lost(session: Session) -> list[str]:
    """Marks the workers that fell silent without a word; returns their names."""
    statement = (
        update(Worker)
        .where(_present(), Worker.alive_until < func.now())
        .values(status=WorkerStatus.LOST)
        .returning(Worker.name)
        .execution_options(synchronize_session=False)
    )
    return sorted(session.scalars(statement))


def listed(session: Session) -> list[WorkerRow]:
    """All workers that ever said hello, by name."""
    silent_s = func.extract("epoch", func.now() - Worker.seen_at).label("silent_s")
    alive = (_present() & (Worker.alive_until >= func.now())).label("alive")
    rows = session.execute(select(*Worker.__table__.c, silent_s, alive).order_by(Worker.name))
    return [
        WorkerRow(
            **{
                **row._mapping,
                "queues": tuple(row.queues),
                "status": WorkerStatus(row.status),
                "silent_s": float(row.silent_s),
            }
        )
        for row in rows
    ]


def held_bundles(session: Session) -> dict[str, int]:
    """The bundles for which a stage may be handed out now: how many live workers hold each."""
    query = (
        select(Worker.bundle, func.count())
        .where(_serves())
        .group_by(Worker.bundle)
        .order_by(Worker.bundle)
    )
    return {digest: count for digest, count in session.execute(query) if digest}


def holds(bundle: ColumnElement[str | None] | Any) -> ColumnElement[bool]:
    """In a query: whether a live worker holds the bundle of that column."""
    return select(Worker.name).where(_serves(), Worker.bundle == bundle).exists()


def serving(session: Session, queue: str) -> int:
    """How many live workers take messages of a queue."""
    query = select(func.count()).where(_serves(), Worker.queues.contains([queue]))
    return session.scalars(query).one()


def unserved(session: Session, *, owner: int | None = None) -> list[Unserved]:
    """Open jobs on bundles that no live worker holds, by bundle; `owner` hears of their own."""
    held = set(held_bundles(session))
    missing = [digest for digest in session.scalars(OPEN_BUNDLES) if digest not in held]
    query = (
        select(Job.bundle, func.min(Job.bundle_name), func.count())
        .where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)), Job.bundle.in_(missing))
        .group_by(Job.bundle)
        .order_by(Job.bundle)
    )
    if owner is not None:
        query = query.where(owned(owner))
    rows = session.execute(query).all() if missing else []
    present = listed(session) if rows else []
    return [
        Unserved(
            bundle=str(digest), bundle_name=name, jobs=count, sentence=lack(name, digest, present)
        )
        for digest, name, count in rows
    ]


def lack(bundle_name: str, bundle: str | None, workers: Collection[WorkerRow]) -> str:
    """Which worker is missing, which there are instead, and the remedy, in one sentence."""
    there = [
        f"{row.name} holds {row.bundle_name} ({short_key(row.bundle)})"
        for row in workers
        if row.alive and row.bundle
    ]
    more = f" and {len(there) - WORKERS_TOLD} more" if len(there) > WORKERS_TOLD else ""
    instead = f"{', '.join(there[:WORKERS_TOLD])}{more}" if there else "no worker for stages is up"
    return (
        f"waits for a worker that holds bundle {bundle_name} ({short_key(bundle or 'unknown')}): "
        f"{instead}; start one with `barber worker --bundle {bundle_name}`"
    )


def _in_seconds(seconds: float) -> ColumnElement[Any]:
    return func.now() + timedelta(seconds=seconds)


def _present() -> ColumnElement[bool]:
    return Worker.status.in_([status for status in WorkerStatus if status.present])


def _serves() -> ColumnElement[bool]:
    return Worker.status.in_(SERVING) & (Worker.alive_until >= func.now())

"""The workers, as they describe themselves: for people to see, never for decisions (leases do)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.status import WorkerStatus
from barber.catalogue.tables import Worker


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
    silent_s: float


def hello(
    session: Session,
    *,
    name: str,
    device: str,
    queues: Sequence[str],
    pid: int,
    versions: Mapping[str, Any],
) -> None:
    """A worker has started; one of the same name is replaced."""
    facts = {
        "device": device,
        "queues": list(queues),
        "pid": pid,
        "versions": dict(versions),
        "status": WorkerStatus.READY,
        "started_at": func.now(),
        "seen_at": func.now(),
    }
    statement = insert(Worker).values(name=name, **facts)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=facts))


def seen(session: Session, name: str, *, status: str = WorkerStatus.READY) -> bool:
    """A sign of life; False when nobody of that name has said hello."""
    statement = (
        update(Worker)
        .where(Worker.name == name)
        .values(seen_at=func.now(), status=WorkerStatus(status))
        .returning(Worker.name)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).first() is not None


def bye(session: Session, name: str) -> bool:
    """A worker has stopped in good order."""
    return seen(session, name, status=WorkerStatus.STOPPED)


def listed(session: Session) -> list[WorkerRow]:
    """All workers that ever said hello, by name."""
    silent_s = func.extract("epoch", func.now() - Worker.seen_at).label("silent_s")
    rows = session.execute(select(*Worker.__table__.c, silent_s).order_by(Worker.name))
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

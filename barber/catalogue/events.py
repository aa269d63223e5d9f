"""What happened, in order: the story of a job, and the cursor that a console follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from barber.catalogue.status import EventKind
from barber.catalogue.tables import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event; `data` holds what its kind has to say (who, why, which worker)."""

    id: int
    at: datetime
    batch_id: int | None
    job_id: int | None
    stage_id: int | None
    kind: EventKind
    data: dict[str, Any]


def record(
    session: Session,
    kind: EventKind,
    *,
    batch_id: int | None = None,
    job_id: int | None = None,
    stage_id: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Writes an event in the transaction of the change that it tells of."""
    ids = {"batch_id": batch_id, "job_id": job_id, "stage_id": stage_id}
    session.execute(insert(Event).values(kind=kind, data=dict(data or {}), **ids))


def record_stages(session: Session, kind: EventKind, stages: Iterable[tuple[int, int]]) -> None:
    """The same event for many stages, each given as (job id, stage id)."""
    rows = [{"kind": kind, "job_id": job_id, "stage_id": stage_id} for job_id, stage_id in stages]
    if rows:
        session.execute(insert(Event), rows)


def since(
    session: Session, after_id: int, *, job_id: int | None = None, limit: int = 500
) -> list[EventRow]:
    """Events with a higher id, oldest first; of one job when `job_id` is given."""
    query = select(*Event.__table__.c).where(Event.id > after_id).order_by(Event.id).limit(limit)
    if job_id is not None:
        query = query.where(Event.job_id == job_id)
    return [_event(row) for row in session.execute(query)]


def last_of_job(session: Session, job_id: int, limit: int) -> list[EventRow]:
    """The latest events of a job, oldest first."""
    query = select(*Event.__table__.c).where(Event.job_id == job_id)
    rows = session.execute(query.order_by(Event.id.desc()).limit(limit)).all()
    return [_event(row) for row in reversed(rows)]


def latest_id(session: Session) -> int:
    """The id of the latest event; 0 when there is none."""
    return session.scalar(select(func.coalesce(func.max(Event.id), 0))) or 0


def _event(row: Any) -> EventRow:
    return EventRow(**{**row._mapping, "kind": EventKind(row.kind)})

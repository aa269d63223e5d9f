"""Jobs whose deadline has passed: what waits of them fails, what runs is told to stop.

A deadline is a moment of the database's clock. Who retries such a job takes the deadline away or
sets a new one; see `rework`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from barber.catalogue import events, flow, locks
from barber.catalogue.operate import AT_ONCE, OPEN
from barber.catalogue.status import EventKind, JobStatus, StageStatus
from barber.catalogue.tables import Job, Stage
from barber.settings import Settings

WAITING = (StageStatus.PENDING, StageStatus.DISPATCHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeadlines:
    """How the jobs of a batch stand to their deadlines."""

    earliest: datetime | None  # of the jobs that have not ended
    open: int  # jobs with a deadline that have not ended
    missed: int  # jobs that failed because theirs passed


def of_batch(session: Session, batch_id: int) -> BatchDeadlines:
    """The deadlines of a batch's jobs in short."""
    still = Job.status.in_(OPEN)
    late = (Job.status == JobStatus.FAILED) & (Job.error_class == flow.DEADLINE)
    query = select(
        func.min(Job.deadline).filter(still),
        func.count().filter(still),
        func.count().filter(late),
    ).where(Job.batch_id == batch_id, Job.deadline.is_not(None))
    earliest, waiting, missed = session.execute(query).one()
    return BatchDeadlines(earliest=earliest, open=waiting, missed=missed)


def expire(session: Session, settings: Settings) -> int:  # noqa: ARG001 (a step of the tick)
    """Ends what is too late; returns how many jobs were touched. A running stage hears of it."""
    waits = select(Stage.id).where(Stage.job_id == Job.id, Stage.status.in_(WAITING))
    late = select(Job.id).where(
        Job.deadline <= func.now(), Job.status.in_(OPEN), ~Job.cancel_requested, waits.exists()
    )
    return sum(
        locks.guarded(session, job_id, partial(_end, session, job_id))
        for job_id in session.scalars(late.order_by(Job.deadline, Job.id).limit(AT_ONCE)).all()
    )


def _end(session: Session, job_id: int) -> int:
    job = locks.lock_job(session, job_id, skip_locked=True)
    if job is None or JobStatus(job.status).final or job.cancel_requested or not job.expired:
        return 0
    cause = flow.too_late(job)
    mine = (Stage.job_id == job_id, Stage.status.in_(WAITING))
    moved = flow.move(session, StageStatus.FAILED, *mine, **cause)
    flow.release(session, [row.id for row in moved])
    events.record(session, EventKind.EXPIRED, job_id=job_id, data=cause)
    flow.settle(session, job_id)
    return int(bool(moved))

"""What operators do with jobs that are queued: cancel, pause, reorder. Running again: `rework`.

Callers reach these as `jobs.cancel` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import audit, events, flow, locks
from barber.catalogue.audit import Verb
from barber.catalogue.status import EventKind, JobStatus, StageStatus
from barber.catalogue.tables import Batch, Control, Job, Stage
from barber.errors import Conflict, InputError, NotFound

PRIORITIES = range(-1000, 1001)
OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
AT_ONCE = 200  # jobs in one transaction: their rows stay locked until it ends, and others wait
EVERYTHING = "everything"  # what the audit log calls the whole system


def cancel(session: Session, job_id: int, *, by: str, why: str = "") -> JobStatus:
    """Ends a job: at once, or as soon as its running stages have noticed.

    Returns:
        `CANCELLED`, or `RUNNING` while a worker is still at it.

    Raises:
        NotFound: No such job.
        Conflict: The job has ended already.
    """
    status = _locked_status(session, job_id)
    if status.final:
        ended = "was cancelled" if status is JobStatus.CANCELLED else f"has {status}"
        raise Conflict(f"job {job_id} {ended} already: there is nothing to cancel")
    _cancel(session, [job_id], by=by, why=why)
    return JobStatus(session.scalars(select(Job.status).where(Job.id == job_id)).one())


def cancel_batch(session: Session, batch_id: int, *, by: str, why: str = "") -> int:
    """Ends the next jobs of a batch that have not ended, at most `AT_ONCE`; returns how many.

    Who wants them all asks, in a transaction each, until it returns 0.

    Raises:
        NotFound: No such batch.
        Conflict: It is still being queued.
    """
    _require_batch(session, batch_id)
    if session.scalar(select(Batch.filling).where(Batch.id == batch_id)):
        raise Conflict(f"batch {batch_id} is still being queued: cancel it when that is done")
    open_ones = (Job.batch_id == batch_id, Job.status.in_(OPEN), ~Job.cancel_requested)
    # Locked as they are chosen: whoever waited for another's cancel chooses again, and 0 is 0.
    query = select(Job.id).where(*open_ones).order_by(Job.id).limit(AT_ONCE)
    query = query.with_for_update(key_share=True)
    return _cancel(session, list(session.scalars(query)), by=by, why=why)


def _cancel(session: Session, job_ids: Sequence[int], *, by: str, why: str) -> int:
    locks.lock_jobs(session, job_ids)
    asked = (
        update(Job)
        .where(Job.id.in_(job_ids), Job.status.in_(OPEN), ~Job.cancel_requested)
        .values(cancel_requested=True)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    touched = list(session.scalars(asked))
    waiting = Stage.status.in_([StageStatus.PENDING, StageStatus.DISPATCHED])
    moved = flow.move(session, StageStatus.CANCELLED, Stage.job_id.in_(touched), waiting)
    flow.release(session, [row.id for row in moved])
    running = select(Stage.job_id).where(
        Stage.job_id.in_(touched), Stage.status == StageStatus.RUNNING
    )
    still_running = set(session.scalars(running))
    ended = (
        update(Job)
        .where(Job.id.in_(set(touched) - still_running))
        .values(status=JobStatus.CANCELLED, finished_at=func.now())
        .execution_options(synchronize_session=False)
    )
    session.execute(ended)
    for job_id in touched:
        kind = EventKind.CANCEL_REQUESTED if job_id in still_running else EventKind.JOB_CANCELLED
        events.record(session, kind, job_id=job_id, data={"by": by, "why": why})
        audit.record(session, Verb.CANCEL, by, why=why, job_id=job_id)
    return len(touched)


def pause(session: Session, job_id: int, *, by: str, why: str = "", paused: bool = True) -> None:
    """Nothing new of the job is handed out; what is out finishes. Raises NotFound."""
    _change(session, job_id, paused=paused)
    events.record(session, _told(paused), job_id=job_id, data={"by": by, "why": why})
    audit.record(session, _verb(paused), by, why=why, job_id=job_id)


def resume(session: Session, job_id: int, *, by: str, why: str = "") -> None:
    """Ends `pause`. Raises NotFound."""
    pause(session, job_id, by=by, why=why, paused=False)


def pause_batch(
    session: Session, batch_id: int, *, by: str, why: str = "", paused: bool = True
) -> None:
    """Nothing new of the batch is handed out. Raises NotFound."""
    _require_batch(session, batch_id)
    session.execute(
        update(Batch)
        .where(Batch.id == batch_id)
        .values(paused=paused)
        .execution_options(synchronize_session=False)
    )
    events.record(session, _told(paused), batch_id=batch_id, data={"by": by, "why": why})
    audit.record(session, _verb(paused), by, why=why, batch_id=batch_id)


def resume_batch(session: Session, batch_id: int, *, by: str, why: str = "") -> None:
    """Ends `pause_batch`. Raises NotFound."""
    pause_batch(session, batch_id, by=by, why=why, paused=False)


def pause_all(session: Session, *, by: str, why: str = "", paused: bool = True) -> None:
    """Nothing new is handed out at all."""
    if paused:
        statement = upsert(Control).values(name=locks.PAUSE, value={"by": by})
        session.execute(statement.on_conflict_do_nothing())
    else:
        session.execute(delete(Control).where(Control.name == locks.PAUSE))
    events.record(session, _told(paused), data={"by": by, "why": why})
    audit.record(session, _verb(paused), by, why=why, subject=EVERYTHING)


def resume_all(session: Session, *, by: str, why: str = "") -> None:
    """Ends `pause_all`; jobs and batches that are paused by themselves stay so."""
    pause_all(session, by=by, why=why, paused=False)


def paused_all(session: Session) -> bool:
    """Whether everything is paused."""
    return session.scalar(select(Control.name).where(Control.name == locks.PAUSE)) is not None


def set_priority(session: Session, job_id: int, priority: int, *, by: str, why: str = "") -> None:
    """Moves a job forward or back among those that wait.

    Raises:
        NotFound: No such job.
        InputError: The priority is out of range.
    """
    if priority not in PRIORITIES:
        raise InputError(
            f"priority {priority} is out of range: "
            f"give one from {PRIORITIES[0]} to {PRIORITIES[-1]}"
        )
    _change(session, job_id, priority=priority)
    data = {"by": by, "why": why, "priority": priority}
    events.record(session, EventKind.PRIORITY, job_id=job_id, data=data)
    told = {"priority": priority}
    audit.record(session, Verb.PRIORITY, by, why=why, job_id=job_id, data=told)


def set_deadline(
    session: Session, job_id: int, deadline: datetime | None, *, by: str, why: str = ""
) -> None:
    """Says by when a job must have ended; None lets it take its time.

    Raises:
        NotFound: No such job.
        InputError: That moment has passed.
        Conflict: The job has ended already.
    """
    job = locks.lock_job(session, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    if JobStatus(job.status).final:
        raise Conflict(f"job {job_id} has {job.status} already: a deadline is for what is to come")
    if job.expired:
        raise Conflict(f"the deadline of job {job_id} has passed: retry it when it has ended")
    check_deadline(session, deadline)
    _change(session, job_id, deadline=deadline)
    told = {"deadline": deadline and deadline.isoformat()}
    data = {"by": by, "why": why, **told}
    events.record(session, EventKind.DEADLINE, job_id=job_id, data=data)
    audit.record(session, Verb.DEADLINE, by, why=why, job_id=job_id, data=told)


def check_deadline(session: Session, deadline: datetime | None) -> None:
    """Raises InputError when a deadline has passed, by the database's clock."""
    if deadline is not None and session.scalar(select(func.now() >= deadline)):
        raise InputError(f"the deadline {deadline.isoformat(' ')} has passed: give a later one")


def _told(paused: bool) -> EventKind:
    return EventKind.PAUSED if paused else EventKind.RESUMED


def _verb(paused: bool) -> Verb:
    return Verb.PAUSE if paused else Verb.RESUME


def _change(session: Session, job_id: int, **values: Any) -> None:
    """Changes a job's wishes; its status is not among them."""
    statement = (
        update(Job)
        .where(Job.id == job_id)
        .values(**values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).first() is None:
        raise NotFound(f"no job {job_id}")


def _locked_status(session: Session, job_id: int) -> JobStatus:
    locked = locks.lock_job(session, job_id)
    if locked is None:
        raise NotFound(f"no job {job_id}")
    return JobStatus(locked.status)


def _require_batch(session: Session, batch_id: int) -> None:
    if session.scalar(select(Batch.id).where(Batch.id == batch_id)) is None:
        raise NotFound(f"no batch {batch_id}")

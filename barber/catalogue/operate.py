"""What operators do with jobs that are queued: cancel, retry, pause, reorder.

Callers reach these as `jobs.cancel` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import events, flow
from barber.catalogue.status import EventKind, JobStatus, StageStatus
from barber.catalogue.tables import Batch, Control, Job, Stage
from barber.errors import Conflict, InputError, NotFound

PRIORITIES = range(-1000, 1001)
OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)


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
    """Ends all jobs of a batch that have not ended; returns how many. Raises NotFound."""
    _require_batch(session, batch_id)
    query = select(Job.id).where(Job.batch_id == batch_id, Job.status.in_(OPEN)).order_by(Job.id)
    return _cancel(session, list(session.scalars(query)), by=by, why=why)


def _cancel(session: Session, job_ids: Sequence[int], *, by: str, why: str) -> int:
    flow.lock_jobs(session, job_ids)
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
    return len(touched)


def retry(session: Session, job_id: int, *, by: str, stage_id: int | None = None) -> int:
    """Sets failed and cancelled stages back, with fresh budgets; nothing that succeeded runs again.

    Args:
        session: The session.
        job_id: A job that failed, was cancelled, or runs on with a failed stage.
        by: Who asks.
        stage_id: Of several failed stages, only this one.

    Returns:
        How many stages were set back.

    Raises:
        NotFound: No such job, or it has no such stage.
        Conflict: Nothing of it has failed or was cancelled, or its end is still awaited.
    """
    status = _locked_status(session, job_id)
    if status is not JobStatus.CANCELLED and _cancel_requested(session, job_id):
        raise Conflict(f"job {job_id} is being cancelled: retry it when that is done")
    failed = Stage.status == StageStatus.FAILED
    if stage_id is not None:
        _check_retriable(session, job_id, stage_id)
        failed &= Stage.id == stage_id
    moved = flow.move(
        session,
        StageStatus.PENDING,
        Stage.job_id == job_id,
        failed | (Stage.status == StageStatus.CANCELLED),
        errors=0,
        losses=0,
        not_before=None,
        error_class=None,
        error=None,
    )
    if not moved and status is not JobStatus.CANCELLED:
        raise Conflict(f"job {job_id} is {status} and has no failed stage: nothing to retry")
    values = {
        "status": JobStatus.RUNNING,
        "started_at": func.coalesce(Job.started_at, func.now()),
        "finished_at": None,
        "cancel_requested": False,
        "error_class": None,
        "error": None,
    }
    flow.change_job(session, job_id, status, **values)
    data = {"by": by, "stages": [row.id for row in moved]}
    events.record(session, EventKind.RETRIED, job_id=job_id, data=data)
    reopened = flow.reopen(session, job_id)
    flow.settle(session, job_id)
    return len(moved) + reopened


def pause(session: Session, job_id: int, *, by: str) -> None:
    """Nothing new of the job is handed out; what is out finishes. Raises NotFound."""
    _set_paused(session, job_id, True, by)


def resume(session: Session, job_id: int, *, by: str) -> None:
    """Ends `pause`. Raises NotFound."""
    _set_paused(session, job_id, False, by)


def pause_batch(session: Session, batch_id: int, *, by: str) -> None:
    """Nothing new of the batch is handed out. Raises NotFound."""
    _set_batch_paused(session, batch_id, True, by)


def resume_batch(session: Session, batch_id: int, *, by: str) -> None:
    """Ends `pause_batch`. Raises NotFound."""
    _set_batch_paused(session, batch_id, False, by)


def pause_all(session: Session, *, by: str) -> None:
    """Nothing new is handed out at all."""
    statement = upsert(Control).values(name=flow.PAUSE, value={"by": by})
    session.execute(statement.on_conflict_do_nothing())
    events.record(session, EventKind.PAUSED, data={"by": by})


def resume_all(session: Session, *, by: str) -> None:
    """Ends `pause_all`; jobs and batches that are paused by themselves stay so."""
    session.execute(delete(Control).where(Control.name == flow.PAUSE))
    events.record(session, EventKind.RESUMED, data={"by": by})


def paused_all(session: Session) -> bool:
    """Whether everything is paused."""
    return session.scalar(select(Control.name).where(Control.name == flow.PAUSE)) is not None


def set_priority(session: Session, job_id: int, priority: int, *, by: str) -> None:
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
    data = {"by": by, "priority": priority}
    events.record(session, EventKind.PRIORITY, job_id=job_id, data=data)


def _set_paused(session: Session, job_id: int, paused: bool, by: str) -> None:
    _change(session, job_id, paused=paused)
    kind = EventKind.PAUSED if paused else EventKind.RESUMED
    events.record(session, kind, job_id=job_id, data={"by": by})


def _set_batch_paused(session: Session, batch_id: int, paused: bool, by: str) -> None:
    _require_batch(session, batch_id)
    session.execute(
        update(Batch)
        .where(Batch.id == batch_id)
        .values(paused=paused)
        .execution_options(synchronize_session=False)
    )
    kind = EventKind.PAUSED if paused else EventKind.RESUMED
    events.record(session, kind, batch_id=batch_id, data={"by": by})


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
    locked = flow.lock_job(session, job_id)
    if locked is None:
        raise NotFound(f"no job {job_id}")
    return JobStatus(locked.status)


def _cancel_requested(session: Session, job_id: int) -> bool:
    return bool(session.scalar(select(Job.cancel_requested).where(Job.id == job_id)))


def _require_batch(session: Session, batch_id: int) -> None:
    if session.scalar(select(Batch.id).where(Batch.id == batch_id)) is None:
        raise NotFound(f"no batch {batch_id}")


def _check_retriable(session: Session, job_id: int, stage_id: int) -> None:
    mine = (Stage.id == stage_id, Stage.job_id == job_id)
    status = session.scalar(select(Stage.status).where(*mine))
    if status is None:
        raise NotFound(f"job {job_id} has no stage {stage_id}: its page lists those it has")
    if status not in (StageStatus.FAILED, StageStatus.CANCELLED):
        raise Conflict(f"stage {stage_id} of job {job_id} is {status}: nothing to retry")

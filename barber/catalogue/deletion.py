"""A job that has ended, taken out of the record with all that speaks of it alone.

Its results stay in the store as long as another job shares them; else `garbage` removes them some
days later. The audit log and the batch with its refused rows stay.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session

from barber.catalogue import audit, locks
from barber.catalogue.audit import Verb
from barber.catalogue.base import Base
from barber.catalogue.status import JobStatus, StageStatus
from barber.catalogue.tables import Artifact, Event, Job, Stage
from barber.errors import Conflict, NotFound

WHAT_GOES: Final = (
    "The jobs go, with their stages, attempts and history, and cannot be brought back. Pictures "
    "that another job shares stay; the others stay in the store for some days more. "
    "The audit log keeps who deleted them and why."
)
BUSY: Final = (StageStatus.RUNNING, StageStatus.DISPATCHED)


def delete_job(session: Session, job_id: int, *, by: str, why: str = "") -> int:
    """Deletes a job that has ended; returns how many stages it had.

    Raises:
        NotFound: No such job.
        Conflict: It has not ended, or a stage of it is still with a worker.
    """
    job = locks.lock_job(session, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    if not JobStatus(job.status).final:
        raise Conflict(f"job {job_id} is {job.status}: cancel it first, then delete it")
    stages = select(Stage.id).where(Stage.job_id == job_id)
    busy = session.scalar(stages.where(Stage.status.in_(BUSY)).limit(1))
    if busy is not None:
        raise Conflict(f"stage {busy} of job {job_id} is still with a worker: delete it later")
    ids = list(session.scalars(stages))
    name = session.scalar(select(Job.name).where(Job.id == job_id))
    for table in reversed(Base.metadata.sorted_tables):
        _delete_from(session, table, Stage.__table__, ids)
        _delete_from(session, table, Job.__table__, [job_id])
    session.execute(delete(Event).where(Event.job_id == job_id))
    session.execute(delete(Stage).where(Stage.job_id == job_id))
    session.execute(delete(Job).where(Job.id == job_id))
    told = {"name": name, "stages": len(ids)}
    audit.record(session, Verb.DELETE, by, why=why, job_id=job_id, batch_id=job.batch_id, data=told)
    return len(ids)


def _delete_from(session: Session, table: Table, gone: Any, ids: list[int]) -> None:
    """Deletes what speaks of these rows of `gone` alone; whoever adds such a table need not ask."""
    if table in (Stage.__table__, Job.__table__, Artifact.__table__):
        return
    for key in table.foreign_keys:
        if key.column is gone.c.id:
            session.execute(delete(table).where(key.parent.in_(ids)))

"""Whose a job is. Somebody who sees their own batches alone finds nothing of others.

Every check answers in the words of a number that does not exist, so that nobody learns which
numbers are in use. `owner` is `PersonRow.owner`: None for people who see everything.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from barber.catalogue.tables import Batch, Job, Stage
from barber.errors import NotFound


def owned(owner: int, job: Any = Job) -> ColumnElement[bool]:
    """The condition on `Job`, or an alias of it, that it is of a batch of this person."""
    mine: ColumnElement[bool] = job.batch_id.in_(select(Batch.id).where(Batch.owner_id == owner))
    return mine


def check_batch(session: Session, batch_id: int, owner: int | None) -> None:
    """Raises NotFound when there is no such batch for this person."""
    query = select(Batch.id).where(Batch.id == batch_id)
    if owner is not None:
        query = query.where(Batch.owner_id == owner)
    if session.scalar(query) is None:
        raise NotFound(f"no batch {batch_id}")


def check_job(session: Session, job_id: int, owner: int | None) -> None:
    """Raises NotFound when there is no such job for this person."""
    query = select(Job.id).where(Job.id == job_id)
    if owner is not None:
        query = query.where(owned(owner))
    if session.scalar(query) is None:
        raise NotFound(f"no job {job_id}")


def check_stage(session: Session, stage_id: int, owner: int | None) -> None:
    """Raises NotFound when there is no such stage for this person."""
    query = select(Stage.id).where(Stage.id == stage_id)
    if owner is not None:
        query = query.join(Job, Job.id == Stage.job_id).where(owned(owner))
    if session.scalar(query) is None:
        raise NotFound(f"stage {stage_id} has no preview")

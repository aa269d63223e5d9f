"""Rows that a transaction holds, in the one order that cannot deadlock: job, stages, artifacts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Row
from sqlalchemy.orm import Session

from barber.catalogue.tables import Artifact, Batch, Control, Job, Stage

AnyRow = Row[*tuple[Any, ...]]

PAUSE = "pause"  # the row of `control` whose presence pauses everything

logger = logging.getLogger(__name__)


def lock_job(session: Session, job_id: int, *, skip_locked: bool = False) -> AnyRow | None:
    """Locks a job's row until the transaction ends; None when it is missing, or skipped.

    The row holds id, batch_id, bundle, status, cancel_requested, generation, deadline, `expired`
    (whether that has passed), and `held_back`: whether the job, its batch or everything is paused,
    or its batch is still being written.
    """
    paused_all = select(Control.name).where(Control.name == PAUSE).exists()
    held_back = (Job.paused | Batch.paused | Batch.filling | paused_all).label("held_back")
    expired = func.coalesce(Job.deadline <= func.now(), False).label("expired")
    facts = (Job.id, Job.batch_id, Job.bundle, Job.status, Job.cancel_requested)
    query = (
        select(*facts, Job.generation, Job.deadline, expired, held_back)
        .join(Batch, Batch.id == Job.batch_id)
        .where(Job.id == job_id)
        .with_for_update(of=Job, key_share=True, skip_locked=skip_locked)
    )
    return session.execute(query).one_or_none()


def lock_jobs(session: Session, job_ids: Iterable[int]) -> None:
    """Locks several jobs in the one order that cannot deadlock."""
    ids = sorted(set(job_ids))
    query = select(Job.id).where(Job.id.in_(ids)).order_by(Job.id)
    session.execute(query.with_for_update(key_share=True)).all()


def keep_artifacts(session: Session, job_id: int) -> None:
    """Keeps the artifacts of a job's stages from being deleted to make room, until it is decided
    which of them are still there; see `garbage`.
    """
    keys = select(Stage.key).where(Stage.job_id == job_id)
    query = select(Artifact.key).where(Artifact.key.in_(keys)).order_by(Artifact.key)
    session.execute(query.with_for_update(read=True, key_share=True)).all()


def lock_artifact(session: Session, key: str) -> None:
    """Locks an artifact so that nobody can begin to use it, and waits for those who just do."""
    session.execute(select(Artifact.key).where(Artifact.key == key).with_for_update()).all()


def guarded(session: Session, job_id: int, action: Callable[[], int]) -> int:
    """Runs one job's part of a tick by itself: a bad job must not stop the others.

    Raises:
        DBAPIError: The connection is lost, and with it the whole transaction.
    """
    try:
        with session.begin_nested():
            return action()
    except Exception:
        if session.connection().invalidated:  # a lost one must stop the tick
            raise
        logger.exception("a job's part of a tick failed", extra={"job_id": job_id})
        return 0

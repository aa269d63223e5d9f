"""What stages have made: the files of artifacts, pictures of running stages, damaged files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from barber.catalogue import events, flow, locks
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus
from barber.catalogue.store import StoredFile
from barber.catalogue.tables import Artifact, ArtifactFile, Job, Stage, StagePreview
from barber.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The latest picture of a stage."""

    step: int
    png: bytes
    at: datetime


def preview(session: Session, stage_id: int) -> Preview | None:
    """The latest picture of a stage, if it has shown one."""
    query = select(StagePreview.step, StagePreview.png, StagePreview.at)
    row = session.execute(query.where(StagePreview.stage_id == stage_id)).one_or_none()
    return Preview(**row._mapping) if row is not None else None


def artifact_files(session: Session, key: str) -> dict[str, StoredFile]:
    """The files of a ready artifact by name. Raises NotFound when it is not ready."""
    query = (
        select(
            ArtifactFile.name,
            ArtifactFile.sha256,
            ArtifactFile.size_bytes,
            ArtifactFile.media_type,
        )
        .join(Artifact, Artifact.key == ArtifactFile.artifact_key)
        .where(Artifact.key == key, Artifact.status == ArtifactStatus.READY)
    )
    files = {
        row.name: StoredFile(
            sha256=row.sha256, size_bytes=row.size_bytes, media_type=row.media_type
        )
        for row in session.execute(query)
    }
    if not files:
        raise NotFound(f"artifact {key[:12]} is not ready: its stage has to run first")
    return files


def quarantine(session: Session, key: str) -> bool:
    """An artifact's file is damaged or gone: the artifact is missing, its stages run again.

    Every running job that had it waits for it anew; jobs that ended keep their record, except
    those whose result it was: they run again. Whoever needed it now must `fail` its own claim.

    Returns:
        False when the artifact was not ready (somebody else has noticed).
    """
    job_ids = _locked_users(session, key)
    statement = (
        update(Artifact)
        .where(Artifact.key == key, Artifact.status == ArtifactStatus.READY)
        .values(status=ArtifactStatus.MISSING, ready_at=None, recipe=None)
        .returning(Artifact.key)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).first() is None:
        return False
    session.execute(delete(ArtifactFile).where(ArtifactFile.artifact_key == key))
    for job_id in job_ids:
        # It was in time: the deadline is not for making the result again.
        values = {"finished_at": None, "result_key": None, "deadline": None}
        flow.change_job(session, job_id, JobStatus.SUCCEEDED, status=JobStatus.RUNNING, **values)
        flow.reopen(session, job_id)
        flow.recall(session, [job_id], key)
        flow.settle(session, job_id)
        events.record(session, EventKind.QUARANTINED, job_id=job_id, data={"key": key})
    return True


def _locked_users(session: Session, key: str) -> list[int]:
    """The jobs that a lost artifact concerns, with it and them locked.

    While their locks are waited for, another job may begin to use it. The artifact's own lock keeps
    all others from doing so, but is the last in the order: who came before it is asked again.
    """
    query = (
        select(Job.id)
        .join(Stage, Stage.job_id == Job.id)
        .where(Stage.key == key, (Job.status == JobStatus.RUNNING) | (Job.result_key == key))
        .distinct()
    )
    while True:
        job_ids = set(session.scalars(query))
        attempt = session.begin_nested()
        locks.lock_jobs(session, job_ids)
        locks.lock_artifact(session, key)
        if job_ids.issuperset(session.scalars(query)):
            attempt.commit()
            return sorted(job_ids)
        attempt.rollback()  # which lets go of all of them

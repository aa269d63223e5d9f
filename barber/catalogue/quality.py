"""Keeps the numbers of results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.review_tables import ResultQuality
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import Job
from barber.plan import ArtifactKey
from barber.quality import Quality
from barber.spec import JobSpec


def record(session: Session, key: ArtifactKey, found: Quality) -> None:
    """Keeps a result's numbers, in the place of older ones of the same artifact."""
    values: dict[str, Any] = {
        "psnr_db": found.psnr_db,
        "ssim": found.ssim,
        "distance": found.distance,
        "distance_name": found.distance_name,
        "iou": found.iou,
        "ious": dict(found.ious),
        "spread": found.spread,
        "flags": [str(flag) for flag in found.flags],
        "measured_at": func.now(),
    }
    statement = insert(ResultQuality).values(artifact_key=key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["artifact_key"], set_=values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A result without numbers: made before there were any, or where measuring failed."""

    job_id: int
    key: ArtifactKey
    spec: JobSpec


def unmeasured(
    session: Session,
    bundle: str,
    *,
    batch_id: int | None = None,
    below: int | None = None,
    look: int = 500,
) -> tuple[list[Unmeasured], int | None]:
    """Results without numbers among the next `look` of a bundle, newest first.

    Args:
        session: The session.
        bundle: Digest of the bundle that made them: another's parser would see something else.
        batch_id: Of this batch alone.
        below: Goes on below this job.
        look: How many results are looked at, with numbers or without.

    Returns:
        Those without numbers, and the job below which to go on; None at the end.
    """
    wanted = [Job.status == JobStatus.SUCCEEDED]
    if batch_id is not None:
        wanted.append(Job.batch_id == batch_id)
    if below is not None:
        wanted.append(-Job.id > -below)
    seen = select(Job.id, Job.bundle, Job.result_key, Job.spec, ResultQuality.artifact_key)
    seen = seen.outerjoin(ResultQuality, ResultQuality.artifact_key == Job.result_key)
    rows = session.execute(seen.where(*wanted).order_by(-Job.id).limit(look)).all()
    found = [
        Unmeasured(job_id=row.id, key=ArtifactKey(row.result_key), spec=JobSpec.from_json(row.spec))
        for row in rows
        if row.artifact_key is None and row.bundle == bundle
    ]
    return found, rows[-1].id if len(rows) == look else None


def of(session: Session, keys: Iterable[str]) -> dict[str, Quality]:
    """The numbers of results by the artifact's key; those without are left out."""
    query = select(*ResultQuality.__table__.c).where(ResultQuality.artifact_key.in_(list(keys)))
    return {
        row.artifact_key: Quality(
            psnr_db=row.psnr_db,
            ssim=row.ssim,
            distance=row.distance,
            distance_name=row.distance_name,
            ious=row.ious,
            spread=row.spread,
        )
        for row in session.execute(query)
    }

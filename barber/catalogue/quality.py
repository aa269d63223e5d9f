"""Keeps the numbers of results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.review_tables import ResultQuality
from barber.plan import ArtifactKey
from barber.quality import Quality


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

"""What goes on now, over all batches: for the console's overview. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from barber.catalogue.owners import owned
from barber.catalogue.status import StageStatus
from barber.catalogue.tables import Attempt, Job, Stage
from barber.plan import StageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStage:
    """A stage that a worker holds."""

    stage_id: int
    job_id: int
    job_name: str
    kind: StageKind
    worker: str
    progress: float  # 0..1
    since: datetime | None  # of its claim


def running(session: Session, *, owner: int | None = None) -> list[RunningStage]:
    """Every running stage, oldest first; of `owner`, those of their batches alone."""
    query = (
        select(
            Stage.id,
            Stage.job_id,
            Job.name,
            Stage.kind,
            Stage.worker,
            Stage.progress,
            Attempt.started_at,
        )
        .join(Job, Job.id == Stage.job_id)
        .outerjoin(Attempt, (Attempt.stage_id == Stage.id) & (Attempt.token == Stage.token))
        .where(Stage.status == StageStatus.RUNNING)
        .order_by(Stage.id)
    )
    if owner is not None:
        query = query.where(owned(owner))
    return [
        RunningStage(
            stage_id=stage_id,
            job_id=job_id,
            job_name=name,
            kind=StageKind(kind),
            worker=worker or "",
            progress=progress or 0.0,
            since=since,
        )
        for stage_id, job_id, name, kind, worker, progress, since in session.execute(query)
    ]

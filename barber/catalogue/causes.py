"""Why a job failed, without what differs between jobs that failed of the same: one definition for
the groups that people are shown and for the jobs that one of their actions takes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from barber.catalogue.status import StageStatus
from barber.catalogue.tables import Job, Stage

# Numbers, digests and names in quotes differ between jobs that failed of one cause.
DIFFERS: Final = "[0-9a-f]{12,}|[0-9]+([.:][0-9]+)*|'[^']*'"

FIRST_FAILED = (  # kind of the stage of a job that failed first
    select(Stage.kind)
    .where(Stage.job_id == Job.id, Stage.status == StageStatus.FAILED)
    .order_by(Stage.finished_at, Stage.id)
    .limit(1)
    .correlate(Job)
    .scalar_subquery()
)
WORDS = func.regexp_replace(Job.error, DIFFERS, "..", "g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What the failures of a group have in common."""

    stage: str | None  # kind of the stage that failed first; None where no stage failed
    error_class: str | None
    words: str | None  # the error without what differs from job to job

    @property
    def key(self) -> str:
        """A short name for it, the same in every process."""
        parts = "\0".join(part or "" for part in (self.stage, self.error_class, self.words))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

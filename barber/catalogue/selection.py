"""Which jobs: the filter of lists and of everything that is done to many jobs at once.

What a list shows is what a bulk action takes, because both come from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from barber.catalogue.causes import Cause
from barber.catalogue.owners import owned
from barber.catalogue.status import JobStatus, StageStatus
from barber.catalogue.tables import Batch, Job, Stage
from barber.plan import StageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Jobs that meet every condition given; without any, all jobs."""

    job_ids: tuple[int, ...] = ()
    batch_id: int | None = None
    statuses: tuple[JobStatus, ...] = ()
    stage: StageKind | None = None  # a stage of this kind has failed for good
    error_class: str | None = None  # why the job, or one of its stages, has failed
    bundle: str | None = None  # name of the bundle
    text: str | None = None  # part of the name or of the error, upper and lower case alike
    since: datetime | None = None  # submitted at this moment or later
    until: datetime | None = None  # submitted before
    owner: int | None = None  # of batches of this person
    cause: Cause | None = None  # failed for good of this

    @property
    def is_everything(self) -> bool:
        """Whether no condition was given."""
        return self == Selection()

    def of(self, *statuses: JobStatus) -> Selection:
        """The part of it with one of these statuses."""
        return replace(self, statuses=statuses)

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions on `Job`."""
        found: list[ColumnElement[bool]] = []
        if self.job_ids:
            found.append(Job.id.in_(self.job_ids))
        if self.batch_id is not None:
            found.append(Job.batch_id == self.batch_id)
        if self.owner is not None:
            found.append(owned(self.owner))
        if self.statuses:
            found.append(Job.status.in_(self.statuses))
        if self.bundle is not None:
            found.append(Job.bundle_name == self.bundle)
        if self.since is not None:
            found.append(Job.created_at >= self.since)
        if self.until is not None:
            found.append(Job.created_at < self.until)
        if self.cause is not None:
            found += self.cause.where()
        return [*found, *self._failures(), *self._words()]

    def _failures(self) -> list[ColumnElement[bool]]:
        failed = select(Stage.id).where(Stage.job_id == Job.id, Stage.status == StageStatus.FAILED)
        found: list[ColumnElement[bool]] = []
        if self.stage is not None:
            found.append(failed.where(Stage.kind == self.stage).exists())
        if self.error_class is not None:
            by_stage = failed.where(Stage.error_class == self.error_class).exists()
            found.append((Job.error_class == self.error_class) | by_stage)
        return found

    def _words(self) -> list[ColumnElement[bool]]:
        if self.text is None:
            return []
        name = Job.name.icontains(self.text, autoescape=True)
        return [name | func.coalesce(Job.error, "").icontains(self.text, autoescape=True)]


def count(session: Session, selection: Selection) -> dict[JobStatus, int]:
    """How many jobs a selection has, by status; statuses without a job are left out."""
    query = select(Job.status, func.count()).where(*selection.where()).group_by(Job.status)
    return {JobStatus(status): number for status, number in session.execute(query)}


def page(session: Session, selection: Selection, *, after: int, limit: int) -> list[int]:
    """Ids of a selection's jobs, oldest first, above the id `after`."""
    query = select(Job.id).where(*selection.where(), Job.id > after)
    return list(session.scalars(query.order_by(Job.id).limit(limit)))


def newest(session: Session) -> int:
    """The highest id of any job, 0 when there is none: what is submitted later is beyond it."""
    return session.scalar(select(func.max(Job.id))) or 0


def batch_exists(session: Session, batch_id: int) -> bool:
    """Whether there is such a batch: a selection by a wrong number would be empty, silently."""
    return session.scalar(select(Batch.id).where(Batch.id == batch_id)) is not None

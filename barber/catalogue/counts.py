"""How many jobs have which status, without counting them: a page must not grow with the catalogue.

Triggers on `job` write every change as a row of its own, so nobody waits for a counter; the
dispatcher folds these rows into sums now and then. What people read is the sum and what is not
folded yet, in one statement, and so exact.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Identity, func, select, text, union_all
from sqlalchemy.orm import Mapped, Session, mapped_column

from barber.catalogue.base import Base
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import Batch

EVERY_BATCH = 0  # in `job_count`: the sum over all batches

FOLD = text("""
WITH gone AS (
    DELETE FROM job_change RETURNING batch_id, status, jobs
), summed AS (
    SELECT batch_id, status, sum(jobs) AS jobs FROM gone GROUP BY batch_id, status
     UNION ALL SELECT :every_batch, status, sum(jobs) FROM gone GROUP BY status
), added AS (
    INSERT INTO job_count AS folded (batch_id, status, jobs)
    SELECT batch_id, status, jobs FROM summed WHERE jobs <> 0
    ON CONFLICT (batch_id, status) DO UPDATE SET jobs = folded.jobs + excluded.jobs
)
SELECT count(*) FROM gone
""")


class JobCount(Base):
    """How many jobs of a batch have a status, as last folded; batch 0 stands for all of them."""

    __tablename__ = "job_count"
    batch_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger)


class JobChange(Base):
    """What was not folded into `JobCount` yet; written by triggers on `job` alone."""

    __tablename__ = "job_change"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    jobs: Mapped[int] = mapped_column(BigInteger)


def of_batches(session: Session, batch_ids: Iterable[int]) -> dict[int, dict[JobStatus, int]]:
    """Jobs by status for each of these batches; every status is present."""
    counts = {batch_id: dict.fromkeys(JobStatus, 0) for batch_id in batch_ids}
    parts = union_all(
        *(
            select(table.batch_id, table.status, table.jobs).where(table.batch_id.in_(counts))
            for table in (JobCount, JobChange)
        )
    ).subquery()
    query = select(parts.c.batch_id, parts.c.status, func.sum(parts.c.jobs))
    for batch_id, status, jobs in session.execute(query.group_by(parts.c.batch_id, parts.c.status)):
        counts[batch_id][JobStatus(status)] = int(jobs)
    return counts


def totals(session: Session, *, owner: int | None = None) -> dict[JobStatus, int]:
    """Jobs by status over all batches, or those of `owner`; every status is present."""
    folded = select(JobCount.status, JobCount.jobs)
    changes = select(JobChange.status, JobChange.jobs)
    if owner is None:
        folded = folded.where(JobCount.batch_id == EVERY_BATCH)
    else:
        mine = select(Batch.id).where(Batch.owner_id == owner)
        folded = folded.where(JobCount.batch_id.in_(mine))
        changes = changes.where(JobChange.batch_id.in_(mine))
    parts = union_all(folded, changes).subquery()
    query = select(parts.c.status, func.sum(parts.c.jobs)).group_by(parts.c.status)
    counted = {JobStatus(status): int(jobs) for status, jobs in session.execute(query)}
    return dict.fromkeys(JobStatus, 0) | counted


def fold(session: Session) -> int:
    """Adds the changes up; returns how many there were. Any number may do it at once."""
    return session.scalar(FOLD, {"every_batch": EVERY_BATCH}) or 0

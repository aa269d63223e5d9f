"""What pre-flight found, counted over the jobs of a batch."""

from __future__ import annotations

from sqlalchemy import ColumnElement, String, column, func, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from barber.catalogue.tables import Job
from barber.preflight.findings import Verdict


def warned(session: Session, batch_id: int) -> int:
    """How many jobs of a batch have a warning."""
    query = select(func.count()).where(Job.batch_id == batch_id, _warned())
    return session.scalars(query).one()


def _warned() -> ColumnElement[bool]:
    """The condition of the index `ix_job_warned`."""
    return Job.findings.contains([{"verdict": str(Verdict.WARN)}])


def warnings_by_check(session: Session, batch_id: int) -> dict[str, int]:
    """In how many jobs of a batch each check warned; the commonest first."""
    finding = func.jsonb_array_elements(Job.findings).table_valued(column("value", JSONB))
    check = finding.c.value["check"].astext.cast(String)
    count = func.count(Job.id.distinct())
    query = (
        select(check, count)
        .select_from(Job)
        .join(finding, true())
        .where(
            Job.batch_id == batch_id,
            _warned(),
            finding.c.value["verdict"].astext == str(Verdict.WARN),
        )
        .group_by(check)
        .order_by(count.desc(), check)
    )
    return {str(name): int(number) for name, number in session.execute(query)}

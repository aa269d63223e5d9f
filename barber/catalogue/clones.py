"""A job once more, as a job of its own: the same portraits and regions, what one likes changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from barber.catalogue import audit, jobs
from barber.catalogue.audit import Verb
from barber.catalogue.tables import Job
from barber.errors import NotFound
from barber.spec import JobSpec, StageParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How a copy differs; None is as in the original."""

    name: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  # as in `StageParams.from_json`
    seed: int | None = None
    priority: int | None = None
    deadline: datetime | None = None  # an original's own is not copied


def clone(session: Session, job_id: int, changes: Changes, *, by: str, why: str = "") -> int:
    """Queues a copy of a job in a batch of its own; returns the copy's id.

    Stages whose outcome the changes leave alone are not run again where their artifacts are there.

    Raises:
        NotFound: No such job.
        InputError: A parameter, name, priority or deadline that cannot be.
    """
    query = select(Job.name, Job.spec, Job.bundle_name, Job.priority, Job.findings)
    row = session.execute(query.where(Job.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id}")
    spec = JobSpec.from_json(row.spec)
    name = row.name if changes.name is None else changes.name
    new = jobs.NewJob(
        name=name,
        spec=replace(
            spec,
            params=StageParams.from_json(changes.params, base=spec.params),
            seed=spec.seed if changes.seed is None else changes.seed,
        ),
        priority=row.priority if changes.priority is None else changes.priority,
        findings=tuple(row.findings),
    )
    batch_id = jobs.submit(
        session,
        name=f"{name} (copy of job {job_id})",
        jobs=[new],
        bundle_name=row.bundle_name,
        submitted_by=by,
        deadline=changes.deadline,
    )
    copy_id = session.scalars(select(Job.id).where(Job.batch_id == batch_id)).one()
    told = {"copy": copy_id, "params": dict(changes.params), "seed": new.spec.seed}
    audit.record(session, Verb.CLONE, by, why=why, job_id=job_id, data=told)
    return copy_id

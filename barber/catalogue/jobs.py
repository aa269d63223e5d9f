"""Jobs into the queue; operators' verbs (`operate`) and reading (`views`) are reached here too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import audit, events
from barber.catalogue.audit import Actor, Verb
from barber.catalogue.operate import (
    PRIORITIES,
    cancel,
    cancel_batch,
    check_deadline,
    pause,
    pause_all,
    pause_batch,
    paused_all,
    resume,
    resume_all,
    resume_batch,
    set_deadline,
    set_priority,
)
from barber.catalogue.rework import retry
from barber.catalogue.status import EventKind
from barber.catalogue.tables import Artifact, Batch, Job, Portrait, Stage
from barber.catalogue.views import (
    AttemptRow,
    BatchRow,
    JobRow,
    JobView,
    StageView,
    batch,
    batches,
    job,
    jobs,
)
from barber.errors import Conflict, InputError
from barber.plan import plan
from barber.spec import JobSpec

__all__ = [
    "AlreadySubmitted",
    "AttemptRow",
    "BatchRow",
    "JobRow",
    "JobView",
    "NewJob",
    "StageView",
    "add",
    "batch",
    "batches",
    "begin",
    "cancel",
    "cancel_batch",
    "check_deadline",
    "check_jobs",
    "close",
    "job",
    "jobs",
    "pause",
    "pause_all",
    "pause_batch",
    "paused_all",
    "resume",
    "resume_all",
    "resume_batch",
    "retry",
    "set_deadline",
    "set_priority",
    "submit",
]


class AlreadySubmitted(Conflict):
    """The idempotency key was used: `batch_id` is the batch that it made."""

    def __init__(self, key: str, batch_id: int) -> None:
        super().__init__(f"this was submitted before, as batch {batch_id} (key {key!r})")
        self.batch_id = batch_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to submit; of two jobs that wait, the one of higher priority goes first."""

    name: str
    spec: JobSpec
    priority: int = 0  # -1000..1000
    findings: tuple[Mapping[str, Any], ...] = ()  # of pre-flight, each `Finding.to_json()`


def submit(
    session: Session,
    *,
    name: str,
    jobs: Sequence[NewJob],
    bundle_name: str,
    refused: Sequence[Mapping[str, Any]] = (),
    idempotency_key: str | None = None,
    submitted_by: str | None = None,
    deadline: datetime | None = None,
    max_errors: int = 3,
    max_losses: int = 5,
) -> int:
    """Writes a batch with its jobs and their stages, all queued; returns the batch's id.

    Args:
        session: The session.
        name: Of the batch.
        jobs: What to compose. May be empty only when rows were refused.
        bundle_name: Where the workers find the bundle of the specs.
        refused: Rows that could not become jobs, each {line, name, reason, findings}; kept for
            people.
        idempotency_key: A repeated submission with the same key is refused.
        submitted_by: Who; work is shared out fairly between people.
        deadline: What has not ended by then fails.
        max_errors: Attempts of a stage that may end in an error before it fails.
        max_losses: Attempts of a stage that may end with their worker before it fails.

    Raises:
        InputError: No jobs, an impossible priority, name or deadline, or a portrait that is not
            registered.
        AlreadySubmitted: The key was used; the error names the batch.
    """
    _check(session, name, jobs, refused)
    batch_id = begin(
        session,
        name=name,
        refused=refused,
        idempotency_key=idempotency_key,
        submitted_by=submitted_by,
        deadline=deadline,
    )
    if jobs:
        add(
            session,
            batch_id,
            jobs,
            bundle_name=bundle_name,
            deadline=deadline,
            max_errors=max_errors,
            max_losses=max_losses,
        )
    close(session, batch_id, jobs=len(jobs), submitted_by=submitted_by)
    return batch_id


def begin(
    session: Session,
    *,
    name: str,
    refused: Sequence[Mapping[str, Any]] = (),
    idempotency_key: str | None = None,
    submitted_by: str | None = None,
    deadline: datetime | None = None,
) -> int:
    """A batch whose jobs follow by `add`, in as many transactions as it takes; nothing of it is
    handed out before `close`. Returns its id; arguments and errors as of `submit`.
    """
    check_deadline(session, deadline)
    values = {
        "name": name,
        "submitted_by": None if submitted_by is None else str(submitted_by),
        "owner_id": submitted_by.person_id if isinstance(submitted_by, Actor) else None,
        "idempotency_key": idempotency_key,
        "refused": [dict(row) for row in refused],
        "filling": True,
    }
    statement = upsert(Batch).values(**values).on_conflict_do_nothing()
    batch_id: int | None = session.scalar(statement.returning(Batch.id))
    if batch_id is None:
        assert idempotency_key is not None
        earlier = select(Batch.id).where(Batch.idempotency_key == idempotency_key)
        raise AlreadySubmitted(idempotency_key, session.scalars(earlier).one())
    return batch_id


def add(
    session: Session,
    batch_id: int,
    jobs: Sequence[NewJob],
    *,
    bundle_name: str,
    deadline: datetime | None,
    max_errors: int,
    max_losses: int,
) -> None:
    """Writes jobs with their stages into a batch that was begun and not closed."""
    common = {"batch_id": batch_id, "bundle_name": bundle_name, "deadline": deadline}
    job_ids = _insert_jobs(session, jobs, common)
    _insert_stages(session, zip(job_ids, jobs, strict=True), max_errors, max_losses)


def close(session: Session, batch_id: int, *, jobs: int, submitted_by: str | None) -> None:
    """All jobs of a batch are written: they may be handed out."""
    filled = update(Batch).where(Batch.id == batch_id).values(filling=False)
    row = session.execute(
        filled.returning(Batch.name, func.jsonb_array_length(Batch.refused).label("refused"))
    ).one()
    told = {"jobs": jobs, "refused": row.refused}
    data = {**told, "by": submitted_by}
    events.record(session, EventKind.SUBMITTED, batch_id=batch_id, data=data)
    audit.record(
        session, Verb.SUBMIT, submitted_by, batch_id=batch_id, data={"name": row.name, **told}
    )


def check_jobs(session: Session, jobs: Sequence[NewJob]) -> None:
    """Raises InputError for an impossible name or priority, or a portrait that is not known."""
    for new in jobs:
        _check_name(new.name)
        if new.priority not in PRIORITIES:
            raise InputError(
                f"priority {new.priority} of {new.name!r} is out of range: "
                f"give one from {PRIORITIES[0]} to {PRIORITIES[-1]}"
            )
    wanted = {key for new in jobs for key in new.spec.portraits}
    known = set(session.scalars(select(Portrait.sha256).where(Portrait.sha256.in_(wanted))))
    if missing := sorted(wanted - known):
        raise InputError(f"portrait {missing[0]} is not registered: register its picture first")


def _check_name(text: str) -> None:
    if not text.strip() or "\0" in text:
        raise InputError(f"{text!r} cannot be a name: give some readable characters")


def _check(
    session: Session, name: str, jobs: Sequence[NewJob], refused: Sequence[Mapping[str, Any]]
) -> None:
    if not jobs and not refused:
        raise InputError(f"batch {name!r} has no jobs: give at least one")
    _check_name(name)
    check_jobs(session, jobs)


def _insert_jobs(session: Session, jobs: Sequence[NewJob], common: Mapping[str, Any]) -> list[int]:
    rows = [
        {
            **common,
            "name": new.name,
            "spec": new.spec.to_json(),
            "priority": new.priority,
            "findings": [dict(finding) for finding in new.findings],
        }
        for new in jobs
    ]
    statement = insert(Job).returning(Job.id, sort_by_parameter_order=True)
    return list(session.scalars(statement, rows))


def _insert_stages(
    session: Session, jobs: Iterable[tuple[int, NewJob]], max_errors: int, max_losses: int
) -> None:
    rows = [
        {
            "job_id": job_id,
            "kind": stage.kind,
            "slot": stage.slot,
            "key": stage.key,
            "needs": list(stage.needs),
            "portrait": stage.portrait,
            "max_errors": max_errors,
            "max_losses": max_losses,
        }
        for job_id, new in jobs
        for stage in plan(new.spec)
    ]
    # In one order, so that two submissions of the same work wait for each other, not in a ring.
    artifacts = [
        {"key": k, "kind": v} for k, v in sorted({r["key"]: r["kind"] for r in rows}.items())
    ]
    session.execute(upsert(Artifact).on_conflict_do_nothing(), artifacts)
    # Without the option, rows with and without a portrait would go in statements of their own.
    session.execute(insert(Stage).execution_options(render_nulls=True), rows)

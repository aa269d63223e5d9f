"""Operators' verbs: on one job, on a batch, on all jobs of a filter, on everything."""

from __future__ import annotations

from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from barber.catalogue import bulk, jobs, owners, rework, selection
from barber.catalogue.deeds import Deed, DeedVerb
from barber.catalogue.people_tables import Role
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.errors import Conflict, InputError
from dashboard import access, record
from dashboard.api import shapes
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain, selection_of

OPERATOR, ADMIN = Role.OPERATOR, Role.ADMIN


@endpoint("POST", "/jobs/<id:job_id>/retry", role=OPERATOR, answer=shapes.Retried, tag="jobs")
def retry(job_id: int, json: shapes.RetryAsked) -> dict[str, Any]:
    """Runs failed stages again, or those from a kind on, or those that other parameters change."""
    ways = (json.stage, json.from_stage, json.from_kind, json.params)
    if sum(given is not None for given in ways) > 1:
        raise InputError(
            "stage, from_stage, from_kind and params exclude each other: give one of them"
        )
    if json.deadline is not None and any(given is not None for given in ways[1:]):
        raise InputError("deadline goes with a plain retry: set it before by itself")
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        by, why = access.by(), json.why
        if json.from_kind is not None:
            count = rework.run_from(session, job_id, json.from_kind, by=by, why=why)
        elif json.from_stage is not None:
            count = rework.run_from_stage(session, job_id, json.from_stage, by=by, why=why)
        elif json.params is not None:
            count = rework.change_params(session, job_id, json.params, by=by, why=why)
        else:
            count = jobs.retry(
                session, job_id, by=by, stage_id=json.stage, deadline=json.deadline, why=why
            )
    return {"job_id": job_id, "stages_set_back": count}


@endpoint("POST", "/jobs/<id:job_id>/cancel", role=OPERATOR, answer=shapes.Cancelled, tag="jobs")
def cancel(job_id: int, json: shapes.Because) -> dict[str, Any]:
    """Stops a job; what runs stops at its next step."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        status = jobs.cancel(session, job_id, by=access.by(), why=json.why)
    return {"job_id": job_id, "status": status}


@endpoint("POST", "/jobs/<id:job_id>/delete", role=OPERATOR, answer=shapes.Deleted, tag="jobs")
def delete(job_id: int, json: shapes.Because) -> dict[str, Any]:
    """Deletes a job that has ended, with its stages, attempts and history."""
    deed = Deed(verb=DeedVerb.DELETE, why=json.why)
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        outcome = deed.do(session, job_id, by=access.by())
    return {"job_id": job_id, "outcome": outcome}


@endpoint("POST", "/jobs/<id:job_id>/pause", role=OPERATOR, answer=shapes.Changed, tag="jobs")
def pause(job_id: int, json: shapes.Because) -> dict[str, Any]:
    """Hands out nothing new of a job; what runs finishes."""
    return _pause(job_id, json.why, paused=True)


@endpoint("POST", "/jobs/<id:job_id>/resume", role=OPERATOR, answer=shapes.Changed, tag="jobs")
def resume(job_id: int, json: shapes.Because) -> dict[str, Any]:
    """Ends the pause of a job."""
    return _pause(job_id, json.why, paused=False)


@endpoint("POST", "/jobs/<id:job_id>/priority", role=OPERATOR, answer=shapes.Changed, tag="jobs")
def priority(job_id: int, json: shapes.PriorityAsked) -> dict[str, Any]:
    """Moves a job forward or back among those that wait."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        jobs.set_priority(session, job_id, json.priority, by=access.by(), why=json.why)
    return {"job_id": job_id, "priority": json.priority}


@endpoint(
    "POST", "/batches/<id:batch_id>/deadline", role=OPERATOR, answer=shapes.Changed, tag="batches"
)
def batch_deadline(batch_id: int, json: shapes.DeadlineAsked) -> dict[str, Any]:
    """Says by when the jobs of a batch that have not ended must have."""
    by, why = access.by(), json.why
    with record.transaction() as session:
        owners.check_batch(session, batch_id, access.owner())
        jobs.check_deadline(session, json.deadline)
    chosen = Selection(batch_id=batch_id, statuses=(JobStatus.QUEUED, JobStatus.RUNNING))

    def one(session: Session, job_id: int) -> str:
        jobs.set_deadline(session, job_id, json.deadline, by=by, why=why)
        return "done"

    count = sum(each.done for each in bulk.each(current_app.extensions["engine"], chosen, one))
    return {"batch_id": batch_id, "deadline": json.deadline, "jobs": count}


@endpoint(
    "POST", "/batches/<id:batch_id>/cancel", role=OPERATOR, answer=shapes.Changed, tag="batches"
)
def cancel_batch(batch_id: int, json: shapes.Because) -> dict[str, Any]:
    """Stops all jobs of a batch that have not ended."""
    with record.transaction() as session:
        owners.check_batch(session, batch_id, access.owner())
    by, count = access.by(), 0
    while True:
        with record.transaction() as session:
            some = jobs.cancel_batch(session, batch_id, by=by, why=json.why)
        if not some:
            return {"batch_id": batch_id, "jobs": count}
        count += some


@endpoint(
    "POST", "/batches/<id:batch_id>/pause", role=OPERATOR, answer=shapes.Changed, tag="batches"
)
def pause_batch(batch_id: int, json: shapes.Because) -> dict[str, Any]:
    """Hands out nothing new of a batch."""
    return _pause_batch(batch_id, json.why, paused=True)


@endpoint(
    "POST", "/batches/<id:batch_id>/resume", role=OPERATOR, answer=shapes.Changed, tag="batches"
)
def resume_batch(batch_id: int, json: shapes.Because) -> dict[str, Any]:
    """Ends the pause of a batch."""
    return _pause_batch(batch_id, json.why, paused=False)


@endpoint("POST", "/pause", role=ADMIN, answer=shapes.Changed, tag="system")
def pause_all(json: shapes.Because) -> dict[str, Any]:
    """Hands out nothing new at all."""
    with record.transaction() as session:
        jobs.pause_all(session, by=access.by(), why=json.why)
    return {"paused": True}


@endpoint("POST", "/resume", role=ADMIN, answer=shapes.Changed, tag="system")
def resume_all(json: shapes.Because) -> dict[str, Any]:
    """Ends the pause of everything; jobs and batches paused by themselves stay so."""
    with record.transaction() as session:
        jobs.resume_all(session, by=access.by(), why=json.why)
    return {"paused": False}


@endpoint("POST", "/jobs/actions", role=OPERATOR, answer=shapes.ActionDone, tag="jobs")
def act(json: shapes.ActionAsked) -> dict[str, Any]:
    """Does one thing to all jobs of a filter, a page at a time, with a verdict for each.

    Jobs submitted after the first request are not taken.
    """
    chosen = selection_of(json.filter, tuple(json.job_ids))
    unlimited = json.filter == shapes.Filter() and not json.job_ids
    if unlimited and not json.everything:
        raise InputError("the filter has no condition: give one, or everything=true for all jobs")
    deed = Deed(
        verb=json.action,
        why=json.why,
        from_kind=json.from_kind,
        params=json.params,
        priority=json.priority,
        deadline=json.deadline,
    )
    with record.transaction() as session:
        count = selection.count(session, chosen)
        newest = selection.newest(session)
    total, up_to = sum(count.values()), newest if json.up_to is None else json.up_to
    if json.expected is not None and json.after == 0 and json.expected != total:
        raise Conflict(f"the filter meets {total} jobs now, not {json.expected}: look again")
    done: list[bulk.JobVerdict] = []
    following: int | None = None
    if not json.dry_run:
        engine = current_app.extensions["engine"]
        done, following = bulk.some(
            engine, chosen, _action(deed), after=json.after, up_to=up_to, limit=json.limit
        )
    verdicts = [plain(verdict) for verdict in done]
    return {"count": count, "total": total, "jobs": verdicts, "next": following, "up_to": up_to}


def _action(deed: Deed) -> bulk.Action:
    by = access.by()
    return lambda session, job_id: deed.do(session, job_id, by=by)


def _pause(job_id: int, why: str, *, paused: bool) -> dict[str, Any]:
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        (jobs.pause if paused else jobs.resume)(session, job_id, by=access.by(), why=why)
    return {"job_id": job_id, "paused": paused}


def _pause_batch(batch_id: int, why: str, *, paused: bool) -> dict[str, Any]:
    verb = jobs.pause_batch if paused else jobs.resume_batch
    with record.transaction() as session:
        owners.check_batch(session, batch_id, access.owner())
        verb(session, batch_id, by=access.by(), why=why)
    return {"batch_id": batch_id, "paused": paused}

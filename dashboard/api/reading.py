"""Batches and jobs, to read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flask import request, url_for

from barber.catalogue import jobs
from barber.catalogue.jobs import AttemptRow, BatchRow, JobRow, JobView, StageView
from barber.catalogue.people_tables import Role
from barber.catalogue.selection import Selection
from dashboard import access, job_filter, record
from dashboard.api import shapes
from dashboard.api.endpoint import endpoint
from dashboard.paging import Page, page_of


@endpoint("GET", "/batches", role=Role.VIEWER, answer=shapes.Batches, tag="batches")
def batches(query: shapes.Paging) -> dict[str, Any]:
    """Batches, newest first."""
    with record.transaction() as session:
        page = page_of(
            lambda limit: jobs.batches(
                session, limit=limit, before=query.before, owner=access.owner()
            ),
            key=lambda row: row.id,
            size=query.limit,
        )
    return {"batches": [batch_facts(row) for row in page.rows], "next": next_of(page)}


@endpoint("GET", "/batches/<id:batch_id>", role=Role.VIEWER, answer=shapes.OneBatch, tag="batches")
def batch(batch_id: int) -> dict[str, Any]:
    """One batch with its counts and refused rows."""
    with record.transaction() as session:
        row = jobs.batch(session, batch_id, owner=access.owner())
    return {"batch": batch_facts(row)}


@endpoint("GET", "/jobs", role=Role.VIEWER, answer=shapes.Jobs, tag="jobs")
def index(query: shapes.JobsAsked) -> dict[str, Any]:
    """Jobs that meet every condition, in the order asked for."""
    with record.transaction() as session:
        if query.batch is not None:
            jobs.batch(session, query.batch, owner=access.owner())  # raises where there is none
        page = job_filter.page(
            session, selection_of(query), sort=query.sort, before=query.before, size=query.limit
        )
    return {"jobs": [job_facts(row) for row in page.rows], "next": next_of(page)}


@endpoint("GET", "/jobs/<id:job_id>", role=Role.VIEWER, answer=shapes.OneJob, tag="jobs")
def show(job_id: int) -> dict[str, Any]:
    """One job with its spec, stages, attempts and latest events."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
    return {"job": _whole(view)}


def selection_of(asked: shapes.Filter, job_ids: tuple[int, ...] = ()) -> Selection:
    """A filter as the catalogue's selection, limited to what the visitor may see."""
    owner = access.owner()
    if asked.mine and owner is None:
        owner = access.visitor().person.id
    return Selection(
        job_ids=job_ids,
        batch_id=asked.batch,
        statuses=tuple(asked.status),
        stage=asked.failed_in,
        error_class=asked.error,
        cause=asked.cause,
        bundle=asked.bundle,
        person=asked.person,
        priority=asked.priority,
        text=asked.text,
        since=asked.since,
        until=asked.until,
        owner=owner,
    )


def next_of(page: Page[Any], key: str = "before") -> str | None:
    """The path of the next page, with the same filter."""
    if page.next is None:
        return None
    arguments: dict[str, Any] = {key: request.args.getlist(key) for key in request.args}
    arguments[key] = str(page.next)
    return url_for(str(request.endpoint), **(request.view_args or {}), **arguments)


def plain(row: Any, *leave_out: str) -> dict[str, Any]:
    """A frozen row's fields."""
    return {f.name: getattr(row, f.name) for f in fields(row) if f.name not in leave_out}


def batch_facts(row: BatchRow) -> dict[str, Any]:
    """As `shapes.Batch`."""
    return plain(row) | {
        "finished": row.finished,
        "page": url_for("batches.show", batch_id=row.id),
    }


def job_facts(row: JobRow) -> dict[str, Any]:
    """As `shapes.Job`."""
    result = row.result_file and url_for("portraits.file", sha256=row.result_file)
    return plain(row) | {"result": result, "page": url_for("jobs.show", job_id=row.id)}


def _whole(view: JobView) -> dict[str, Any]:
    return job_facts(view.row) | {
        "bundle_name": view.bundle_name,
        "waits_for": view.waits_for,
        "spec": view.spec.to_json(),
        "findings": list(view.findings),
        "stages": [_stage(stage) for stage in view.stages],
        "dropped": list(view.dropped),
        "events": [plain(event) for event in view.events],
    }


def _attempt(attempt: AttemptRow) -> dict[str, Any]:
    """As `shapes.Attempt`; a traceback tells of the machines, so it is for their operators."""
    hidden = {} if access.may(Role.OPERATOR) else {"trace": None}
    return plain(attempt, "token") | hidden


def _stage(stage: StageView) -> dict[str, Any]:
    # tokens and generations fence the workers; they are no business of a reader
    facts = plain(stage, "token", "generation", "attempts", "files")
    pictures = {
        name: url_for("portraits.file", sha256=kept.sha256)
        for name, kept in stage.files.items()
        if kept.media_type == "image/png"
    }
    return facts | {
        "reused": stage.reused,
        "seconds": stage.seconds,
        "attempts": [_attempt(attempt) for attempt in stage.attempts],
        "pictures": pictures,
    }

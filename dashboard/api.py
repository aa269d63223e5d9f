"""JSON under /api/v1: what the pages show, for programs. Errors have the shape of `problems`."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import jobs, owners
from barber.catalogue.jobs import BatchRow, JobRow, JobView, StageView
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from dashboard import access, record
from dashboard.jobs import status_asked
from dashboard.paging import Page, page_of, place, whole_number

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/batches")
@access.needs(Role.VIEWER)
def batches() -> ResponseReturnValue:
    """Batches, newest first: `?before=ID` gives the next page."""
    with record.transaction() as session:
        page = page_of(
            lambda limit: jobs.batches(
                session, limit=limit, before=place(request.args), owner=access.owner()
            ),
            key=lambda row: row.id,
        )
    return jsonify(batches=[_batch(row) for row in page.rows], next=_next(page))


@blueprint.get("/batches/<id:batch_id>")
@access.needs(Role.VIEWER)
def batch(batch_id: int) -> ResponseReturnValue:
    """One batch with its counts and refused rows."""
    with record.transaction() as session:
        row = jobs.batch(session, batch_id, owner=access.owner())
    return jsonify(batch=_batch(row))


@blueprint.get("/jobs")
@access.needs(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Jobs, newest first: `?status=`, `?batch=`, `?before=`."""
    status, batch_id = status_asked(request.args), whole_number(request.args, "batch")
    with record.transaction() as session:
        page = page_of(
            lambda limit: jobs.jobs(
                session,
                batch_id=batch_id,
                status=status,
                limit=limit,
                before=place(request.args),
                owner=access.owner(),
            ),
            key=lambda row: row.id,
        )
    return jsonify(jobs=[_job(row) for row in page.rows], next=_next(page))


@blueprint.get("/jobs/<id:job_id>")
@access.needs(Role.VIEWER)
def show(job_id: int) -> ResponseReturnValue:
    """One job with its recipe, stages, attempts and events."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
    return jsonify(job=_whole(view))


@blueprint.post("/jobs/<id:job_id>/retry")
@access.needs(Role.OPERATOR)
def retry(job_id: int) -> ResponseReturnValue:
    """Sets failed stages back; `{"stage": ID}` names one."""
    body = request.get_json(silent=True) or {}
    if not isinstance(body, dict):
        raise InputError('the body must be an object such as {"stage": 7}, or empty')
    stage_id = body.get("stage")
    wanted = {"stage": str(stage_id)} if stage_id is not None else {}
    with record.transaction() as session:
        stage = whole_number(wanted, "stage")
        owners.check_job(session, job_id, access.owner())
        count = jobs.retry(session, job_id, by=access.by(), stage_id=stage)
    return jsonify(job_id=job_id, stages_set_back=count)


@blueprint.post("/jobs/<id:job_id>/cancel")
@access.needs(Role.OPERATOR)
def cancel(job_id: int) -> ResponseReturnValue:
    """Stops the job; "running" in the answer means: at the next step of what runs."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        status = jobs.cancel(session, job_id, by=access.by(), why="asked for through the API")
    return jsonify(job_id=job_id, status=status)


def _next(page: Page[Any]) -> str | None:
    """The address of the next page, with the same filter."""
    if page.next is None:
        return None
    arguments: dict[str, Any] = {**request.args.to_dict(), "before": str(page.next)}
    return url_for(str(request.endpoint), **arguments)


def _plain(row: Any, *leave_out: str) -> dict[str, Any]:
    """A frozen row's fields as JSON data; times in ISO form."""
    facts = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in leave_out}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }


def _batch(row: BatchRow) -> dict[str, Any]:
    return _plain(row) | {
        "finished": row.finished,
        "page": url_for("batches.show", batch_id=row.id),
    }


def _job(row: JobRow) -> dict[str, Any]:
    result = row.result_file and url_for("portraits.file", sha256=row.result_file)
    return _plain(row) | {"result": result, "page": url_for("jobs.show", job_id=row.id)}


def _whole(view: JobView) -> dict[str, Any]:
    return _job(view.row) | {
        "bundle_name": view.bundle_name,
        "waits_for": view.waits_for,
        "spec": view.spec.to_json(),
        "findings": list(view.findings),
        "stages": [_stage(stage) for stage in view.stages],
        "dropped": list(view.dropped),
        "events": [_plain(event) for event in view.events],
    }


def _stage(stage: StageView) -> dict[str, Any]:
    # tokens and generations fence the workers; they are no business of a reader
    facts = _plain(stage, "token", "generation", "attempts", "files")
    pictures = {
        name: url_for("portraits.file", sha256=kept.sha256)
        for name, kept in stage.files.items()
        if kept.media_type == "image/png"
    }
    return facts | {
        "seconds": stage.seconds,
        "attempts": [_plain(attempt, "token") for attempt in stage.attempts],
        "pictures": pictures,
    }

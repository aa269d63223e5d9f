"""What operators change about one job: other parameters, a place in the queue, a copy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from barber.catalogue import clones, jobs, owners, rework
from barber.catalogue.clones import Changes
from barber.catalogue.jobs import JobView
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.people_tables import Role
from barber.errors import BarberError, Conflict, InputError
from barber.moments import HINT, parse_deadline
from barber.parameters import changed, parameters
from barber.table_rows import MAX_SEED
from dashboard import access, record
from dashboard.filters import counted
from dashboard.paging import whole_number

blueprint = Blueprint("changes", __name__)

LONGEST_WHY = 500


@blueprint.get("/jobs/<id:job_id>/change")
@access.needs(Role.OPERATOR)
def change(job_id: int) -> ResponseReturnValue:
    """What can be changed about a job, with what holds now."""
    return _form("job_change.html", job_id)


@blueprint.get("/jobs/<id:job_id>/clone")
@access.needs(Role.OPERATOR)
def cloning(job_id: int) -> ResponseReturnValue:
    """A job's facts as the form of another."""
    return _form("job_clone.html", job_id)


@blueprint.post("/jobs/<id:job_id>/rerun")
@access.needs(Role.OPERATOR)
def rerun(job_id: int) -> ResponseReturnValue:
    """Runs one stage and all that depends on it again, done or not."""
    stage_id = whole_number(request.form, "stage")
    if stage_id is None:
        raise InputError("stage is missing: name the stage to begin with")
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        count = rework.run_from_stage(session, job_id, stage_id, by=access.by(), why=_why())
    flash(f"{counted(count, 'stage')} will run again.")
    return _back(job_id)


@blueprint.post("/jobs/<id:job_id>/params")
@access.needs(Role.OPERATOR)
def params(job_id: int) -> ResponseReturnValue:
    """Gives an ended job other parameters and runs what they change."""
    try:
        with record.transaction() as session:
            view = jobs.job(session, job_id, owner=access.owner())
            new = changed(view.spec.params, _places(request.form))
            if not new:
                raise Conflict("no parameter differs from what the job has: change one")
            count = rework.change_params(session, job_id, new, by=access.by(), why=_why())
    except (InputError, Conflict) as error:
        return _form("job_change.html", job_id, error)
    flash(f"{counted(count, 'stage')} will run again with other parameters.")
    return _back(job_id)


@blueprint.post("/jobs/<id:job_id>/priority")
@access.needs(Role.OPERATOR)
def priority(job_id: int) -> ResponseReturnValue:
    """Moves a job forward or back among those that wait."""
    try:
        number = _number("priority", PRIORITIES[0], PRIORITIES[-1])
        if number is None:
            raise InputError("priority is empty: give a number from -1000 to 1000")
        with record.transaction() as session:
            owners.check_job(session, job_id, access.owner())
            jobs.set_priority(session, job_id, number, by=access.by(), why=_why())
    except InputError as error:
        return _form("job_change.html", job_id, error)
    flash(f"The priority is {number} now.")
    return _back(job_id)


@blueprint.post("/jobs/<id:job_id>/deadline")
@access.needs(Role.OPERATOR)
def deadline(job_id: int) -> ResponseReturnValue:
    """Says by when a job must have ended; an empty field lets it take its time."""
    try:
        with record.transaction() as session:
            owners.check_job(session, job_id, access.owner())
            moment = _moment(session, "deadline")
            jobs.set_deadline(session, job_id, moment, by=access.by(), why=_why())
    except (InputError, Conflict) as error:
        return _form("job_change.html", job_id, error)
    flash("The deadline is set." if moment else "There is no deadline any more.")
    return _back(job_id)


@blueprint.post("/jobs/<id:job_id>/clone")
@access.needs(Role.OPERATOR)
def clone(job_id: int) -> ResponseReturnValue:
    """Queues a copy of a job, with whatever was changed in the form."""
    try:
        with record.transaction() as session:
            view = jobs.job(session, job_id, owner=access.owner())
            new = Changes(
                name=request.form.get("name", "").strip() or None,
                params=changed(view.spec.params, _places(request.form)),
                seed=_number("seed", 0, MAX_SEED),
                priority=_number("priority", PRIORITIES[0], PRIORITIES[-1]),
                deadline=_moment(session, "deadline"),
            )
            copy_id = clones.clone(session, job_id, new, by=access.by(), why=_why())
    except (InputError, Conflict) as error:
        return _form("job_clone.html", job_id, error)
    flash(f"This is a copy of job {job_id}.")
    return _back(copy_id)


def _form(template: str, job_id: int, error: BarberError | None = None) -> ResponseReturnValue:
    """A form with what holds now, or with what was typed and what is wrong with it."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
    status = 200 if error is None else 409 if isinstance(error, Conflict) else 400
    page = render_template(
        template,
        view=view,
        job=view.row,
        stages=_by_stage(view),
        typed=request.form,
        error=error,
        hint=HINT,
        priorities=PRIORITIES,
        max_seed=MAX_SEED,
        now=datetime.now(UTC),
    )
    return page, status


def _by_stage(view: JobView) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for parameter in parameters(view.spec.params):
        found.setdefault(parameter.stage, []).append(parameter)
    return found


def _places(form: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in form.items() if "." in name}


def _number(name: str, least: int, most: int) -> int | None:
    """A whole number of the form; None when it is empty."""
    text = request.form.get(name, "").strip()
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name} is {text[:40]!r}: give a whole number from {least} to {most}")
    return number


def _moment(session: Session, name: str) -> datetime | None:
    text = request.form.get(name, "").strip()
    if not text:
        return None
    return parse_deadline(text, session.scalars(select(func.now())).one().astimezone(UTC))


def _why() -> str:
    return request.form.get("why", "").strip()[:LONGEST_WHY] or "asked for on the job's page"


def _back(job_id: int) -> ResponseReturnValue:
    return redirect(url_for("jobs.show", job_id=job_id), 303)

"""Jobs: the list, one with its stages, and the two changes a person may ask for."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import curves, jobs, owners
from barber.catalogue.listing import Sort
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus
from barber.plan import StageKind
from dashboard import access, job_filter, live, record
from dashboard.job_page import facts_of
from dashboard.legend import legend
from dashboard.paging import whole_number

blueprint = Blueprint("jobs", __name__)

POLL_S = 2
LIST_POLL_S = 4
WHY = "asked for on the job's page"


@blueprint.get("/jobs")
@access.needs(Role.VIEWER)
@live.streamed(shared=True)
def index() -> ResponseReturnValue:
    """The jobs that a filter meets; the address is the filter."""
    asked = job_filter.asked(request.args, access.owner())
    with record.transaction() as session:
        mine, batch_id = access.owner(), asked.chosen.batch_id
        batch = jobs.batch(session, batch_id, owner=mine) if batch_id is not None else None
        found = job_filter.page(session, asked.chosen, sort=asked.sort, before=asked.before)
    return live.render(
        "jobs.html",
        "_jobs.html",
        poll_s=LIST_POLL_S,
        page=found,
        asked=asked,
        one={name: values[-1] for name, values in asked.arguments.items()},
        batch=batch,
        statuses=tuple(JobStatus),
        stages=tuple(StageKind),
        sorts=tuple(Sort),
        operates=access.may(Role.OPERATOR),
        now=datetime.now(UTC),
    )


@blueprint.get("/jobs/<id:job_id>")
@access.needs(Role.VIEWER)
@live.streamed(shared=True, job="job_id")
def show(job_id: int) -> ResponseReturnValue:
    """One job: inputs, stages, result or error, history."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
        falls = curves.of_job(session, job_id)
    facts = facts_of(view, falls, datetime.now(UTC), operates=access.may(Role.OPERATOR))
    return live.render(
        "job.html",
        "_job.html",
        poll_s=None if view.row.status.final else POLL_S,
        legend=legend(facts["layers"], record.store()),
        **facts,
    )


@blueprint.post("/jobs/<id:job_id>/retry")
@access.needs(Role.OPERATOR)
def retry(job_id: int) -> ResponseReturnValue:
    """Sets the failed stages back, or the one named by `stage`; finished stages stay."""
    with record.transaction() as session:
        stage_id = whole_number(request.form, "stage")
        owners.check_job(session, job_id, access.owner())
        jobs.retry(session, job_id, by=access.by(), stage_id=stage_id, why=WHY)
    return redirect(url_for("jobs.show", job_id=job_id), 303)


@blueprint.post("/jobs/<id:job_id>/cancel")
@access.needs(Role.OPERATOR)
def cancel(job_id: int) -> ResponseReturnValue:
    """Stops the job: what waits at once, what runs at its next step."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        jobs.cancel(session, job_id, by=access.by(), why=WHY)
    return redirect(url_for("jobs.show", job_id=job_id), 303)

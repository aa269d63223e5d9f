"""One job: followed as it changes, its parameters and curves, a deadline, a copy."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, url_for

from barber.catalogue import clones, curves, jobs, owners
from barber.catalogue.clones import Changes
from barber.catalogue.people_tables import Role
from barber.parameters import parameters
from dashboard import access, live, record
from dashboard.api import shapes
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain

OPERATOR, VIEWER = Role.OPERATOR, Role.VIEWER


@endpoint(
    "GET",
    "/jobs/<id:job_id>/watch",
    role=VIEWER,
    answer=None,
    tag="jobs",
    gives="text/event-stream",
)
def watch(job_id: int) -> Response:
    """Server-sent events: event `job` with the job as its own address gives it, at each change.

    The first comes at once, unless the header Last-Event-ID says that it is known. `gone` is the
    last one, when there is no such job any more.
    """
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
    how = live.Streamed(shared=True, job="job_id")
    answer = live.follow(url_for("api.show", job_id=job_id), how, {"job_id": job_id})
    return make_response(answer)


@endpoint("GET", "/jobs/<id:job_id>/parameters", role=VIEWER, answer=shapes.Parameters, tag="jobs")
def job_parameters(job_id: int) -> dict[str, Any]:
    """Every parameter of a job: its value, the official one, what it may be."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
    return {"parameters": [plain(each) for each in parameters(view.spec.params)]}


@endpoint("GET", "/jobs/<id:job_id>/curves", role=VIEWER, answer=shapes.Curves, tag="jobs")
def job_curves(job_id: int) -> dict[str, Any]:
    """How the losses of a job's stages fell, attempt by attempt."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
        found = curves.of_job(session, job_id)
    number = {
        (stage.id, attempt.token): count
        for stage in view.stages
        for count, attempt in enumerate(stage.attempts, start=1)
    }
    return {
        "curves": [
            {
                "stage_id": row.stage_id,
                "attempt": number[row.stage_id, row.token],
                "phases": [plain(phase) for phase in row.phases],
            }
            for rows in found.values()
            for row in rows
        ]
    }


@endpoint("POST", "/jobs/<id:job_id>/deadline", role=OPERATOR, answer=shapes.Changed, tag="jobs")
def deadline(job_id: int, json: shapes.DeadlineAsked) -> dict[str, Any]:
    """Says by when a job must have ended, or takes its deadline away."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        jobs.set_deadline(session, job_id, json.deadline, by=access.by(), why=json.why)
    return {"job_id": job_id, "deadline": json.deadline}


@endpoint("POST", "/jobs/<id:job_id>/clone", role=OPERATOR, answer=shapes.Cloned, tag="jobs")
def clone(job_id: int, json: shapes.CloneAsked) -> dict[str, Any]:
    """Queues a copy of a job in a batch of its own, with what is given changed."""
    new = Changes(
        name=json.name,
        params=json.params,
        seed=json.seed,
        priority=json.priority,
        deadline=json.deadline,
    )
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        copy_id = clones.clone(session, job_id, new, by=access.by(), why=json.why)
    page = url_for("jobs.show", job_id=copy_id)
    return {"job_id": job_id, "copy_id": copy_id, "page": page}

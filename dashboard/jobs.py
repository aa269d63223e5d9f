"""Jobs: the list, one with its stages, and the two changes a person may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import jobs, owners
from barber.catalogue.jobs import JobView, StageView
from barber.catalogue.listing import Sort
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus, StageStatus
from barber.plan import PlannedStage, StageKind, plan
from barber.spec import JobSpec
from dashboard import access, job_filter, live, record
from dashboard.graph import lay_out
from dashboard.inputs import inputs, stage_words
from dashboard.paging import whole_number

blueprint = Blueprint("jobs", __name__)

POLL_S = 2
LIST_POLL_S = 4
WHY = "asked for on the job's page"
SMALL_PX = 128  # pictures up to this side are shown with their pixels, not smoothed


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCard:
    """What the page shows of a stage beside the stage itself."""

    stage: StageView
    words: str  # what it works on
    picture: str | None  # sha256 of its artifact's picture
    seconds: float | None  # so far, when it runs
    worker: str | None  # who has it, or had it last


@blueprint.get("/jobs")
@access.needs(Role.VIEWER)
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
    return live.render(
        "job.html",
        "_job.html",
        poll_s=None if view.row.status.final else POLL_S,
        **facts_of(view, datetime.now(UTC), operates=access.may(Role.OPERATOR)),
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


def facts_of(view: JobView, now: datetime, *, operates: bool) -> dict[str, Any]:
    """Everything that the job's page shows, to somebody who may change it or may not."""
    planned = {(stage.kind, stage.slot): stage for stage in plan(view.spec)}
    cards = {
        stage.id: StageCard(
            stage=stage,
            words=_words(view.spec, planned.get((StageKind(stage.kind), stage.slot))),
            picture=_picture(stage),
            seconds=_seconds(stage, now),
            worker=stage.worker or (stage.attempts[-1].worker if stage.attempts else None),
        )
        for stage in view.stages
    }
    failed = [stage for stage in view.stages if stage.status is StageStatus.FAILED]
    stopped = any(stage.status is StageStatus.CANCELLED for stage in view.stages)
    side = next((row.side_px for row in view.portraits.values()), 0)
    return {
        "job": view.row,
        "view": view,
        "inputs": inputs(view.spec),
        "graph": lay_out(view.stages),
        "cards": cards,
        "masks": [c for c in cards.values() if c.stage.kind == StageKind.TARGET and c.picture],
        "failed": failed,
        "latest": _latest(view),
        "small": side <= SMALL_PX,
        "can_retry": operates and view.row.status.final and (bool(failed) or stopped),
        "can_cancel": operates and not view.row.status.final and not view.row.cancel_requested,
        "seconds": _job_seconds(view, now),
        "now": now,
    }


def _words(spec: JobSpec, stage: PlannedStage | None) -> str:
    # a job planned by another version of the method may have stages that today's plan has not
    return stage_words(spec, stage) if stage is not None else ""


def _picture(stage: StageView) -> str | None:
    return next((f.sha256 for f in stage.files.values() if f.media_type == "image/png"), None)


def _seconds(stage: StageView, now: datetime) -> float | None:
    if stage.status is StageStatus.RUNNING and stage.attempts:
        return (now - stage.attempts[-1].started_at).total_seconds()
    return stage.seconds


def _job_seconds(view: JobView, now: datetime) -> float | None:
    if view.row.started_at is None:
        return None
    return ((view.row.finished_at or now) - view.row.started_at).total_seconds()


def _latest(view: JobView) -> StageView | None:
    """The running stage whose preview says most about the result: the one nearest the end."""
    order = [StageKind.TARGET, StageKind.RECONSTRUCT, StageKind.ALIGN, StageKind.BLEND]
    shown = [
        s for s in view.stages if s.status is StageStatus.RUNNING and s.preview_step is not None
    ]
    return max(shown, key=lambda s: order.index(StageKind(s.kind)), default=None)

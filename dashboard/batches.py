"""Batches: the overview of all, and one with its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from barber.catalogue import activity, counts, dead, deadlines, findings, jobs, outlook, workers
from barber.catalogue.activity import RunningStage
from barber.catalogue.outlook import Estimate
from barber.catalogue.people_tables import Role
from barber.catalogue.standing import DISPATCHER, MOST_CAUSES
from barber.catalogue.status import JobStatus, WorkerStatus
from barber.catalogue.workers import WorkerRow
from dashboard import access, live, record
from dashboard.health import alive
from dashboard.paging import page_of, place

blueprint = Blueprint("batches", __name__)

OVERVIEW_POLL_S = 3
BATCH_POLL_S = 3
LOST_SHOWN_S = 24 * 3600.0  # a worker that was lost stays on the page for a day
MOST_LOST = 20
# Left to right in a progress bar: what is over first, what waits last.
BAR_ORDER = (
    JobStatus.SUCCEEDED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.RUNNING,
    JobStatus.QUEUED,
)


@blueprint.get("/")
@access.needs(Role.VIEWER)
@live.streamed(shared=True)
def overview() -> ResponseReturnValue:
    """All batches, newest first, and the workers."""
    mine = access.owner()
    with record.transaction() as session:
        found = page_of(
            lambda limit: jobs.batches(
                session, limit=limit, before=place(request.args), owner=mine
            ),
            key=lambda row: row.id,
        )
        totals = counts.totals(session, owner=mine)
        listed = workers.listed(session)
        paused = jobs.paused_all(session)
        unserved = workers.unserved(session, owner=mine)
        doing = {stage.worker: stage for stage in activity.running(session, owner=mine)}
        ahead = outlook.look_ahead(session, owner=mine, dispatching=_dispatching(listed))
        causes = dead.groups(session, owner=mine, most=MOST_CAUSES)
    return live.render(
        "overview.html",
        "_overview.html",
        poll_s=OVERVIEW_POLL_S,
        page=found,
        totals=totals,
        workers=_present(listed, doing),
        lost=_lost(listed, doing),
        unserved=unserved,
        ahead=ahead,
        causes=causes,
        operates=access.may(Role.OPERATOR),
        now=datetime.now(UTC),
        dispatcher=next((w for w in listed if DISPATCHER in w.queues), None),
        doing=doing,
        paused=paused,
        order=BAR_ORDER,
        alive=alive,
    )


@blueprint.get("/batches/<id:batch_id>")
@access.needs(Role.VIEWER)
@live.streamed(shared=True)
def show(batch_id: int) -> ResponseReturnValue:
    """One batch: how far it is, what was refused, its jobs."""
    with record.transaction() as session:
        batch = jobs.batch(session, batch_id, owner=access.owner())
        due = deadlines.of_batch(session, batch_id)
        warned = findings.warned(session, batch_id)
        warnings = findings.warnings_by_check(session, batch_id) if warned else {}
        listed = [] if batch.finished else workers.listed(session)
        ahead = None if batch.finished else _ahead(session, batch_id, listed)
        found = page_of(
            lambda limit: jobs.jobs(
                session, batch_id=batch_id, limit=limit, before=place(request.args)
            ),
            key=lambda row: row.id,
        )
    return live.render(
        "batch.html",
        "_batch.html",
        poll_s=None if batch.finished else BATCH_POLL_S,
        batch=batch,
        estimate=ahead,
        deadlines=due,
        warned=warned,
        warnings=warnings,
        page=found,
        order=BAR_ORDER,
        now=datetime.now(UTC),
    )


def _dispatching(rows: Sequence[WorkerRow]) -> bool:
    return any(DISPATCHER in worker.queues and alive(worker) for worker in rows)


def _ahead(session: Session, batch_id: int, listed: Sequence[WorkerRow]) -> Estimate | None:
    """When a batch will be done; None when nothing of it is open any more."""
    found = outlook.look_ahead(session, dispatching=_dispatching(listed))
    return found.estimates.get(batch_id)


def _lost(rows: Sequence[WorkerRow], doing: Mapping[str, RunningStage]) -> list[WorkerRow]:
    """Workers that fell silent without a word within the last day, the latest first."""
    silent = [
        worker
        for worker in rows
        if not alive(worker)
        and worker.name not in doing
        and DISPATCHER not in worker.queues
        and worker.status is not WorkerStatus.STOPPED
        and worker.silent_s < LOST_SHOWN_S
    ]
    return sorted(silent, key=lambda worker: worker.silent_s)[:MOST_LOST]


def _present(rows: Sequence[WorkerRow], doing: Mapping[str, RunningStage]) -> list[WorkerRow]:
    """Workers that are there, or that still hold a stage; those gone are left out."""
    return [w for w in rows if DISPATCHER not in w.queues and (alive(w) or w.name in doing)]

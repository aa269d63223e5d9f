"""What waits for a person: failures by cause, what is paused, what nobody would do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from barber.catalogue import bulk, counts, dead, jobs, selection, workers
from barber.catalogue.bulk import JobVerdict
from barber.catalogue.dead import DeadGroup
from barber.catalogue.people_tables import Role
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.errors import InputError, NotFound
from dashboard import access, live, record
from dashboard.filters import counted

blueprint = Blueprint("attention", __name__, url_prefix="/attention")

POLL_S = 10
SLOW_S = 30.0  # a message that waits longer for the broker is worth a line
LONGEST_S: Final = 10.0  # a request retries for so long; what is left stays in its group
REFUSALS_TOLD = 3
LONGEST_WHY = 500


@blueprint.get("")
@access.needs(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Everything that will not move by itself."""
    mine = access.owner()
    with record.transaction() as session:
        found = dead.dead(session, owner=mine)
        unserved = workers.unserved(session, owner=mine)
    slow = found.outbox.oldest_s > SLOW_S
    system = bool(found.refused or found.quarantined or slow)
    return live.render(
        "attention.html",
        "_attention.html",
        poll_s=POLL_S,
        dead=found,
        unserved=unserved,
        slow=slow,
        nothing=not (found.groups or found.held or unserved or system),
        operates=access.may(Role.OPERATOR),
    )


@blueprint.get("/<key>/retry")
@access.needs(Role.OPERATOR)
def ask(key: str) -> ResponseReturnValue:
    """Says how many jobs a retry of a group takes, and asks why."""
    with record.transaction() as session:
        group = _group(session, key)
        count = sum(selection.count(session, _jobs_of(group)).values())
    return render_template("retry_group.html", group=group, count=count, longest_why=LONGEST_WHY)


@blueprint.post("/<key>/retry")
@access.needs(Role.OPERATOR)
def retry(key: str) -> ResponseReturnValue:
    """Sets the failed stages of a group's jobs back, each job by itself."""
    why = request.form.get("why", "").strip()
    if not 0 < len(why) <= LONGEST_WHY:
        raise InputError(f"say why, in 1 to {LONGEST_WHY} characters: it is kept with each job")
    with record.transaction() as session:
        group = _group(session, key)
    verdicts = list(_for_a_while(_retried(group, why)))
    with record.transaction() as session:
        left = sum(selection.count(session, _jobs_of(group)).values())
    _tell(verdicts, left)
    return redirect(url_for("attention.index"), 303)


def failed_jobs() -> int:
    """How many jobs of the visitor's have failed for good, for the header; cheap at any size."""
    try:
        with record.transaction() as session:
            return counts.totals(session, owner=access.owner())[JobStatus.FAILED]
    except DBAPIError:
        return 0  # the page that tells of it has this header too


def _group(session: Session, key: str) -> DeadGroup:
    """Raises NotFound when the visitor has no such failures any more."""
    for group in dead.groups(session, owner=access.owner()):
        if group.common.key == key and group.retriable:
            return group
    raise NotFound("no failures of that kind are left to retry: they have moved on")


def _jobs_of(group: DeadGroup) -> Selection:
    return Selection(cause=group.common.key, owner=access.owner())


def _retried(group: DeadGroup, why: str) -> Iterator[JobVerdict]:
    by = access.by()

    def action(session: Session, job_id: int) -> str:
        return f"{counted(jobs.retry(session, job_id, by=by, why=why), 'stage')} set back"

    return bulk.each(current_app.extensions["engine"], _jobs_of(group), action)


def _for_a_while(verdicts: Iterator[JobVerdict]) -> Iterator[JobVerdict]:
    end = time.monotonic() + LONGEST_S
    for verdict in verdicts:
        yield verdict
        if time.monotonic() > end:
            return


def _tell(verdicts: list[JobVerdict], left: int) -> None:
    done = sum(verdict.done for verdict in verdicts)
    rest = f"; {left:,} of this group are left: retry them too" if left else ""
    flash(f"{counted(done, 'job')} will run again{rest}.")
    refused = [verdict for verdict in verdicts if not verdict.done]
    for verdict in refused[:REFUSALS_TOLD]:
        flash(f"Job {verdict.job_id} stayed: {verdict.outcome}")

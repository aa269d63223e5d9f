"""Bulk actions: look at what it comes to, say why, and watch it being done in the background."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import bulk_actions, jobs
from barber.catalogue.bulk_actions import LONGEST_WHY, Wish
from barber.catalogue.bulk_tables import BulkStatus, BulkVerb
from barber.catalogue.deletion import WHAT_GOES
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from dashboard import access, job_filter, live, record
from dashboard.paging import page_of, place, whole_number

blueprint = Blueprint("bulk", __name__, url_prefix="/bulk")

POLL_S = 1
BESIDE: Final = ("verb", "value", "why", "expected", "everything", "csrf_token")
TITLES: Final = {
    BulkVerb.RETRY: "Retry",
    BulkVerb.CANCEL: "Cancel",
    BulkVerb.PRIORITY: "Change the priority of",
    BulkVerb.DELETE: "Delete",
}
HINTS: Final = {
    BulkVerb.RETRY: (
        "Failed and cancelled stages run again with fresh budgets; what succeeded stays. "
        "A deadline that has passed is taken away."
    ),
    BulkVerb.CANCEL: "What waits ends at once, what runs stops at its next step.",
    BulkVerb.PRIORITY: "The highest goes first among a person's jobs that wait: -1000 to 1000.",
    BulkVerb.DELETE: WHAT_GOES,
}


@blueprint.get("")
@access.needs(Role.VIEWER)
def index() -> ResponseReturnValue:
    """All bulk actions, newest first."""
    with record.transaction() as session:
        found = page_of(
            lambda limit: bulk_actions.listed(
                session, limit=limit, before=place(request.args), owner=access.owner()
            ),
            key=lambda row: row.id,
        )
    return render_template("bulks.html", page=found, titles=TITLES)


@blueprint.get("/new")
@access.needs(Role.OPERATOR)
def ask() -> ResponseReturnValue:
    """Says how many jobs it takes, how many it leaves and why, and asks for the reason."""
    verb = _verb(request.args.get("verb", ""))
    asked = job_filter.asked(request.args, access.owner(), beside=BESIDE)
    with record.transaction() as session:
        if asked.chosen.batch_id is not None:
            jobs.batch(session, asked.chosen.batch_id, owner=access.owner())
        outlook = bulk_actions.forecast(session, verb, asked.chosen)
    return render_template(
        "bulk_new.html",
        verb=verb,
        asked=asked,
        outlook=outlook,
        told=bulk_actions.sentence(outlook, verb),
        title=TITLES[verb],
        hint=HINTS[verb],
        longest_why=LONGEST_WHY,
    )


@blueprint.post("")
@access.needs(Role.OPERATOR)
def create() -> ResponseReturnValue:
    """Writes it down; the dispatcher does it."""
    asked = job_filter.asked(request.form, access.owner(), beside=BESIDE)
    verb = _verb(request.form.get("verb", ""))
    wish = Wish(
        verb=verb,
        chosen=asked.chosen,
        why=request.form.get("why", ""),
        priority=_value() if verb is BulkVerb.PRIORITY else None,
        everything=request.form.get("everything") == "1",
    )
    with record.transaction() as session:
        expected = whole_number(request.form, "expected")
        bulk_id = bulk_actions.create(session, wish, by=access.by(), expected=expected)
    return redirect(url_for("bulk.show", bulk_id=bulk_id), 303)


@blueprint.get("/<id:bulk_id>")
@access.needs(Role.VIEWER)
def show(bulk_id: int) -> ResponseReturnValue:
    """How far it is, and what became of each job."""
    skipped = request.args.get("only") == "skipped"
    with record.transaction() as session:
        row = bulk_actions.one(session, bulk_id, owner=access.owner())
        found = page_of(
            lambda limit: bulk_actions.report(
                session,
                bulk_id,
                skipped=skipped,
                limit=limit,
                after=whole_number(request.args, "after") or 0,
            ),
            key=lambda each: each.job_id,
        )
    return live.render(
        "bulk.html",
        "_bulk.html",
        poll_s=None if row.status.final else POLL_S,
        bulk=row,
        page=found,
        skipped=skipped,
        title=TITLES[row.verb],
        stoppable=not row.status.final and access.may(Role.OPERATOR),
        stopped=row.status is BulkStatus.STOPPED,
    )


@blueprint.post("/<id:bulk_id>/stop")
@access.needs(Role.OPERATOR)
def stop(bulk_id: int) -> ResponseReturnValue:
    """Ends it; what it has done stays done."""
    with record.transaction() as session:
        bulk_actions.stop(session, bulk_id, by=access.by(), owner=access.owner())
    return redirect(url_for("bulk.show", bulk_id=bulk_id), 303)


def _verb(word: str) -> BulkVerb:
    try:
        return BulkVerb(word)
    except ValueError:
        known = ", ".join(BulkVerb)
        raise InputError(f"verb {word[:40]!r} is unknown: use one of {known}") from None


def _value() -> int:
    text = request.form.get("value", "").strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        raise InputError(f"priority {text[:40]!r} is no whole number: give one from -1000 to 1000")
    return int(text)

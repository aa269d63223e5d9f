"""User studies in the console: making one, choosing blind, and what came of it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from barber.catalogue import jobs, studies
from barber.catalogue.people_tables import Role
from barber.catalogue.studies import QUESTION, Side, Source, StudyRow
from barber.errors import InputError
from dashboard import access, record
from dashboard.paging import page_of, place, whole_number

blueprint = Blueprint("studies", __name__, url_prefix="/studies")

LONGEST_NAME = 200
BATCHES_OFFERED = 100


@blueprint.get("")
@access.needs(Role.VIEWER)
def index() -> ResponseReturnValue:
    """All studies, newest first, and the form for a new one."""
    mine, me = access.owner(), access.visitor().person.id
    with record.transaction() as session:
        found = page_of(
            lambda limit: studies.listed(
                session, me, owner=mine, limit=limit, before=place(request.args)
            ),
            key=lambda row: row.id,
        )
        offered = jobs.batches(session, limit=BATCHES_OFFERED, owner=mine)
    return render_template(
        "studies.html",
        page=found,
        batches=offered,
        question=QUESTION,
        operates=access.may(Role.OPERATOR),
    )


@blueprint.post("")
@access.needs(Role.OPERATOR)
def make() -> ResponseReturnValue:
    """Makes a study of two sets."""
    with record.transaction() as session:
        study_id, _, _ = studies.make(
            session,
            name=_text("name"),
            question=_text("question"),
            a=_source("a"),
            b=_source("b"),
            by=access.by(),
            owner=access.owner(),
            maker_id=access.visitor().person.id,
        )
    return redirect(url_for("studies.show", study_id=study_id), 303)


@blueprint.get("/<id:study_id>")
@access.needs(Role.VIEWER)
def show(study_id: int) -> ResponseReturnValue:
    """The next pair of whoever looks."""
    with record.transaction() as session:
        row = _study(study_id, session)
        ballot = studies.ballot(session, study_id, access.visitor().person.id)
    return render_template(
        "study.html", study=row, ballot=ballot, operates=access.may(Role.OPERATOR)
    )


@blueprint.post("/<id:study_id>/votes")
@access.needs(Role.VIEWER)
def vote(study_id: int) -> ResponseReturnValue:
    """Takes one choice and shows the next pair."""
    text = request.form.get("pair", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError("the form names no pair: load the page again")
    try:
        side = Side(request.form.get("side", ""))
    except ValueError:
        raise InputError("choose the left or the right picture") from None
    with record.transaction() as session:
        _study(study_id, session)
        studies.vote(session, study_id, access.visitor().person.id, int(text), side)
    return redirect(url_for("studies.show", study_id=study_id), 303)


@blueprint.get("/<id:study_id>/results")
@access.needs(Role.OPERATOR)
def results(study_id: int) -> ResponseReturnValue:
    """Counts, and how sure they are."""
    from barber.evaluation.intervals import share_of  # SciPy takes a second to load

    with record.transaction() as session:
        row = _study(study_id, session)
        tally = studies.tally(session, study_id)
    return render_template(
        "study_results.html",
        study=row,
        tally=tally,
        share=share_of(tally.a, tally.votes),
        left=share_of(tally.left, tally.votes),
    )


@blueprint.post("/<id:study_id>/close")
@access.needs(Role.OPERATOR)
def close(study_id: int) -> ResponseReturnValue:
    """Takes no more votes."""
    with record.transaction() as session:
        _study(study_id, session)
        studies.close(session, study_id, by=access.by())
    return redirect(url_for("studies.results", study_id=study_id), 303)


def _study(study_id: int, session: Session) -> StudyRow:
    me = access.visitor().person.id
    return studies.study(session, study_id, me, owner=access.owner())


def _text(name: str) -> str:
    found = request.form.get(name, "").strip()
    if not 0 < len(found) <= LONGEST_NAME:
        raise InputError(f"give a {name} of 1 to {LONGEST_NAME} characters")
    return found


def _source(which: str) -> Source:
    batch_id = whole_number(request.form, f"batch_{which}")
    if batch_id is None:
        raise InputError(f"choose the batch of set {which.upper()}")
    pattern = request.form.get(f"pattern_{which}", "").strip() or "*"
    return Source(label=_text(f"label_{which}"), batch_id=batch_id, pattern=pattern)

"""Results to look at: the gallery of a batch, one result in full, verdicts with a way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from barber.catalogue import gallery, jobs, originals, owners, verdicts
from barber.catalogue.gallery import Order, Shown, Wanted
from barber.catalogue.people_tables import Role
from barber.catalogue.review_tables import Decision
from barber.errors import InputError
from dashboard import access, record
from dashboard.api.results import archive_of
from dashboard.filters import counted
from dashboard.inputs import inputs
from dashboard.paging import MAX_ID, whole_number

blueprint = Blueprint("results", __name__, url_prefix="/results")

PAGE = 24
SMALL_PX = 128  # pictures up to this side are shown with their pixels, not smoothed
MOST_TICKED = 5000
UNDECIDED = "undecided"  # a form's word for taking a verdict away
C = TypeVar("C", Shown, Order)


@blueprint.get("")
@access.needs(Role.VIEWER)
def index() -> ResponseReturnValue:
    """The results of a batch, or of all batches newest first."""
    wanted = _wanted(request.args)
    with record.transaction() as session:
        _check(session, wanted)
        batch = None
        numbers: Mapping[Shown, int] = {}
        if wanted.batch_id is not None:
            batch = jobs.batch(session, wanted.batch_id, owner=access.owner())
            numbers = gallery.counts(session, wanted.batch_id)
        after = request.args.get("after", "")
        items, following = gallery.page(session, wanted, limit=PAGE, after=after)
    return render_template(
        "results.html",
        items=items,
        batch=batch,
        numbers=numbers,
        wanted=wanted,
        kinds=tuple(Shown),
        orders=tuple(Order),
        following=following,
        after=after,
        operates=access.may(Role.OPERATOR),
    )


@blueprint.get("/<id:job_id>")
@access.needs(Role.VIEWER)
def show(job_id: int) -> ResponseReturnValue:
    """One result beside what it was made of, with its numbers."""
    wanted = _wanted(request.args)
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        item = gallery.item(session, job_id, owner=access.owner())
        view = jobs.job(session, job_id)
        following = gallery.following(session, wanted, job_id)
    identity = view.portraits[item.identity]
    return render_template(
        "result.html",
        item=item,
        inputs=inputs(view.spec),
        portraits=view.portraits,
        wanted=wanted,
        place=_place(wanted),
        following=following,
        small=identity.side_px <= SMALL_PX,
        photographed=identity.photo_file_sha256 is not None,
        operates=access.may(Role.OPERATOR),
    )


@blueprint.get("/<id:job_id>/photograph.png")
@access.needs(Role.VIEWER)
def photograph(job_id: int) -> ResponseReturnValue:
    """The result pasted back into the photograph of its identity."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        data = originals.into_original(session, record.store(), job_id)
    return Response(data, mimetype="image/png", headers={"Cache-Control": "private, max-age=60"})


@blueprint.post("/verdicts")
@access.needs(Role.OPERATOR)
def judge() -> ResponseReturnValue:
    """Accepts or rejects one result, those ticked, or all that the gallery shows."""
    wanted, form = _wanted(request.form), request.form
    one = whole_number(form, "one")
    if one is not None:
        chosen, word = Wanted(job_ids=(one,), owner=access.owner()), form.get("decision", "")
    elif form.get("all"):
        if wanted.batch_id is None:
            raise InputError("choose a batch first: verdicts on all batches at once are not given")
        chosen, word = wanted, form["all"]
    else:
        chosen, word = Wanted(job_ids=_ticked(), owner=access.owner()), form.get("ticked", "")
    decision = _decision(word)
    with record.transaction() as session:
        _check(session, chosen)
        deed, count = verdicts.decide(session, chosen, decision, by=access.by())
        following = gallery.following(session, wanted, one) if one is not None else None
    flash(f"{counted(count, 'result')} {decision or UNDECIDED}.", f"deed {deed}")
    back = _back(wanted)
    if form.get("go") and following is not None:
        back = url_for("results.show", job_id=following, **_place(wanted))
    return redirect(back, 303)


@blueprint.post("/undo")
@access.needs(Role.OPERATOR)
def undo() -> ResponseReturnValue:
    """Takes the verdicts of one deed back."""
    deed = whole_number(request.form, "deed")
    if deed is None:
        raise InputError("which deed shall be undone? Use the button beside the message")
    with record.transaction() as session:
        count = verdicts.undo(session, deed, owner=access.owner(), by=access.by())
    flash(f"{counted(count, 'result')} as before.")
    return redirect(_back(_wanted(request.form)), 303)


@blueprint.post("/archive")
@access.needs(Role.VIEWER)
def archive() -> ResponseReturnValue:
    """The ticked results as a ZIP, or all that the gallery shows."""
    wanted = _wanted(request.form)
    if not request.form.get("all"):
        return archive_of(Wanted(job_ids=_ticked(), owner=access.owner()), "results")
    if wanted.batch_id is None:
        raise InputError("choose a batch first, or tick the results that you want")
    with record.transaction() as session:
        batch = jobs.batch(session, wanted.batch_id, owner=access.owner())
    return archive_of(wanted, batch.name)


def _wanted(given: Mapping[str, str]) -> Wanted:
    """The gallery that an address or a form names. Raises InputError."""
    return Wanted(
        batch_id=whole_number(given, "batch"),
        shown=_choice(Shown, given, "show", Shown.ALL),
        order=_choice(Order, given, "sort", Order.NEWEST),
        owner=access.owner(),
    )


def _choice(kind: type[C], given: Mapping[str, str], name: str, usual: C) -> C:
    text = given.get(name) or str(usual)
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        raise InputError(f"{name}={text[:40]!r} is unknown: use one of {known}") from None


def _check(session: Session, wanted: Wanted) -> None:
    if wanted.batch_id is not None:
        owners.check_batch(session, wanted.batch_id, access.owner())


def _decision(word: str) -> Decision | None:
    if word == UNDECIDED:
        return None
    try:
        return Decision(word)
    except ValueError:
        known = ", ".join([*Decision, UNDECIDED])
        raise InputError(f"{word[:40]!r} is no verdict: use one of {known}") from None


def _ticked() -> tuple[int, ...]:
    texts = request.form.getlist("job")
    if not 0 < len(texts) <= MOST_TICKED:
        raise InputError(f"tick from 1 to {MOST_TICKED:,} results first")
    if not all(text.isascii() and text.isdigit() and 0 < int(text) <= MAX_ID for text in texts):
        raise InputError("a ticked result is no job number: load the page again")
    return tuple(map(int, texts))


def _place(wanted: Wanted) -> dict[str, Any]:
    """The gallery as arguments of an address."""
    found: dict[str, Any] = {"batch": wanted.batch_id}
    if wanted.shown is not Shown.ALL:
        found["show"] = str(wanted.shown)
    if wanted.order is not Order.NEWEST:
        found["sort"] = str(wanted.order)
    return found


def _back(wanted: Wanted) -> str:
    """Where the form came from: the gallery at its place, or the result's own page."""
    one = whole_number(request.form, "page")
    if one is not None:
        return url_for("results.show", job_id=one, **_place(wanted))
    return url_for("results.index", **_place(wanted), after=request.form.get("after") or None)

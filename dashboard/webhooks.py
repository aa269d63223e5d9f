"""Webhooks in the console: one's own, with the log of their calls."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import webhooks
from barber.catalogue.people_tables import Role
from barber.catalogue.webhook_tables import Happening
from barber.errors import InputError
from dashboard import access, record

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")

LOG_SHOWN = 10


@blueprint.get("")
@access.needs(Role.OPERATOR)
def index() -> ResponseReturnValue:
    """All that one may look after."""
    return _page()


@blueprint.post("")
@access.needs(Role.OPERATOR)
def add() -> ResponseReturnValue:
    """Registers an address and shows its secret this once."""
    words = request.form.getlist("happening")
    try:
        unknown = sorted(set(words) - set(Happening))
        if unknown:
            raise InputError(f"nothing is called {unknown[0][:40]!r}")
        with record.transaction() as session:
            row, secret = webhooks.add(
                session,
                access.visitor().person.id,
                request.form.get("url", "").strip(),
                [Happening(word) for word in words],
                by=access.by(),
                allow_private=bool(record.settings().webhook_private),
            )
    except InputError as error:
        return _page(problem=str(error)), 400
    return _page(secret=secret, made=row.id)


@blueprint.post("/<id:webhook_id>/enable")
@access.needs(Role.OPERATOR)
def enable(webhook_id: int) -> ResponseReturnValue:
    """Calls it again."""
    with record.transaction() as session:
        webhooks.one(session, webhook_id, _whose())
        webhooks.enable(session, webhook_id, by=access.by())
    return redirect(url_for("webhooks.index"), 303)


@blueprint.post("/<id:webhook_id>/remove")
@access.needs(Role.OPERATOR)
def remove(webhook_id: int) -> ResponseReturnValue:
    """Calls it no more."""
    with record.transaction() as session:
        webhooks.one(session, webhook_id, _whose())
        webhooks.remove(session, webhook_id, by=access.by())
    return redirect(url_for("webhooks.index"), 303)


def _whose() -> int | None:
    return None if access.may(Role.ADMIN) else access.visitor().person.id


def _page(*, problem: str = "", secret: str = "", made: int | None = None) -> str:
    with record.transaction() as session:
        rows = webhooks.listed(session, _whose())
        logs = {row.id: webhooks.log(session, row.id, limit=LOG_SHOWN) for row in rows}
    return render_template(
        "webhooks.html",
        webhooks=rows,
        logs=logs,
        happenings=list(Happening),
        problem=problem,
        secret=secret,
        made=made,
    )

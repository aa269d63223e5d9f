"""People, for admins: who is there, as what, and how they get in."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import logins, people, tokens
from barber.catalogue.people_tables import Role
from dashboard import access, record

blueprint = Blueprint("people", __name__, url_prefix="/people")


@blueprint.get("")
@access.needs(Role.ADMIN)
def index() -> ResponseReturnValue:
    """Everybody, and all tokens."""
    return _page()


@blueprint.post("")
@access.needs(Role.ADMIN)
def add() -> ResponseReturnValue:
    """Adds a person and shows the link that lets them in once, to choose a password."""
    role = _role()
    with record.transaction() as catalogue:
        own_only = "own_only" in request.form
        name = request.form.get("name", "")
        person = people.add(catalogue, name, role, by=access.by(), own_only=own_only)
        secret = logins.make_link(catalogue, person.name, by=access.by())
    return _page(link_for=person.name, secret=secret)


@blueprint.post("/<name>/link")
@access.needs(Role.ADMIN)
def link(name: str) -> ResponseReturnValue:
    """Shows a new link for somebody who forgot their password."""
    with record.transaction() as catalogue:
        secret = logins.make_link(catalogue, name, by=access.by())
    return _page(link_for=name, secret=secret)


@blueprint.post("/<name>/change")
@access.needs(Role.ADMIN)
def change(name: str) -> ResponseReturnValue:
    """Another role or scope."""
    role = _role()
    with record.transaction() as catalogue:
        own_only = "own_only" in request.form
        people.change(catalogue, name, by=access.by(), role=role, own_only=own_only, why=_why())
    return redirect(url_for("people.index"), 303)


@blueprint.post("/<name>/disable")
@access.needs(Role.ADMIN)
def disable(name: str) -> ResponseReturnValue:
    """Shuts a person out, at once."""
    with record.transaction() as catalogue:
        people.change(catalogue, name, by=access.by(), disabled=True, why=_why())
    return redirect(url_for("people.index"), 303)


@blueprint.post("/<name>/enable")
@access.needs(Role.ADMIN)
def enable(name: str) -> ResponseReturnValue:
    """Lets a person in again."""
    with record.transaction() as catalogue:
        people.change(catalogue, name, by=access.by(), disabled=False, why=_why())
    return redirect(url_for("people.index"), 303)


def _page(**shown: object) -> ResponseReturnValue:
    with record.transaction() as catalogue:
        everybody, every_token = people.listed(catalogue), tokens.listed(catalogue)
    works = [token for token in every_token if token.revoked_at is None]
    return render_template("people.html", people=everybody, tokens=works, roles=list(Role), **shown)


def _role() -> Role:
    role = request.form.get("role", "")
    if role not in list(Role):
        abort(400, f"{role[:40]!r} is no role: use one of {', '.join(Role)}")
    return Role(role)


def _why() -> str:
    return request.form.get("why", "").strip()[:500]

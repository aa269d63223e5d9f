"""A person's own page: their password and their tokens."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import logins, people, tokens
from barber.catalogue.people_tables import Role, Via
from barber.errors import Forbidden, InputError, NotFound
from dashboard import access, record

blueprint = Blueprint("account", __name__)

LIVES = {"30": 30, "90": 90, "365": 365, "": None}  # days that a token may be asked for


@blueprint.get("/account")
@access.needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The page."""
    return _page()


@blueprint.post("/account/password")
@access.needs(Role.VIEWER)
def set_password() -> ResponseReturnValue:
    """Another password; the old one is asked for, so that an open browser is not enough."""
    visitor = _in_person()
    old, new = request.form.get("old", ""), request.form.get("new", "")
    if new != request.form.get("again", ""):
        raise InputError("the two new passwords differ: type the same one twice")
    engine, name = current_app.extensions["engine"], visitor.person.name
    if visitor.person.has_password:
        logins.by_password(engine, name, old, access.origin(), Via.CONSOLE)
    with record.transaction() as catalogue:
        people.set_password(catalogue, name, new, by=visitor.actor)
    access.enter(logins.by_password(engine, name, new, access.origin(), Via.CONSOLE))
    return redirect(url_for("account.show"), 303)


@blueprint.post("/account/tokens")
@access.needs(Role.VIEWER)
def add_token() -> ResponseReturnValue:
    """Makes a token and shows its secret, this once."""
    visitor = _in_person()
    role, days = request.form.get("role", ""), request.form.get("days", "90")
    if role not in list(Role) or days not in LIVES:
        abort(400, "a token needs one of the roles and one of the times that the form offers")
    with record.transaction() as catalogue:
        token, secret = tokens.add(
            catalogue,
            visitor.person.name,
            request.form.get("name", ""),
            by=visitor.actor,
            role=Role(role),
            days=LIVES[days],
        )
    return _page(new=token, secret=secret)


@blueprint.post("/account/tokens/<id:token_id>/revoke")
@access.needs(Role.VIEWER)
def revoke_token(token_id: int) -> ResponseReturnValue:
    """Ends one of the person's own tokens; an admin may end anybody's."""
    visitor = access.visitor()
    with record.transaction() as catalogue:
        token = tokens.one(catalogue, token_id)
        if token.person != visitor.person.name and not access.may(Role.ADMIN):
            raise NotFound(f"no token {token_id}")
        tokens.revoke(catalogue, token_id, by=visitor.actor)
    back = "account.show" if token.person == visitor.person.name else "people.index"
    return redirect(url_for(back), 303)


def _page(**shown: object) -> ResponseReturnValue:
    visitor = access.visitor()
    with record.transaction() as catalogue:
        mine = tokens.listed(catalogue, visitor.person.name)
    roles = [role for role in Role if visitor.person.role.covers(role)]
    return render_template("account.html", visitor=visitor, tokens=mine, roles=roles, **shown)


def _in_person() -> access.Visitor:
    """The visitor, who must not be a program: a token makes no tokens and sets no password."""
    visitor = access.visitor()
    if visitor.login_id is None:
        raise Forbidden("this takes a person who is logged in, not a token")
    return visitor

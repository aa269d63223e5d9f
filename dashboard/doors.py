"""The doors: logging in by password or by a link that works once, and logging out."""

from __future__ import annotations

from flask import Blueprint, current_app, make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from barber.catalogue import logins
from barber.catalogue.people_tables import Role, Via
from barber.errors import LoginRefused, TooManyTries
from dashboard import access, record

blueprint = Blueprint("doors", __name__)


@blueprint.get("/login")
@access.open_to_everybody
def login() -> ResponseReturnValue:
    """The form."""
    return render_template("login.html", onward=access.local_path(request.args.get("next", "/")))


@blueprint.post("/login")
@access.open_to_everybody
def log_in() -> ResponseReturnValue:
    """Lets a person in, or shows the form again with the reason."""
    onward = access.local_path(request.form.get("next", "/"))
    name, password = request.form.get("name", ""), request.form.get("password", "")
    engine = current_app.extensions["engine"]
    try:
        entered = logins.by_password(engine, name, password, access.origin(), Via.CONSOLE)
    except LoginRefused as error:
        page = render_template("login.html", onward=onward, name=name[:64], refusal=str(error))
        response = make_response(page, 429 if isinstance(error, TooManyTries) else 401)
        if isinstance(error, TooManyTries):
            response.headers["Retry-After"] = str(error.wait_s)
        return response
    access.enter(entered)
    return redirect(onward, 303)


@blueprint.get("/login/<secret>")
@access.open_to_everybody
def link(secret: str) -> ResponseReturnValue:
    """Asks whether to go in: a program that looks at links ahead must not use one up."""
    with record.transaction() as catalogue:
        name = logins.whose_link(catalogue, secret)
    return render_template("login_link.html", name=name)


@blueprint.post("/login/<secret>")
@access.open_to_everybody
def use_link(secret: str) -> ResponseReturnValue:
    """Lets a person in and uses the link up."""
    with record.transaction() as catalogue:
        entered = logins.by_link(catalogue, secret, access.origin())
    access.enter(entered)
    return redirect(access.local_path("/"), 303)


@blueprint.post("/logout")
@access.needs(Role.VIEWER)
def log_out() -> ResponseReturnValue:
    """Ends this login; others of the same person go on."""
    visitor = access.visitor()
    if visitor.login_id is not None:
        with record.transaction() as catalogue:
            logins.leave(catalogue, visitor.login_id, by=visitor.actor)
    session.clear()
    return redirect(access.local_path("/login"), 303)

"""Who may do what: every view declares the role that it takes, and nobody passes without it.

A browser shows the cookie of its login, a program the token in `Authorization: Bearer`. What a
person may see is narrowed further by `owner()`, which goes into every query for jobs and batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine

from barber.catalogue import logins, tokens
from barber.catalogue.audit import Actor
from barber.catalogue.db import transaction
from barber.catalogue.logins import Origin
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import Role, Via
from barber.errors import Forbidden, LoginRefused
from dashboard import record

V = TypeVar("V", bound=Callable[..., Any])

ROLE = "barber_role"  # the attribute of a view that holds what it declared
UPLOADS = "barber_uploads"
EVERYBODY = "everybody"  # no login is needed
COOKIE = "login"  # the key in the session that holds the login's secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks, by login or by token."""

    person: PersonRow
    role: Role  # of the person, or the lesser one of the token
    actor: Actor  # for `by` and `submitted_by`
    login_id: int | None  # None: by token


def needs(role: Role, *, uploads: bool = False) -> Callable[[V], V]:
    """Declares that a view takes this role, and whether it takes files and so large requests."""

    def declare(view: V) -> V:
        setattr(view, ROLE, role)
        setattr(view, UPLOADS, uploads)
        return view

    return declare


def open_to_everybody(view: V) -> V:
    """Declares that a view takes no login."""
    setattr(view, ROLE, EVERYBODY)
    return view


def declared(app: Flask, endpoint: str) -> Role | str | None:
    """What the view of an endpoint declared; None when it did not."""
    if endpoint == "static":
        return EVERYBODY
    found: Role | str | None = getattr(app.view_functions[endpoint], ROLE, None)
    return found


def check_declared(app: Flask) -> None:
    """Raises AssertionError for a view without a role: a lock that was forgotten is no lock."""
    for rule in app.url_map.iter_rules():
        assert declared(app, rule.endpoint) is not None, f"{rule.endpoint} declares no role"


def visitor() -> Visitor:
    """Who asks. Raises LoginRefused when nobody known does."""
    found = known_visitor()
    if found is None:
        raise LoginRefused(
            "log in first: `barber login`, or the header `Authorization: Bearer TOKEN`"
            if request.path.startswith("/api/")
            else "log in first"
        )
    return found


def known_visitor() -> Visitor | None:
    """Who asks, if it is somebody we know. Raises LoginRefused for a token that does not work."""
    if "visitor" not in g:
        g.visitor = _by_token() if "Authorization" in request.headers else _by_login()
    found: Visitor | None = g.visitor
    return found


def recheck() -> Callable[[], bool]:
    """Whether whoever asks now could still do so later; works when the request is over."""
    engine: Engine = current_app.extensions["engine"]
    began = visitor()
    given = request.authorization
    secret = session.get(COOKIE) if began.login_id is not None else given and given.token

    def may_still() -> bool:
        with transaction(engine) as catalogue:
            if began.login_id is not None:
                login = logins.resume(catalogue, str(secret), is_use=False)
                return login is not None and login[0] == began.person
            token = tokens.bearer(catalogue, str(secret))
            return token is not None and (token[0], token[1].role) == (began.person, began.role)

    return may_still


def owner() -> int | None:
    """What the catalogue's lists are to be limited to for this visitor."""
    return visitor().person.owner


def by() -> Actor:
    """Who asks, for the catalogue's verbs."""
    return visitor().actor


def may(role: str) -> bool:
    """Whether the visitor has that role; for templates."""
    return g.get("visitor") is not None and visitor().role.covers(Role(role))


def name() -> str:
    """What the page's header calls the visitor."""
    return visitor().person.name


def origin() -> Origin:
    """Where the request comes from."""
    return Origin(address=request.remote_addr or "", agent=request.user_agent.string)


def guard() -> ResponseReturnValue | None:
    """Before every request: whoever has not the role that the view declared goes no further."""
    if request.endpoint is None:
        return None  # no such address: it answers 404 by itself
    view = current_app.view_functions[request.endpoint]
    if getattr(view, UPLOADS, False):
        request.max_content_length = record.settings().upload_mb << 20
    needed = declared(current_app, request.endpoint)
    if needed == EVERYBODY:
        return None
    if known_visitor() is None and _is_a_page():
        here = request.full_path if request.query_string else request.path
        return redirect(url_for("doors.login", next=here), 303)
    found = visitor()
    if not found.role.covers(Role(str(needed))):
        raise Forbidden(
            f"this takes the role {needed}, and {found.person.name} "
            f"{'asks by a token of' if found.login_id is None else 'has'} the role {found.role}"
        )
    return None


def enter(entered: logins.Entered) -> None:
    """Gives the browser a session of its own: nothing of the one before stays."""
    session.clear()
    session.permanent = True
    session[COOKIE] = entered.secret


def local_path(path: str) -> str:
    """A path to go on to after a login; the overview when it leads elsewhere."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not parts.scheme and not parts.netloc
    return path if ours and not path.startswith(("//", "/\\")) else url_for("batches.overview")


def _is_a_page() -> bool:
    if request.method != "GET" or request.headers.get("X-Live") == "1":
        return False
    accepted = request.accept_mimetypes
    is_api = request.path.startswith("/api/")
    return not is_api and accepted["text/html"] >= accepted["application/json"]


def _by_login() -> Visitor | None:
    secret = session.get(COOKIE)
    if not isinstance(secret, str):
        return None
    is_use = request.headers.get("X-Live") != "1" and request.path != "/live"
    with record.transaction() as catalogue:
        found = logins.resume(catalogue, secret, is_use=is_use)
    if found is None:
        session.clear()
        return None
    person, login_id = found
    via = Via.API if request.path.startswith("/api/") else Via.CONSOLE
    actor = Actor(person.name, via=via, person_id=person.id, address=origin().address)
    return Visitor(person=person, role=person.role, actor=actor, login_id=login_id)


def _by_token() -> Visitor | None:
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise LoginRefused("the header must be `Authorization: Bearer TOKEN`")
    with record.transaction() as catalogue:
        found = tokens.bearer(catalogue, given.token)
    if found is None:
        raise LoginRefused("this token does not work: it is wrong, too old, or was revoked")
    person, token = found
    actor = Actor(
        person.name,
        via=Via.API,
        person_id=person.id,
        token_id=token.id,
        address=origin().address,
    )
    return Visitor(person=person, role=token.role, actor=actor, login_id=None)

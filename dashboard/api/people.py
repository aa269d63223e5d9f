"""Who asks, tokens, and the audit log."""

from __future__ import annotations

from typing import Any

from flask import current_app

from barber.catalogue import audit, logins, tokens
from barber.catalogue.audit import Actor
from barber.catalogue.people_tables import Role, Via
from barber.errors import InputError, NotFound
from dashboard import access, record
from dashboard.api import shapes
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import next_of, plain
from dashboard.paging import page_of


@endpoint(
    "POST",
    "/login",
    role=None,
    answer=shapes.NewToken,
    tag="people",
    status=201,
    refusals=(429,),
)
def log_in(json: shapes.LoginAsked) -> tuple[dict[str, Any], int]:
    """A token for a name and a password, for programs that run where the person sits."""
    engine, origin = current_app.extensions["engine"], access.origin()
    entered = logins.by_password(engine, json.name, json.password, origin, Via.API)
    name = entered.person.name
    actor = Actor(name, via=Via.API, person_id=entered.person.id, address=origin.address)
    with record.transaction() as session:
        logins.end(session, entered.secret)  # the token is what lets in from now on
        row, secret = tokens.add(session, name, json.token_name, by=actor, days=json.days)
    return {"token": secret, "facts": plain(row)}, 201


@endpoint("GET", "/me", role=Role.VIEWER, answer=shapes.Me, tag="people")
def me() -> dict[str, Any]:
    """Who asks, and as what."""
    visitor = access.visitor()
    return {
        "name": visitor.person.name,
        "role": visitor.role,
        "own_only": visitor.person.own_only,
        "via": "token" if visitor.login_id is None else "login",
    }


@endpoint("GET", "/tokens", role=Role.VIEWER, answer=shapes.Tokens, tag="people")
def list_tokens() -> dict[str, Any]:
    """The person's own tokens, newest first; an admin gets everybody's."""
    whose = None if access.may(Role.ADMIN) else access.visitor().person.name
    with record.transaction() as session:
        return {"tokens": [plain(row) for row in tokens.listed(session, whose)]}


@endpoint("DELETE", "/tokens/<id:token_id>", role=Role.VIEWER, answer=shapes.Ended, tag="people")
def revoke_token(token_id: int) -> dict[str, Any]:
    """Ends one of the person's own tokens; an admin may end anybody's."""
    with record.transaction() as session:
        token = tokens.one(session, token_id)
        if token.person != access.visitor().person.name and not access.may(Role.ADMIN):
            raise NotFound(f"no token {token_id}")
        tokens.revoke(session, token_id, by=access.by())
    return {"id": token_id}


@endpoint("DELETE", "/tokens/mine", role=Role.VIEWER, answer=shapes.Ended, tag="people")
def revoke_own_token() -> dict[str, Any]:
    """Ends the token that this request shows."""
    actor = access.by()
    if actor.token_id is None:
        raise InputError("this request shows no token: log out in the browser instead")
    with record.transaction() as session:
        tokens.revoke(session, actor.token_id, by=actor)
    return {"id": actor.token_id}


@endpoint("GET", "/audit", role=Role.ADMIN, answer=shapes.Entries, tag="people")
def log(query: shapes.AuditAsked) -> dict[str, Any]:
    """The audit log, newest first."""
    with record.transaction() as session:
        page = page_of(
            lambda limit: audit.entries(
                session,
                who=query.who,
                verb=query.verb,
                job_id=query.job,
                batch_id=query.batch,
                limit=limit,
                before=query.before,
            ),
            key=lambda row: row.id,
            size=query.limit,
        )
    return {"entries": [plain(row, "person_id") for row in page.rows], "next": next_of(page)}

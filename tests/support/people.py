"""People for tests: added as `barber user add` does, let in by a link as a browser is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine

from barber.catalogue import logins, people, tokens
from barber.catalogue.db import transaction
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import Role
from barber.errors import NotFound

PASSWORD = "correct horse battery"


def person(engine: Engine, name: str, role: Role = Role.VIEWER, **options: Any) -> PersonRow:
    """The person of that name, added if need be."""
    with transaction(engine) as session:
        try:
            return people.find(session, name)
        except NotFound:
            return people.add(session, name, role, by="tests", **options)


def link(engine: Engine, name: str, role: Role, **options: Any) -> str:
    """The path that lets a person in once."""
    person(engine, name, role, **options)
    with transaction(engine) as session:
        return f"/login/{logins.make_link(session, name, by='tests')}"


def token(engine: Engine, name: str, whose: Role = Role.VIEWER, /, **options: Any) -> str:
    """A token of a person, who is added with the role `whose` if need be."""
    person(engine, name, whose)
    with transaction(engine) as session:
        return tokens.add(session, name, "tests", by="tests", **options)[1]


def csrf(client: FlaskClient) -> str:
    """The token of a client's session."""
    client.get("/login")
    with client.session_transaction() as session:
        found: str = session["csrf"]
    return found


def enter(client: FlaskClient, engine: Engine, name: str, role: Role, **options: Any) -> None:
    """Lets a test client in by a link."""
    path = link(engine, name, role, **options)
    response = client.post(path, data={"csrf_token": csrf(client)})
    assert response.status_code == 303, response.text


Posting = Callable[..., Any]


def poster(client: FlaskClient) -> Posting:
    """Posts forms as the pages do, with the session's token."""
    return lambda path, **form: client.post(path, data={"csrf_token": csrf(client), **form})

"""People, for admins: who is there, as what, and how they get in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import url_for
from pydantic import Field

from barber.catalogue import logins, people
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import Role
from dashboard import access, record
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain
from dashboard.api.shapes import Asked, Because, Given

ADMIN = Role.ADMIN


class PersonFacts(Given):
    """Somebody who may log in."""

    name: str
    role: Role
    own_only: bool = Field(description="Sees the batches alone that are theirs.")
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None


class Everybody(Given):
    """All people, by name."""

    people: list[PersonFacts]


class OnePerson(Given):
    """A person as they are now."""

    person: PersonFacts


class LetIn(Given):
    """A person and the link that lets them in once."""

    person: PersonFacts
    link: str = Field(description="Works once, for a while; told this once.")


class PersonAsked(Asked):
    """A new person; they choose a password once the link has let them in."""

    name: str = Field(min_length=1, max_length=64)
    role: Role
    own_only: bool = False


class PersonChange(Because):
    """What changes; the rest stays."""

    role: Role | None = None
    own_only: bool | None = None
    disabled: bool | None = Field(None, description="true shuts them out, at once.")


@endpoint("GET", "/people", role=ADMIN, answer=Everybody, tag="people")
def everybody() -> dict[str, Any]:
    """Everybody who may log in."""
    with record.transaction() as session:
        return {"people": [_facts(row) for row in people.listed(session)]}


@endpoint("POST", "/people", role=ADMIN, answer=LetIn, tag="people", status=201)
def add_person(json: PersonAsked) -> tuple[dict[str, Any], int]:
    """Adds a person."""
    with record.transaction() as session:
        row = people.add(session, json.name, json.role, by=access.by(), own_only=json.own_only)
        secret = logins.make_link(session, row.name, by=access.by())
    return _let_in(row, secret), 201


@endpoint("POST", "/people/<name>/change", role=ADMIN, answer=OnePerson, tag="people")
def change_person(name: str, json: PersonChange) -> dict[str, Any]:
    """Another role or scope, shut out or let in again; whatever they were logged in with ends."""
    with record.transaction() as session:
        row = people.change(
            session,
            name,
            by=access.by(),
            role=json.role,
            own_only=json.own_only,
            disabled=json.disabled,
            why=json.why,
        )
    return {"person": _facts(row)}


@endpoint("POST", "/people/<name>/link", role=ADMIN, answer=LetIn, tag="people", status=201)
def link_person(name: str) -> tuple[dict[str, Any], int]:
    """A new link for somebody who forgot their password."""
    with record.transaction() as session:
        row = people.find(session, name)
        secret = logins.make_link(session, name, by=access.by())
    return _let_in(row, secret), 201


def _let_in(row: PersonRow, secret: str) -> dict[str, Any]:
    return {"person": _facts(row), "link": url_for("doors.link", secret=secret, _external=True)}


def _facts(row: PersonRow) -> dict[str, Any]:
    return plain(row, "id")

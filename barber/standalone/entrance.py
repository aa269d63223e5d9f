"""The way into the console of this machine's own system: a link for whoever started it."""

from __future__ import annotations

import re

from barber.catalogue import logins, people
from barber.catalogue.audit import Actor
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.people_tables import Role
from barber.errors import NotFound
from barber.settings import Settings

FALLBACK = "admin"  # where the machine's name for its user cannot be a name here


def entrance(settings: Settings, console: str, who: Actor) -> str:
    """An address that lets the one who started the system in once, as an admin.

    They own the database's files, so nothing is given away. The person is made at the first start;
    somebody of that name who was since shut out, or is no admin any more, gets the plain address.

    Args:
        settings: The running system's.
        console: The console's address, with a slash at its end.
        who: The machine's user.
    """
    name = re.sub(r"[^a-z0-9._@-]+", "-", who.lower()).strip("-._@")[:64] or FALLBACK
    engine = open_engine(settings, application="barber up")
    try:
        with transaction(engine) as session:
            try:
                person = people.find(session, name)
            except NotFound:
                person = people.add(session, name, Role.ADMIN, by=who)
            if person.disabled_at is not None or person.role is not Role.ADMIN:
                return console
            return f"{console}login/{logins.make_link(session, name, by=who)}"
    finally:
        engine.dispose()

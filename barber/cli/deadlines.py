"""Moments as people type them, on this machine."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from barber.catalogue.db import transaction
from barber.cli.catalogue import Connection
from barber.moments import parse_deadline


def deadline_here(connection: Connection, text: str) -> datetime:
    """What a person means in this machine's zone, counted from the database's time."""
    with transaction(connection.engine) as session:
        now = session.scalars(select(func.now())).one()
    return parse_deadline(text, now.astimezone())

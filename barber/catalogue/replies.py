"""Answers kept by idempotency key, so that a request that is sent twice is done once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue.people_tables import Reply
from barber.errors import Conflict

KEPT = timedelta(days=2)
GIVEN_UP = timedelta(minutes=10)  # no request takes so long: its process died


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that was given."""

    status: int
    body: str


def begin(session: Session, person_id: int, key: str, request_sha256: str) -> Kept | None:
    """Takes a key; the answer that was given under it, if one was.

    Raises:
        Conflict: The key belongs to another request, or its request is under way.
    """
    old = (Reply.begun_at < func.now() - KEPT) | (
        Reply.status.is_(None) & (Reply.begun_at < func.now() - GIVEN_UP)
    )
    session.execute(delete(Reply).where(Reply.person_id == person_id, old))
    values = {"person_id": person_id, "key": key, "request_sha256": request_sha256}
    taken = upsert(Reply).values(**values).on_conflict_do_nothing().returning(Reply.key)
    if session.execute(taken).first() is not None:
        return None
    mine = (Reply.person_id == person_id, Reply.key == key)
    row = session.execute(select(Reply.request_sha256, Reply.status, Reply.body).where(*mine)).one()
    if row.request_sha256 != request_sha256:
        raise Conflict(f"the idempotency key {key!r} was used for another request: make a new one")
    if row.status is None:
        raise Conflict(f"the request with the idempotency key {key!r} is under way: ask again soon")
    return Kept(status=row.status, body=row.body)


def keep(session: Session, person_id: int, key: str, status: int, body: str) -> None:
    """Keeps the answer."""
    mine = (Reply.person_id == person_id, Reply.key == key)
    session.execute(update(Reply).where(*mine).values(status=status, body=body))


def forget(session: Session, person_id: int, key: str) -> None:
    """Gives a key back, because nothing was done under it."""
    session.execute(delete(Reply).where(Reply.person_id == person_id, Reply.key == key))

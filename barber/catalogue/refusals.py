"""Messages that nobody will work on: kept where an operator sees them, equal ones as one row.

A refused message is harmless. What it was to bring about, the dispatcher finds undone and asks for
again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from barber.catalogue.base import HEX_DIGEST, Base

SHOWN_CHARACTERS = 500  # of a message; the rest tells nobody anything


class Source(StrEnum):
    """Where the message was when it was refused."""

    BROKER = "broker"  # it came to a worker
    OUTBOX = "outbox"  # it could not be published


class RefusedMessage(Base):
    """A message that nobody will work on: not ours, impossible, or not to be published."""

    __tablename__ = "refused_message"
    __table_args__ = (
        CheckConstraint("source IN ('broker', 'outbox')", name="source"),
        CheckConstraint(f"fingerprint ~ '{HEX_DIGEST}'", name="fingerprint_hex"),
        CheckConstraint("times > 0", name="times"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)  # equal ones are one row
    source: Mapped[str]
    reason: Mapped[str]
    message: Mapped[str]  # its beginning, for people
    times: Mapped[int] = mapped_column(server_default=text("1"))
    first_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused message, and how often it came."""

    id: int
    source: Source
    reason: str
    message: str  # its beginning
    times: int
    first_at: datetime
    last_at: datetime


def record(session: Session, source: Source, reason: str, message: object) -> None:
    """Keeps a message with the reason why nobody will work on it."""
    shown = _readable(message if isinstance(message, str) else repr(message))
    reason = _readable(reason)
    fingerprint = hashlib.sha256("\0".join((source, reason, shown)).encode()).hexdigest()
    statement = insert(RefusedMessage).values(
        fingerprint=fingerprint, source=source, reason=reason, message=shown
    )
    again: dict[str, Any] = {"times": RefusedMessage.times + 1, "last_at": func.now()}
    session.execute(
        statement.on_conflict_do_update(index_elements=[RefusedMessage.fingerprint], set_=again)
    )


def _readable(told: str) -> str:
    """The beginning of a text, with nothing that Postgres cannot store."""
    return told[:SHOWN_CHARACTERS].replace("\0", "\\0").encode("utf-8", "replace").decode()


def latest(session: Session, limit: int = 50) -> list[Refusal]:
    """Refused messages, those that came last first."""
    query = select(*(c for c in RefusedMessage.__table__.c if c.name != "fingerprint"))
    query = query.order_by(RefusedMessage.last_at.desc(), RefusedMessage.id.desc()).limit(limit)
    return [
        Refusal(**{**row._mapping, "source": Source(row.source)}) for row in session.execute(query)
    ]

"""Messages that were decided in a transaction and leave after it: none is lost with the broker.

Take, publish and delete in one transaction. A crash in between publishes a message twice, which
its receiver notices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from barber.catalogue.tables import Outbox

LONGEST_WAIT_S = 30


class Topic(StrEnum):
    """How a message is to be published."""

    STAGE = "stage"  # one task
    CHORD = "chord"  # a job's branches, with the fan-in behind them


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A message to publish; `tries` counts the times that the broker refused it."""

    id: int
    topic: Topic
    payload: dict[str, Any]
    tries: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much waits for the broker, and for how long."""

    count: int
    oldest_s: float


def add(session: Session, topic: Topic, payload: Mapping[str, Any]) -> None:
    """Decides a message; it leaves when the transaction has committed."""
    session.execute(insert(Outbox).values(topic=topic, payload=dict(payload)))


def take(session: Session, limit: int) -> list[OutboxRow]:
    """Messages that are due, oldest first, locked until the transaction ends."""
    query = (
        select(Outbox.id, Outbox.topic, Outbox.payload, Outbox.tries, Outbox.created_at)
        .where(or_(Outbox.not_before.is_(None), Outbox.not_before <= func.now()))
        .order_by(Outbox.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [
        OutboxRow(**{**row._mapping, "topic": Topic(row.topic)}) for row in session.execute(query)
    ]


def done(session: Session, ids: Sequence[int]) -> None:
    """Forgets messages that the broker has taken."""
    statement = delete(Outbox).where(Outbox.id.in_(ids))
    session.execute(statement.execution_options(synchronize_session=False))


def postpone(session: Session, ids: Sequence[int]) -> None:
    """Keeps messages that the broker refused: after 1, 2, 4, .. seconds they are due again."""
    wait_s = func.least(LONGEST_WAIT_S, func.power(2, func.least(Outbox.tries, 10)))
    session.execute(
        update(Outbox)
        .where(Outbox.id.in_(ids))
        .values(tries=Outbox.tries + 1, not_before=func.now() + wait_s * timedelta(seconds=1))
        .execution_options(synchronize_session=False)
    )


def backlog(session: Session) -> Backlog:
    """What has not left yet."""
    age = func.extract("epoch", func.now() - func.min(Outbox.created_at))
    count, oldest_s = session.execute(select(func.count(), func.coalesce(age, 0))).one()
    return Backlog(count=count, oldest_s=float(oldest_s))

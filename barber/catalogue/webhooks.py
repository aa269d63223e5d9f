"""Webhooks: registered by people, expanded into deliveries, with a log of how the calls went.

The rows are an outbox. A trigger notes an ending in the transaction that makes it; the sender
expands endings into deliveries, takes those that are due under a lease of their own, and writes
down what was answered. A sender that dies costs a repeated call with the same id, never a lost one.
"""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, delete, exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from barber.addresses import check_url
from barber.catalogue import audit
from barber.catalogue.audit import Verb
from barber.catalogue.operate import OPEN
from barber.catalogue.people_tables import Person
from barber.catalogue.tables import Batch, Job
from barber.catalogue.webhook_tables import Delivery, DeliveryStatus, Ending, Happening, Webhook
from barber.errors import InputError, NotFound

PREFIX = "whsec_"
MOST = 50  # webhooks of one person
TRIES = 9  # calls of one delivery: about five hours with the pauses below
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 7200.0
LEASE = timedelta(minutes=2)  # a call takes less; whoever took it may have died
EXPAND_LOCK = 0x7E0B
LONGEST_SAID = 300
KEPT = timedelta(days=7)  # of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A webhook as it may be shown: without its secret."""

    id: int
    person_id: int
    person: str
    url: str
    happenings: tuple[Happening, ...]
    failures: int
    disabled_at: datetime | None
    disabled_why: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One call, as the log tells of it."""

    id: int
    happening: Happening
    payload: dict[str, Any]
    status: DeliveryStatus
    tries: int
    not_before: datetime
    answered: int | None
    said: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is due."""

    id: int
    webhook_id: int
    url: str
    secret: str
    payload: dict[str, Any]
    tries: int  # this one included


def add(
    session: Session,
    person_id: int,
    url: str,
    happenings: Sequence[Happening],
    *,
    by: str,
    allow_private: bool,
    why: str = "",
) -> tuple[WebhookRow, str]:
    """Registers an address; the secret that signs its calls is shown this once.

    Raises:
        InputError: The address is none that may be called, nothing is chosen, or they are too many.
    """
    check_url(url, allow_private=allow_private)
    if not happenings:
        raise InputError(f"a webhook needs something to wait for: {', '.join(Happening)}")
    have = session.scalar(select(func.count()).where(Webhook.person_id == person_id)) or 0
    if have >= MOST:
        raise InputError(f"{have} webhooks are enough: remove one first")
    secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    chosen = sorted({str(each) for each in happenings})
    values = {"person_id": person_id, "url": url, "secret": secret, "happenings": chosen}
    webhook_id = session.scalars(insert(Webhook).values(**values).returning(Webhook.id)).one()
    told = {"webhook": webhook_id, "url": url, "happenings": chosen}
    audit.record(session, Verb.ADD_WEBHOOK, by, why=why, subject=f"webhook {webhook_id}", data=told)
    return one(session, webhook_id), secret


def listed(session: Session, person_id: int | None = None) -> list[WebhookRow]:
    """Webhooks of everybody or of one person, newest first."""
    query = _shown().order_by(Webhook.id.desc())
    if person_id is not None:
        query = query.where(Webhook.person_id == person_id)
    return [_row(row) for row in session.execute(query)]


def one(session: Session, webhook_id: int, person_id: int | None = None) -> WebhookRow:
    """A webhook, of that person when one is given. Raises NotFound."""
    row = session.execute(_shown().where(Webhook.id == webhook_id)).first()
    if row is None or (person_id is not None and row.person_id != person_id):
        raise NotFound(f"no webhook {webhook_id}")
    return _row(row)


def remove(session: Session, webhook_id: int, *, by: str, why: str = "") -> None:
    """Calls an address no more; its log goes too. Raises NotFound."""
    found = one(session, webhook_id)
    session.execute(delete(Webhook).where(Webhook.id == webhook_id))
    told = {"webhook": webhook_id, "url": found.url}
    subject = f"webhook {webhook_id}"
    audit.record(session, Verb.REMOVE_WEBHOOK, by, why=why, subject=subject, data=told)


def enable(session: Session, webhook_id: int, *, by: str, why: str = "") -> WebhookRow:
    """Calls an address again that was given up. Raises NotFound."""
    one(session, webhook_id)
    on = {"disabled_at": None, "disabled_why": None, "failures": 0}
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(**on))
    subject = f"webhook {webhook_id}"
    audit.record(session, Verb.ENABLE_WEBHOOK, by, why=why, subject=subject)
    return one(session, webhook_id)


def log(session: Session, webhook_id: int, *, limit: int = 50) -> list[DeliveryRow]:
    """The latest calls of a webhook, newest first."""
    columns = [
        column for column in Delivery.__table__.c if column.name not in ("webhook_id", "about")
    ]
    query = select(*columns).where(Delivery.webhook_id == webhook_id)
    return [
        DeliveryRow(
            **{
                **row._mapping,
                "happening": Happening(row.happening),
                "status": DeliveryStatus(row.status),
            }
        )
        for row in session.execute(query.order_by(Delivery.id.desc()).limit(limit))
    ]


def expand(session: Session, limit: int = 500) -> int:
    """Turns endings into deliveries; returns how many endings. One process does it at a time."""
    alone = session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": EXPAND_LOCK})
    if not alone:
        return 0
    rows = session.execute(select(*Ending.__table__.c).order_by(Ending.id).limit(limit)).all()
    if not rows:
        return 0
    # Committed while this looks: they come with the next.
    session.execute(delete(Ending).where(Ending.id.in_([row.id for row in rows])))
    hooks = session.execute(
        select(Webhook.id, Webhook.person_id, Webhook.happenings, Person.own_only)
        .join(Person, Person.id == Webhook.person_id)
        .where(Webhook.disabled_at.is_(None), Person.disabled_at.is_(None))
    ).all()
    wanted = [
        {
            "webhook_id": hook.id,
            "about": f"{happening} {number}",
            "happening": happening,
            "payload": payload,
        }
        for happening, number, owner, payload in _happened(session, rows)
        for hook in hooks
        if happening in hook.happenings and (not hook.own_only or owner == hook.person_id)
    ]
    if wanted:
        session.execute(upsert(Delivery).on_conflict_do_nothing(), wanted)
    return len(rows)


def take(session: Session, limit: int, each: int) -> list[Call]:
    """Calls that are due, at most `each` of one webhook, oldest first; theirs for `LEASE`."""
    place = func.row_number().over(partition_by=Delivery.webhook_id, order_by=Delivery.id)
    due = (
        select(Delivery.id, place.label("place"))
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(
            Delivery.status == DeliveryStatus.WAITING,
            Delivery.not_before <= func.now(),
            Webhook.disabled_at.is_(None),
        )
        .subquery()
    )
    fair = select(due.c.id).where(due.c.place <= each).order_by(due.c.id).limit(limit)
    mine = select(Delivery.id).where(Delivery.id.in_(fair)).with_for_update(skip_locked=True)
    taken = session.execute(
        update(Delivery)
        .where(
            Delivery.id.in_(mine),
            Delivery.status == DeliveryStatus.WAITING,
            Delivery.not_before <= func.now(),
        )
        .values(tries=Delivery.tries + 1, not_before=func.now() + LEASE)
        .returning(Delivery.id, Delivery.webhook_id, Delivery.payload, Delivery.tries)
        .execution_options(synchronize_session=False)
    ).all()
    hooks = {
        row.id: row
        for row in session.execute(
            select(Webhook.id, Webhook.url, Webhook.secret).where(
                Webhook.id.in_({row.webhook_id for row in taken})
            )
        )
    }
    return [
        Call(
            id=row.id,
            webhook_id=row.webhook_id,
            url=hooks[row.webhook_id].url,
            secret=hooks[row.webhook_id].secret,
            payload=row.payload,
            tries=row.tries,
        )
        for row in sorted(taken)
    ]


def delivered(session: Session, call: Call, answered: int, said: str) -> None:
    """It was answered well; the count of failures begins anew."""
    _end(session, call, DeliveryStatus.DELIVERED, answered, said)
    session.execute(update(Webhook).where(Webhook.id == call.webhook_id).values(failures=0))


def failed(
    session: Session, call: Call, answered: int | None, said: str, *, most_failures: int
) -> None:
    """It was not: later again, or given up; after too many in a row the webhook is disabled."""
    if call.tries < TRIES and answered != 410:
        again = func.now() + timedelta(seconds=pause_s(call.tries))
        values = {"not_before": again, "answered": answered, "said": said[:LONGEST_SAID]}
        session.execute(update(Delivery).where(Delivery.id == call.id).values(**values))
    else:
        _end(session, call, DeliveryStatus.GIVEN_UP, answered, said)
    counted = (
        update(Webhook)
        .where(Webhook.id == call.webhook_id)
        .values(failures=Webhook.failures + 1)
        .returning(Webhook.failures)
    )
    failures = session.scalar(counted) or 0
    if failures >= most_failures or answered == 410:
        why = (
            "its address answered 410, gone"
            if answered == 410
            else f"{failures} calls in a row failed; the last: {said[:120]}"
        )
        session.execute(
            update(Webhook)
            .where(Webhook.id == call.webhook_id, Webhook.disabled_at.is_(None))
            .values(disabled_at=func.now(), disabled_why=why)
        )


def pause_s(tries: int) -> float:
    """How long to wait after so many tries: three times as long each time, with jitter."""
    whole = min(FIRST_PAUSE_S * 3.0 ** (tries - 1), LONGEST_PAUSE_S)
    jitter: float = random.uniform(0.75, 1.25)  # noqa: S311  # spreads calls; guards nothing
    return whole * jitter


def prune(session: Session) -> int:
    """Forgets old entries of the log; returns how many."""
    old = (Delivery.status != DeliveryStatus.WAITING, Delivery.finished_at < func.now() - KEPT)
    doomed = select(Delivery.id).where(*old).limit(1000)
    gone = session.execute(
        delete(Delivery)
        .where(Delivery.id.in_(doomed))
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


def _happened(
    session: Session, rows: Sequence[Any]
) -> list[tuple[str, int, int | None, dict[str, Any]]]:
    """What has happened, with its number, its owner and what is told of it."""
    jobs = {
        row.id: row
        for row in session.execute(
            select(Job.id, Job.name, Job.batch_id, Job.error_class, Job.error, Batch.owner_id)
            .join(Batch, Batch.id == Job.batch_id)
            .where(Job.id.in_({row.job_id for row in rows}))
        )
    }
    found: list[tuple[str, int, int | None, dict[str, Any]]] = []
    for row in rows:
        job = jobs.get(row.job_id)
        if job is None:
            continue  # deleted meanwhile
        facts = {"job_id": job.id, "name": job.name, "batch_id": job.batch_id, "status": row.status}
        if row.status == "failed":
            facts |= {"error_class": job.error_class, "error": job.error}
        happening = f"job.{row.status}"
        found.append((happening, row.id, job.owner_id, _told(happening, row.at, facts)))
    last = {row.batch_id: row for row in rows}
    for batch_id, row in last.items():
        facts_of_batch = _batch_if_over(session, batch_id)
        if facts_of_batch is not None:
            owner, facts = facts_of_batch
            told = _told(Happening.BATCH_FINISHED, row.at, facts)
            found.append((str(Happening.BATCH_FINISHED), row.id, owner, told))
    return found


def _batch_if_over(session: Session, batch_id: int) -> tuple[int | None, dict[str, Any]] | None:
    """A batch of which no job is open and no ending is yet to be told; else None."""
    still, later = aliased(Job), aliased(Ending)
    row = session.execute(
        select(Batch.id, Batch.name, Batch.owner_id).where(
            Batch.id == batch_id,
            ~Batch.filling,
            ~exists().where(still.batch_id == batch_id, still.status.in_(OPEN)),
            ~exists().where(later.batch_id == batch_id),
        )
    ).first()
    if row is None:
        return None
    counts = session.execute(
        select(Job.status, func.count().cast(Integer))
        .where(Job.batch_id == batch_id)
        .group_by(Job.status)
    )
    facts = {
        "batch_id": row.id,
        "name": row.name,
        "counts": {str(row.status): int(row[1]) for row in counts},
    }
    return row.owner_id, facts


def _told(happening: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": str(happening), "timestamp": at.isoformat(), "data": data}


def _end(
    session: Session, call: Call, status: DeliveryStatus, answered: int | None, said: str
) -> None:
    values = {
        "status": status,
        "answered": answered,
        "said": said[:LONGEST_SAID],
        "finished_at": func.now(),
    }
    session.execute(update(Delivery).where(Delivery.id == call.id).values(**values))


def _shown() -> Any:
    return select(
        Webhook.id,
        Webhook.person_id,
        Person.name.label("person"),
        Webhook.url,
        Webhook.happenings,
        Webhook.failures,
        Webhook.disabled_at,
        Webhook.disabled_why,
        Webhook.created_at,
    ).join(Person, Person.id == Webhook.person_id)


def _row(row: Any) -> WebhookRow:
    happenings = tuple(Happening(word) for word in row.happenings)
    return WebhookRow(**{**row._mapping, "happenings": happenings})

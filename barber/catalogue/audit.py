"""The audit log: who did what, by which way and why. Written in the transaction of the change."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from barber.catalogue.people_tables import Audit, Via


class Verb(StrEnum):
    """What can be done, as the log calls it."""

    SUBMIT = "submit"
    RETRY = "retry"
    CLONE = "clone"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    PRIORITY = "priority"
    DEADLINE = "deadline"
    DELETE = "delete"
    BULK = "bulk action"
    STOP_BULK = "stop bulk action"
    UPLOAD = "upload"
    LOG_IN = "log in"
    LOG_OUT = "log out"
    LOGIN_REFUSED = "login refused"
    ADD_WEBHOOK = "add webhook"
    ENABLE_WEBHOOK = "enable webhook"
    REMOVE_WEBHOOK = "remove webhook"
    CLEAN = "delete what nobody needs"
    ADD_PERSON = "add person"
    CHANGE_PERSON = "change person"
    SET_PASSWORD = "set password"  # noqa: S105  # a verb
    MAKE_LINK = "make login link"
    ADD_TOKEN = "add token"  # noqa: S105  # a verb
    REVOKE_TOKEN = "revoke token"  # noqa: S105  # a verb
    ACCEPT = "accept"
    REJECT = "reject"
    CLEAR_VERDICT = "clear verdict"
    UNDO = "undo"
    PAINT = "paint mask"
    MAKE_STUDY = "make study"
    CLOSE_STUDY = "close study"


class Actor(str):
    """Who asks: a name wherever a name will do, and for the log also by which way.

    Every verb of the catalogue takes `by: str`. A plain name is logged as the system's own doing.
    """

    via: Via
    person_id: int | None
    token_id: int | None
    address: str | None

    def __new__(
        cls,
        name: str,
        *,
        via: Via,
        person_id: int | None = None,
        token_id: int | None = None,
        address: str | None = None,
    ) -> Actor:
        actor = super().__new__(cls, name)
        actor.via, actor.person_id = via, person_id
        actor.token_id, actor.address = token_id, address
        return actor


def local_user() -> Actor:
    """Who types a command here: the machine's user."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a process without an account
        name = "somebody"
    return Actor(name, via=Via.COMMAND_LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One entry of the log."""

    id: int
    at: datetime
    who: str
    person_id: int | None
    token_id: int | None
    via: Via
    address: str | None
    verb: str
    batch_id: int | None
    job_id: int | None
    subject: str | None
    why: str
    data: dict[str, Any]


def record(
    session: Session,
    verb: Verb,
    by: str | None,
    *,
    why: str = "",
    batch_id: int | None = None,
    job_id: int | None = None,
    subject: str | None = None,
    data: Mapping[str, Any] | None = None,
    entry_id: int | None = None,
) -> None:
    """Writes an entry; `by` is an `Actor` wherever a person is behind it.

    `entry_id` is a number from `next_id`, for what has to name the entry before it is written.
    """
    if not isinstance(by, Actor):
        by = Actor(by or "somebody", via=Via.SYSTEM)
    values = {
        "who": str(by),
        "person_id": by.person_id,
        "token_id": by.token_id,
        "via": by.via,
        "address": by.address,
        "verb": verb,
        "batch_id": batch_id,
        "job_id": job_id,
        "subject": subject,
        "why": why,
        "data": dict(data or {}),
    }
    session.execute(insert(Audit).values(**values, **({"id": entry_id} if entry_id else {})))


def next_id(session: Session) -> int:
    """A number for an entry to come."""
    sequence = func.pg_get_serial_sequence(Audit.__tablename__, "id")
    found: int = session.scalars(select(func.nextval(sequence))).one()
    return found


def entries(
    session: Session,
    *,
    who: str | None = None,
    verb: Verb | None = None,
    batch_id: int | None = None,
    job_id: int | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditRow]:
    """Entries that meet every condition given, newest first; `before` continues below that id."""
    query = select(*Audit.__table__.c).order_by(Audit.id.desc()).limit(limit)
    wanted = {Audit.who: who, Audit.verb: verb, Audit.batch_id: batch_id, Audit.job_id: job_id}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(Audit.id < before)
    return [
        AuditRow(**{**row._mapping, "via": Via(row.via)}) for row in session.execute(query).all()
    ]

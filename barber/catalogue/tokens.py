"""API tokens: a program's key, shown once, kept as a hash, ended by a date or by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.orm import Session

from barber.catalogue import audit, people
from barber.catalogue.audit import Verb
from barber.catalogue.logins import digest_of
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import ApiToken, Person, Role
from barber.errors import Conflict, InputError, NotFound

PREFIX = "barber_"  # so that a token that leaked is known for one, by people and by scanners
DEFAULT_DAYS = 90
MOST_DAYS = 3650
USED_EVERY = timedelta(minutes=1)  # its use is written down at most so often


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token as it may be shown."""

    id: int
    person: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


def add(
    session: Session,
    person: str,
    name: str,
    *,
    by: str,
    role: Role | None = None,
    days: int | None = DEFAULT_DAYS,
) -> tuple[TokenRow, str]:
    """Makes a token.

    Args:
        session: The session.
        person: Whose; it acts in their name.
        name: What it is for.
        by: Who asks.
        role: What it may do at most; all that the person may do when None.
        days: How long it works; for ever when None.

    Returns:
        The token and its secret, which cannot be shown again.

    Raises:
        NotFound: No such person.
        InputError: A name, role or time that cannot be.
        Conflict: The person is shut out.
    """
    whose = people.find(session, person)
    name = name.strip()
    if not name or not name.isprintable() or len(name) > 100:
        raise InputError("a token needs a name of at most 100 characters: say what it is for")
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise InputError(f"a token cannot work for {days} days: give 1 to {MOST_DAYS}")
    if role is not None and not whose.role.covers(role):
        raise InputError(f"{whose.name} is {whose.role}: a token cannot be {role}")
    if whose.disabled_at is not None:
        raise Conflict(f"{whose.name} is shut out: no token can be made")
    secret = PREFIX + secrets.token_urlsafe(32)
    values = {
        "person_id": whose.id,
        "name": name,
        "role": role or whose.role,
        "secret_sha256": digest_of(secret),
        "expires_at": None if days is None else func.now() + timedelta(days=days),
    }
    token_id: int = session.scalars(insert(ApiToken).values(**values).returning(ApiToken.id)).one()
    data = {"token": token_id, "name": name, "role": role or whose.role, "days": days}
    audit.record(session, Verb.ADD_TOKEN, by, subject=whose.name, data=data)
    return one(session, token_id), secret


def listed(session: Session, person: str | None = None) -> list[TokenRow]:
    """Tokens of everybody or of one person, newest first."""
    query = _shown().order_by(ApiToken.id.desc())
    if person is not None:
        query = query.where(Person.name == person)
    return [_row(row) for row in session.execute(query)]


def one(session: Session, token_id: int) -> TokenRow:
    """Raises NotFound."""
    row = session.execute(_shown().where(ApiToken.id == token_id)).first()
    if row is None:
        raise NotFound(f"no token {token_id}")
    return _row(row)


def revoke(session: Session, token_id: int, *, by: str, why: str = "") -> TokenRow:
    """Ends a token for good; ending it twice changes nothing. Raises NotFound."""
    token = one(session, token_id)
    if token.revoked_at is None:
        session.execute(
            update(ApiToken).where(ApiToken.id == token_id).values(revoked_at=func.now())
        )
        data = {"token": token_id, "name": token.name}
        audit.record(session, Verb.REVOKE_TOKEN, by, subject=token.person, why=why, data=data)
    return one(session, token_id)


def bearer(session: Session, secret: str) -> tuple[PersonRow, TokenRow] | None:
    """Whose token it is; None when there is none, or it has ended. Its role is the lesser one."""
    works = (
        ApiToken.revoked_at.is_(None),
        func.coalesce(ApiToken.expires_at > func.now(), True),
        Person.disabled_at.is_(None),
    )
    query = _shown().where(ApiToken.secret_sha256 == digest_of(secret), *works)
    row = session.execute(query).first()
    if row is None:
        return None
    person, role = people.find(session, row.person), Role(row.role)
    session.execute(
        update(ApiToken)
        .where(ApiToken.id == row.id)
        .where(func.coalesce(ApiToken.last_used_at < func.now() - USED_EVERY, True))
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )
    lesser = role if person.role.covers(role) else person.role
    return person, replace(_row(row), role=lesser)


def _shown() -> Select[*tuple[Any, ...]]:
    return select(
        ApiToken.id,
        Person.name.label("person"),
        ApiToken.name,
        ApiToken.role,
        ApiToken.created_at,
        ApiToken.expires_at,
        ApiToken.last_used_at,
        ApiToken.revoked_at,
    ).join(Person, Person.id == ApiToken.person_id)


def _row(row: Any) -> TokenRow:
    return TokenRow(**{**row._mapping, "role": Role(row.role)})

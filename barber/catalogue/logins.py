"""How a browser gets in and stays in: passwords, links that work once, and logins that end."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from barber.catalogue import audit, people
from barber.catalogue.audit import Actor, Verb
from barber.catalogue.db import transaction
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import Login, LoginAttempt, LoginLink, Person, Role, Via
from barber.errors import LoginRefused, TooManyTries

IDLE = timedelta(hours=12)  # a login that nobody used for so long has ended
LONGEST = timedelta(days=7)  # so has one that old
SEEN_EVERY = timedelta(minutes=1)  # its use is written down at most so often
LINK_LIFE = timedelta(hours=12)

TRIES_WITHIN = timedelta(minutes=15)
TRIES_PER_PAIR = 5  # of one name from one address
TRIES_PER_ADDRESS = 30
TRIES_PER_NAME = 100
ATTEMPTS_LOCK = 7_201_957

WRONG = "the name or the password is wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A browser that was let in; `secret` goes into its cookie and is kept nowhere else."""

    person: PersonRow
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from."""

    address: str
    agent: str = ""


def by_password(engine: Engine, name: str, password: str, origin: Origin, via: Via) -> Entered:
    """Lets a person in.

    Raises:
        LoginRefused: Wrong name or password, or shut out; which of these is not said.
        TooManyTries: Too many failures lately.
    """
    name = name.strip().lower()[:64]
    with transaction(engine) as session:
        _count_try(session, name, origin.address)
    with transaction(engine) as session:
        found = select(Person.password_hash, Person.disabled_at).where(Person.name == name)
        row = session.execute(found).first()
    # No connection is held while the password is hashed.
    right = people.verify_password(row.password_hash if row else None, password)
    with transaction(engine) as session:
        if row is not None and right and row.disabled_at is None:
            _forget_tries(session, name, origin.address)
            return _enter(session, people.find(session, name), origin, via)
        actor = Actor(name or "nobody", via=via, address=origin.address)
        audit.record(session, Verb.LOGIN_REFUSED, actor)
    raise LoginRefused(WRONG)


def make_link(session: Session, name: str, *, by: str) -> str:
    """The secret of a link that lets a person in once, within `LINK_LIFE`. Raises NotFound."""
    person = people.find(session, name)
    secret = secrets.token_urlsafe(32)
    values = {
        "secret_sha256": digest_of(secret),
        "person_id": person.id,
        "expires_at": func.now() + LINK_LIFE,
    }
    session.execute(delete(LoginLink).where(LoginLink.expires_at < func.now()))
    session.execute(insert(LoginLink).values(**values))
    audit.record(session, Verb.MAKE_LINK, by, subject=person.name)
    return secret


def whose_link(session: Session, secret: str) -> str:
    """The name of the person whom a link would let in. Raises LoginRefused."""
    query = (
        select(Person.name)
        .join(LoginLink, LoginLink.person_id == Person.id)
        .where(LoginLink.secret_sha256 == digest_of(secret))
        .where(LoginLink.expires_at > func.now(), Person.disabled_at.is_(None))
    )
    name = session.scalar(query)
    if name is None:
        raise LoginRefused(
            "this link was used, or is too old: make another with `barber user link NAME`"
        )
    return name


def by_link(session: Session, secret: str, origin: Origin) -> Entered:
    """Lets a person in and uses the link up. Raises LoginRefused."""
    name = whose_link(session, secret)
    used = delete(LoginLink).where(LoginLink.secret_sha256 == digest_of(secret))
    if session.execute(used.returning(LoginLink.person_id)).first() is None:
        raise LoginRefused("this link was used a moment ago")
    return _enter(session, people.find(session, name), origin, Via.CONSOLE)


def resume(session: Session, secret: str, *, is_use: bool = True) -> tuple[PersonRow, int] | None:
    """Whose login a cookie's secret is, with the login's id; None when it has ended.

    Args:
        session: The session.
        secret: Of the cookie.
        is_use: Whether a person did something; a page that only keeps itself current is no use.
    """
    query = (
        select(*people.COLUMNS, Login.id.label("login_id"), Login.seen_at)
        .join(Login, Login.person_id == Person.id)
        .where(Login.secret_sha256 == digest_of(secret), Person.disabled_at.is_(None))
        .where(Login.seen_at > func.now() - IDLE, Login.created_at > func.now() - LONGEST)
    )
    row = session.execute(query).first()
    if row is None:
        return None
    if is_use:
        session.execute(
            update(Login)
            .where(Login.id == row.login_id, Login.seen_at < func.now() - SEEN_EVERY)
            .values(seen_at=func.now())
            .execution_options(synchronize_session=False)
        )
    facts = {key: value for key, value in row._mapping.items() if key in _PERSON_FIELDS}
    return PersonRow(**{**facts, "role": Role(row.role)}), row.login_id


def leave(session: Session, login_id: int, *, by: str) -> None:
    """Ends one login."""
    session.execute(delete(Login).where(Login.id == login_id))
    audit.record(session, Verb.LOG_OUT, by)


def end(session: Session, secret: str) -> None:
    """Ends the login of a secret."""
    session.execute(delete(Login).where(Login.secret_sha256 == digest_of(secret)))


def digest_of(secret: str) -> str:
    """What is kept of a secret of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


_PERSON_FIELDS = frozenset(PersonRow.__dataclass_fields__)


def _enter(session: Session, person: PersonRow, origin: Origin, via: Via) -> Entered:
    secret = secrets.token_urlsafe(32)
    values = {
        "person_id": person.id,
        "secret_sha256": digest_of(secret),
        "address": origin.address,
        "agent": origin.agent[:200],
    }
    ended = (Login.seen_at < func.now() - IDLE) | (Login.created_at < func.now() - LONGEST)
    session.execute(delete(Login).where(Login.person_id == person.id, ended))
    session.execute(insert(Login).values(**values))
    actor = Actor(person.name, via=via, person_id=person.id, address=origin.address)
    audit.record(session, Verb.LOG_IN, actor)
    return Entered(person=person, secret=secret)


def _count_try(session: Session, name: str, address: str) -> None:
    """Counts a try before its password is looked at, so that many at once are counted too."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ATTEMPTS_LOCK})
    since = func.now() - TRIES_WITHIN
    session.execute(delete(LoginAttempt).where(LoginAttempt.at < since))
    limits = (
        (TRIES_PER_PAIR, (LoginAttempt.name == name, LoginAttempt.address == address)),
        (TRIES_PER_ADDRESS, (LoginAttempt.address == address,)),
        (TRIES_PER_NAME, (LoginAttempt.name == name,)),
    )
    for most, same in limits:
        if (session.scalar(select(func.count()).where(*same)) or 0) >= most:
            raise TooManyTries(
                "too many failed logins: wait a quarter of an hour and try again",
                wait_s=int(TRIES_WITHIN.total_seconds()),
            )
    session.execute(insert(LoginAttempt).values(name=name, address=address))


def _forget_tries(session: Session, name: str, address: str) -> None:
    same = (LoginAttempt.name == name, LoginAttempt.address == address)
    session.execute(delete(LoginAttempt).where(*same))

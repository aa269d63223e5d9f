"""People: who may use the system and as what. How they get in is in `logins` and `tokens`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from threading import BoundedSemaphore
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from barber.catalogue import audit
from barber.catalogue.audit import Verb
from barber.catalogue.people_tables import Login, LoginLink, Person, Role
from barber.errors import Conflict, InputError, NotFound

LEAST_PASSWORD, MOST_PASSWORD = 10, 1000  # characters
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
PEOPLE_LOCK = 7_201_956  # one change of roles at a time: the last admin must stay

_hasher = PasswordHasher()  # argon2id with the second recommendation of RFC 9106: 64 MiB each
_at_once = BoundedSemaphore(2)  # so many guesses at once cost 128 MiB, not a machine's memory


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """Somebody who may log in."""

    id: int
    name: str
    role: Role
    own_only: bool  # sees the batches alone that are theirs
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def owner(self) -> int | None:
        """What lists are to be limited to: this person's batches, or (None) nothing."""
        return self.id if self.own_only else None


COLUMNS = (
    Person.id,
    Person.name,
    Person.role,
    Person.own_only,
    Person.password_hash.is_not(None).label("has_password"),
    Person.created_at,
    Person.disabled_at,
)


def add(
    session: Session,
    name: str,
    role: Role,
    *,
    by: str,
    password: str | None = None,
    own_only: bool = False,
) -> PersonRow:
    """Adds a person; without a password they enter by a link or a token.

    Raises:
        InputError: The name or the password cannot be used.
        Conflict: There is such a person.
    """
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} cannot be a person's name: use letters a to z, digits and . _ @ -, "
            "64 at most"
        )
    _check_role(role, own_only)
    if session.scalar(select(Person.id).where(Person.name == name)) is not None:
        raise Conflict(f"there is a person {name} already: choose another name")
    hashed = None if password is None else hash_password(password, name=name)
    values = {"name": name, "role": role, "own_only": own_only, "password_hash": hashed}
    session.execute(insert(Person).values(**values))
    data = {"role": role, "own_only": own_only}
    audit.record(session, Verb.ADD_PERSON, by, subject=name, data=data)
    return find(session, name)


def listed(session: Session) -> list[PersonRow]:
    """Everybody, by name."""
    return [_row(row) for row in session.execute(select(*COLUMNS).order_by(Person.name))]


def find(session: Session, name: str) -> PersonRow:
    """Raises NotFound."""
    row = session.execute(select(*COLUMNS).where(Person.name == name.strip().lower())).first()
    if row is None:
        raise NotFound(f"no person {name[:80]!r}: `barber user list` shows everybody")
    return _row(row)


def change(
    session: Session,
    name: str,
    *,
    by: str,
    role: Role | None = None,
    own_only: bool | None = None,
    disabled: bool | None = None,
    why: str = "",
) -> PersonRow:
    """Gives a person another role or scope, or shuts them out or lets them in again.

    Whatever they were logged in with ends at once; tokens stop working while they are shut out.

    Raises:
        NotFound: No such person.
        InputError: An admin who sees own batches alone.
        Conflict: Nobody would be left to look after people.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PEOPLE_LOCK})
    person = find(session, name)
    values: dict[str, Any] = {
        "role": role or person.role,
        "own_only": person.own_only if own_only is None else own_only,
    }
    _check_role(values["role"], values["own_only"])
    if disabled is not None:
        values["disabled_at"] = func.coalesce(Person.disabled_at, func.now()) if disabled else None
    leaves = disabled or values["role"] is not Role.ADMIN
    if person.role is Role.ADMIN and person.disabled_at is None and leaves:
        _check_not_last(session, person)
    session.execute(update(Person).where(Person.id == person.id).values(**values))
    end_logins(session, person.id)
    data = {"role": values["role"], "own_only": values["own_only"]}
    if disabled is not None:
        data["disabled"] = disabled
    audit.record(session, Verb.CHANGE_PERSON, by, subject=person.name, why=why, data=data)
    return find(session, name)


def set_password(session: Session, name: str, password: str, *, by: str) -> None:
    """Gives a person another password and ends whatever they were logged in with.

    Raises:
        NotFound: No such person.
        InputError: The password cannot be used.
    """
    person = find(session, name)
    hashed = hash_password(password, name=person.name)
    session.execute(update(Person).where(Person.id == person.id).values(password_hash=hashed))
    end_logins(session, person.id)
    audit.record(session, Verb.SET_PASSWORD, by, subject=person.name)


def end_logins(session: Session, person_id: int) -> None:
    """Logs a person out everywhere, and makes links that wait for them worthless."""
    session.execute(delete(Login).where(Login.person_id == person_id))
    session.execute(delete(LoginLink).where(LoginLink.person_id == person_id))


def hash_password(password: str, *, name: str) -> str:
    """An argon2id hash. Raises InputError when the password is too easily guessed, or huge."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise InputError(
            f"the password has {len(password)} characters: give {LEAST_PASSWORD} or more"
            + (f", at most {MOST_PASSWORD}" if len(password) > MOST_PASSWORD else "")
        )
    if len(set(password)) < 4 or password.strip().lower() == name:
        raise InputError("the password is too easily guessed: give another")
    with _at_once:
        return _hasher.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether it is the password; takes as long for people who do not exist or have none."""
    with _at_once:
        try:
            matches = _hasher.verify(hashed or _nobodys_hash(), password[:MOST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
    return matches and hashed is not None


def _nobodys_hash() -> str:
    """A hash of the strength of all others, which no password is asked to match."""
    strength = f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost}"
    return f"{strength},p={_hasher.parallelism}${'A' * 22}${'A' * 43}"


def _check_role(role: Role, own_only: bool) -> None:
    if role is Role.ADMIN and own_only:
        raise InputError("an admin sees everything: leave out own-only, or give another role")


def _check_not_last(session: Session, person: PersonRow) -> None:
    others = select(func.count()).where(
        Person.role == Role.ADMIN, Person.disabled_at.is_(None), Person.id != person.id
    )
    if not session.scalar(others):
        raise Conflict(
            f"{person.name} is the only admin: make somebody else one first, or nobody could "
            "look after people"
        )


def _row(row: Any) -> PersonRow:
    return PersonRow(**{**row._mapping, "role": Role(row.role)})

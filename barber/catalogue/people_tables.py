"""Tables of people and their programs: who they are, what lets them in, and what they did.

Secrets of logins, links and tokens are 256 random bits, so a plain SHA-256 of them is kept.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import SMALLINT
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, digest, one_of


class Role(StrEnum):
    """What a person may do; each may also do what those before it may."""

    VIEWER = "viewer"  # sees
    OPERATOR = "operator"  # submits, retries, cancels, ..
    ADMIN = "admin"  # also looks after people and the whole system

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Via(StrEnum):
    """The way by which something was asked for."""

    CONSOLE = "console"
    API = "api"
    COMMAND_LINE = "command line"
    SYSTEM = "system"


class Person(Base):
    """Somebody who may log in. Never deleted: the audit log speaks of them."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'", name="name"),
        CheckConstraint(one_of("role", Role), name="role"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    own_only: Mapped[bool] = mapped_column(server_default=text("false"))  # sees own batches alone
    password_hash: Mapped[str | None]  # argon2id; None: enters by a link or a token alone
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]


class Login(Base):
    """A browser that is logged in."""

    __tablename__ = "login"
    __table_args__ = (CheckConstraint(digest("secret_sha256"), name="secret_hex"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), index=True)
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str]
    agent: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LoginLink(Base):
    """A link that lets a person in once."""

    __tablename__ = "login_link"
    __table_args__ = (CheckConstraint(digest("secret_sha256"), name="secret_hex"),)
    secret_sha256: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id))
    expires_at: Mapped[datetime]


class LoginAttempt(Base):
    """A try to log in that did not succeed, or not yet."""

    __tablename__ = "login_attempt"
    __table_args__ = (
        Index("ix_login_attempt_address_at", "address", "at"),
        Index("ix_login_attempt_name_at", "name", "at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    address: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiToken(Base):
    """A program's key; it acts as its person, with the lesser of both roles."""

    __tablename__ = "api_token"
    __table_args__ = (
        CheckConstraint(digest("secret_sha256"), name="secret_hex"),
        CheckConstraint(one_of("role", Role), name="role"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), index=True)
    name: Mapped[str]
    role: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Audit(Base):
    """Who did what and why, kept for ever. No foreign keys: it outlives what it speaks of."""

    __tablename__ = "audit"
    __table_args__ = (
        CheckConstraint(one_of("via", Via), name="via"),
        Index("ix_audit_job_id_id", "job_id", "id", postgresql_where=text("job_id IS NOT NULL")),
        Index(
            "ix_audit_batch_id_id", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")
        ),
        Index("ix_audit_who_id", "who", "id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    who: Mapped[str]
    person_id: Mapped[int | None] = mapped_column(BigInteger)
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    via: Mapped[str]
    address: Mapped[str | None]
    verb: Mapped[str]
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    subject: Mapped[str | None]  # a person, a token, a webhook: whatever is no job and no batch
    why: Mapped[str] = mapped_column(server_default=text("''"))
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class Reply(Base):
    """What a request with an idempotency key was answered; no status yet: it is under way."""

    __tablename__ = "reply"
    __table_args__ = (CheckConstraint("(status IS NULL) = (body IS NULL)", name="whole"),)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None] = mapped_column(SMALLINT)
    body: Mapped[str | None]
    begun_at: Mapped[datetime] = mapped_column(server_default=func.now())

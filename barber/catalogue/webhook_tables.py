"""Tables of webhooks: who wants to be called, what has happened, and how the calls went."""

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
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, one_of
from barber.catalogue.people_tables import Person


class Happening(StrEnum):
    """What a webhook may be called for."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_FINISHED = "batch.finished"  # every job has ended


class DeliveryStatus(StrEnum):
    """How far one call is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


class Webhook(Base):
    """An address that is called when something has happened."""

    __tablename__ = "webhook"
    __table_args__ = (
        CheckConstraint("cardinality(happenings) > 0", name="happenings"),
        CheckConstraint("(disabled_at IS NULL) = (disabled_why IS NULL)", name="disabled"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), index=True)
    url: Mapped[str]
    secret: Mapped[str]  # whole: a hash could not sign
    happenings: Mapped[list[str]]
    failures: Mapped[int] = mapped_column(server_default=text("0"))  # calls given up in a row
    disabled_at: Mapped[datetime | None]
    disabled_why: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Ending(Base):
    """A job that has ended, not yet told to the webhooks; a trigger writes it with the change."""

    __tablename__ = "ending"
    __table_args__ = (Index("ix_ending_batch_id", "batch_id", "id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """One call of a webhook, tried until it is answered or given up."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("webhook_id", "about"),
        CheckConstraint(one_of("status", DeliveryStatus), name="status"),
        Index("ix_delivery_due", "not_before", postgresql_where=text("status = 'waiting'")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id, ondelete="CASCADE"))
    about: Mapped[str]  # "job.failed 31": what happened, and the number of its ending
    happening: Mapped[str]
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(server_default=DeliveryStatus.WAITING)
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    answered: Mapped[int | None]  # HTTP status of the last try
    said: Mapped[str | None]  # the beginning of that answer, or why there was none
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

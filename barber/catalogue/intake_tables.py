"""Tables of what is on its way in: portraits by whoever sent them, and imports that are checked."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, one_of
from barber.catalogue.people_tables import Person
from barber.catalogue.tables import Batch, Portrait


class IntakeStatus(StrEnum):
    """How far an import is."""

    CHECKING = "checking"
    CHECKED = "checked"  # a person looks at it; nothing is queued
    QUEUEING = "queueing"  # the person said so
    QUEUED = "queued"
    BROKEN = "broken"  # it cannot be used as a whole; `problem` says why


class SentPortrait(Base):
    """A portrait in the drawer of somebody who sent it."""

    __tablename__ = "sent_portrait"
    __table_args__ = (
        Index("ix_sent_portrait_newest", "person_id", text("sent_at DESC")),
        Index("ix_sent_portrait_name", "person_id", "name"),
    )
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), primary_key=True)
    portrait: Mapped[str] = mapped_column(
        ForeignKey(Portrait.sha256, ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str]  # of their own file
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Intake(Base):
    """Rows that were sent to become a batch; nothing of them is queued until a person says so."""

    __tablename__ = "intake"
    __table_args__ = (
        CheckConstraint(one_of("status", IntakeStatus), name="status"),
        CheckConstraint("(status = 'broken') = (problem IS NOT NULL)", name="problem"),
        CheckConstraint("(status = 'queued') = (batch_id IS NOT NULL)", name="batch"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), index=True)
    name: Mapped[str]  # of the batch to be
    asked: Mapped[dict[str, Any]]  # how it is to be read
    status: Mapped[str] = mapped_column(server_default=IntakeStatus.CHECKING)
    sound: Mapped[int] = mapped_column(server_default=text("0"))
    refused: Mapped[int] = mapped_column(server_default=text("0"))
    warned: Mapped[int] = mapped_column(server_default=text("0"))
    digest: Mapped[str | None]  # of its sound rows, when all are checked
    problem: Mapped[str | None]
    order: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # to queue it
    batch_id: Mapped[int | None] = mapped_column(ForeignKey(Batch.id, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())  # its reader's last sign


class IntakeRow(Base):
    """One checked row: a job to be, or why it cannot be one."""

    __tablename__ = "intake_row"
    __table_args__ = (
        CheckConstraint("(spec IS NULL) = (reason IS NOT NULL)", name="verdict"),
        Index("ix_intake_row_refused", "intake_id", "place", postgresql_where=text("spec IS NULL")),
    )
    intake_id: Mapped[int] = mapped_column(
        ForeignKey(Intake.id, ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1, 2, ..
    line: Mapped[int]  # of the file
    name: Mapped[str]
    spec: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    findings: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))

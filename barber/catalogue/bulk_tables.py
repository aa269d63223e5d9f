"""What is done to many jobs in the background: the wish, and what became of each job."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, one_of


class BulkVerb(StrEnum):
    """What can be done to many jobs in the background."""

    RETRY = "retry"
    CANCEL = "cancel"
    PRIORITY = "priority"
    DELETE = "delete"


class BulkStatus(StrEnum):
    """How far it is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        return self in (BulkStatus.DONE, BulkStatus.STOPPED)


FINAL = [status for status in BulkStatus if status.final]
OPEN = [status for status in BulkStatus if not status.final]


class Bulk(Base):
    """A wish of a person about many jobs. Kept for ever, as the audit log is."""

    __tablename__ = "bulk"
    __table_args__ = (
        CheckConstraint(one_of("verb", BulkVerb), name="verb"),
        CheckConstraint(one_of("status", BulkStatus), name="status"),
        CheckConstraint(f"({one_of('status', FINAL)}) = (ended_at IS NOT NULL)", name="ended"),
        CheckConstraint("done >= 0 AND skipped >= 0 AND done + skipped <= total", name="sums"),
        Index("ix_bulk_open", "id", postgresql_where=text(one_of("status", OPEN))),
        Index("ix_bulk_person_id", "person_id", "id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    verb: Mapped[str]
    argument: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    filter: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    why: Mapped[str]
    who: Mapped[str]
    person_id: Mapped[int | None] = mapped_column(BigInteger)
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    via: Mapped[str]
    address: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=BulkStatus.WAITING)
    total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    skipped: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    stopped_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class BulkJob(Base):
    """One job of a bulk. No foreign key to it: the report outlives a job that was deleted."""

    __tablename__ = "bulk_job"
    __table_args__ = (
        CheckConstraint("(done IS NULL) = (outcome IS NULL)", name="told"),
        Index("ix_bulk_job_open", "bulk_id", "job_id", postgresql_where=text("done IS NULL")),
        Index("ix_bulk_job_skipped", "bulk_id", "job_id", postgresql_where=text("done IS FALSE")),
    )
    bulk_id: Mapped[int] = mapped_column(ForeignKey(Bulk.id), primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    done: Mapped[bool | None]  # None: it has not come to it yet
    outcome: Mapped[str | None]  # in words, or why nothing was done

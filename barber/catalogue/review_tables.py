"""Tables of looking at results: their numbers, what people decided, what they painted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, digest, one_of


class Decision(StrEnum):
    """What somebody decided about a result."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class ResultQuality(Base):
    """The numbers of a result, found where it was made."""

    __tablename__ = "result_quality"
    __table_args__ = (
        # A batch is sorted by a number from the index alone; the rows lie all over the table.
        PrimaryKeyConstraint(
            "artifact_key", postgresql_include=["iou", "psnr_db", "ssim", "distance"]
        ),
        Index(
            "ix_result_quality_flagged",
            "artifact_key",
            postgresql_where=text("cardinality(flags) > 0"),
        ),
    )
    artifact_key: Mapped[str] = mapped_column(ForeignKey("artifact.key", ondelete="CASCADE"))
    psnr_db: Mapped[float | None]
    ssim: Mapped[float | None]
    distance: Mapped[float | None]
    distance_name: Mapped[str]
    iou: Mapped[float | None]  # of the region that agrees least
    ious: Mapped[dict[str, Any]]  # by region
    spread: Mapped[float]
    flags: Mapped[list[str]]
    measured_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ResultVerdict(Base):
    """What holds of a job's result; of another result of the same job it says nothing."""

    __tablename__ = "result_verdict"
    __table_args__ = (
        CheckConstraint(one_of("decision", Decision), name="decision"),
        Index("ix_result_verdict_audit_id", "audit_id"),
    )
    job_id: Mapped[int] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    result_key: Mapped[str]
    decision: Mapped[str]
    who: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    audit_id: Mapped[int] = mapped_column(BigInteger)  # the entry of the deed that set it


class VerdictChange(Base):
    """One job's part in a deed, with what held before: so that the deed can be taken back."""

    __tablename__ = "verdict_change"
    __table_args__ = (
        CheckConstraint(one_of("decision", Decision), name="decision"),
        CheckConstraint(one_of("before", Decision), name="before"),
        CheckConstraint("(before IS NULL) = (before_who IS NULL)", name="before_who"),
        Index("ix_verdict_change_job_id", "job_id"),
    )
    audit_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[int] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    result_key: Mapped[str]
    decision: Mapped[str | None]  # None: the verdict was taken away
    before: Mapped[str | None]
    before_who: Mapped[str | None]
    before_at: Mapped[datetime | None]
    undone: Mapped[bool] = mapped_column(server_default=text("false"))


class MaskVersion(Base):
    """A target mask that somebody painted for a job; the composed one has the number 0."""

    __tablename__ = "mask_version"
    __table_args__ = (
        CheckConstraint("number > 0", name="number"),
        CheckConstraint(digest("digest"), name="digest_hex"),
        UniqueConstraint("job_id", "digest"),
    )
    job_id: Mapped[int] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]
    mask: Mapped[dict[str, Any]]  # as in a spec
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())

"""The catalogue's tables. Illegal combinations are refused by constraints, not by good manners.

Status words are text with a CHECK; times are the database's own. Besides what stands here, the
migrations install a trigger that refuses a change of status which `transition` does not list.

Source: queue design, section 3.1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, SMALLINT
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base
from barber.catalogue.base import digest as _digest
from barber.catalogue.base import one_of as _one_of
from barber.catalogue.people_tables import Person
from barber.catalogue.status import (
    ArtifactStatus,
    JobStatus,
    Outcome,
    StageStatus,
    WorkerStatus,
)
from barber.plan import StageKind

# What the index of job_trigrams is made with; migrations make it in a catalogue that has one.
TRIGRAMS = """
CREATE FUNCTION job_trigrams(name text, error text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
    SELECT coalesce(array_agg(DISTINCT substr(lower(phrase), place, 3)), '{}')
      FROM (VALUES (left(name, 400)), (left(error, 400))) AS told (phrase)
     CROSS JOIN LATERAL generate_series(1, length(phrase) - 2) AS place
$$
"""
event.listen(Base.metadata, "before_create", DDL(TRIGRAMS))  # type: ignore[no-untyped-call]

FINAL_JOB = _one_of("status", [s for s in JobStatus if s.final])
FINAL_STAGE = _one_of("status", [s for s in StageStatus if s.final])


class Portrait(Base):
    """A picture known by the digest of its pixels at one bundle's size."""

    __tablename__ = "portrait"
    __table_args__ = (
        CheckConstraint(_digest("sha256"), name="sha256_hex"),
        CheckConstraint(_digest("file_sha256"), name="file_hex"),
        CheckConstraint(_digest("labels_file_sha256"), name="labels_hex"),
        CheckConstraint(_digest("photo_file_sha256"), name="photo_hex"),
        CheckConstraint("(photo_file_sha256 IS NULL) = (crop IS NULL)", name="origin"),
        CheckConstraint("width > 0 AND height > 0 AND side_px > 0", name="sizes"),
    )
    sha256: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]  # of the first file that showed it
    width: Mapped[int]  # of that file, in pixels
    height: Mapped[int]
    side_px: Mapped[int]  # after the resize
    file_sha256: Mapped[str]  # of the PNG in the store
    labels_file_sha256: Mapped[str | None]  # of its own label map, an index PNG; else it is parsed
    photo_file_sha256: Mapped[str | None]  # of the photograph that it was cut from
    # How it was cut, so that a result can go back into the photograph.
    crop: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Batch(Base):
    """A set of jobs submitted together."""

    __tablename__ = "batch"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    submitted_by: Mapped[str | None] = mapped_column(index=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey(Person.id), index=True)
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    # Its jobs are still being written, and none is handed out.
    filling: Mapped[bool] = mapped_column(server_default=text("false"))
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    refused: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Job(Base):
    """One run of the method for one spec."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(_one_of("status", JobStatus), name="status"),
        CheckConstraint(f"({FINAL_JOB}) = (finished_at IS NOT NULL)", name="finished"),
        CheckConstraint("status <> 'running' OR started_at IS NOT NULL", name="started"),
        CheckConstraint("(status = 'succeeded') = (result_key IS NOT NULL)", name="result"),
        CheckConstraint(
            "(status = 'failed') = (error IS NOT NULL AND error_class IS NOT NULL)", name="cause"
        ),
        CheckConstraint("status <> 'cancelled' OR cancel_requested", name="cancel"),
        CheckConstraint("priority BETWEEN -1000 AND 1000", name="priority"),
        CheckConstraint("generation >= 0", name="generation"),
        Index("ix_job_batch_status_newest", "batch_id", "status", text("(- id)")),
        Index("ix_job_batch_newest", "batch_id", text("(- id)")),
        Index("ix_job_status_newest", "status", text("(- id)")),
        Index(
            "ix_job_warned",
            "batch_id",
            postgresql_where=text('findings @> \'[{"verdict": "warn"}]\'::jsonb'),
        ),
        Index(
            "ix_job_open",
            "bundle",
            "batch_id",
            text("priority DESC"),
            "id",
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index(
            "ix_job_deadline",
            "deadline",
            postgresql_where=text("deadline IS NOT NULL AND status IN ('queued', 'running')"),
        ),
        Index(
            "ix_job_cause_id",
            "cause",
            "id",
            postgresql_where=text("cause IS NOT NULL"),
        ),
        Index(
            "ix_job_error_newest",
            "error_class",
            text("(- id)"),
            postgresql_where=text("error_class IS NOT NULL"),
        ),
        Index("ix_job_bundle_newest", "bundle_name", text("(- id)")),
        Index("ix_job_priority", "priority", "id"),
        Index("ix_job_created_at", "created_at"),
        Index(
            "ix_job_ended",
            "finished_at",
            "status",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index(
            "ix_job_updated", text("COALESCE(finished_at, started_at, created_at)"), "id", "status"
        ),
        # The results of a batch, to be counted and sorted without reading the jobs.
        Index(
            "ix_job_results",
            "batch_id",
            "id",
            "result_key",
            postgresql_where=text("status = 'succeeded'"),
        ),
        Index("ix_job_words", text("job_trigrams(name, error)"), postgresql_using="gin"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    name: Mapped[str]
    spec: Mapped[dict[str, Any]]
    bundle_name: Mapped[str]  # where workers find the bundle whose digest the spec names
    bundle: Mapped[str | None] = mapped_column(Computed("spec ->> 'bundle'", persisted=True))
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED)
    priority: Mapped[int] = mapped_column(SMALLINT, server_default=text("0"))
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    generation: Mapped[int] = mapped_column(server_default=text("0"))  # +1 per chord built
    deadline: Mapped[datetime | None]  # what has not ended by then fails
    result_key: Mapped[str | None] = mapped_column(ForeignKey("artifact.key"))
    error_class: Mapped[str | None]  # of the first stage that failed for good
    error: Mapped[str | None]
    findings: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cause: Mapped[str | None]  # `Cause.key` of a failed job; written by a trigger alone


class Artifact(Base):
    """A stage's output, known by the digest of all it depends on; shared by all jobs."""

    __tablename__ = "artifact"
    __table_args__ = (
        CheckConstraint(_digest("key"), name="key_hex"),
        CheckConstraint(_one_of("kind", StageKind), name="kind"),
        CheckConstraint(_one_of("status", ArtifactStatus), name="status"),
        CheckConstraint("(status = 'building') = (builder_stage IS NOT NULL)", name="builder"),
        CheckConstraint("(status = 'ready') = (ready_at IS NOT NULL)", name="ready"),
        CheckConstraint("status <> 'ready' OR recipe IS NOT NULL", name="recipe"),
        # Partial: a full one would make it a key, and its changes shut out new stages' references.
        Index(
            "uq_artifact_builder_stage",
            "builder_stage",
            unique=True,
            postgresql_where=text("builder_stage IS NOT NULL"),
        ),
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=ArtifactStatus.MISSING)
    builder_stage: Mapped[int | None] = mapped_column(ForeignKey("stage.id", use_alter=True))
    # Stays when the files are deleted to make room: what was made of it still tells how.
    recipe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class ArtifactFile(Base):
    """One file of a ready artifact; the bytes lie in the store under their digest."""

    __tablename__ = "artifact_file"
    __table_args__ = (
        CheckConstraint(_digest("sha256"), name="sha256_hex"),
        CheckConstraint("size_bytes >= 0", name="size"),
    )
    artifact_key: Mapped[str] = mapped_column(ForeignKey("artifact.key"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]


class Stage(Base):
    """One stage of one job. Heartbeats touch no indexed column, so they stay in their page."""

    __tablename__ = "stage"
    __table_args__ = (
        UniqueConstraint("job_id", "kind", "slot"),
        CheckConstraint(_one_of("kind", StageKind), name="kind"),
        CheckConstraint(_one_of("status", StageStatus), name="status"),
        CheckConstraint(f"({FINAL_STAGE}) = (finished_at IS NOT NULL)", name="finished"),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("status <> 'running' OR (worker IS NOT NULL AND token > 0)", name="holder"),
        CheckConstraint(
            "(status = 'dispatched') <= (dispatched_at IS NOT NULL AND generation > 0)",
            name="dispatched",
        ),
        CheckConstraint(
            "status <> 'failed' OR (error IS NOT NULL AND error_class IS NOT NULL)", name="cause"
        ),
        CheckConstraint(
            "(kind IN ('reconstruct', 'align')) = (portrait IS NOT NULL)", name="portrait"
        ),
        CheckConstraint("slot >= 0 AND (kind <> 'blend' OR slot = 0)", name="slot"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress"),
        CheckConstraint("generation >= 0 AND token >= 0", name="counters"),
        CheckConstraint(
            "errors BETWEEN 0 AND max_errors AND losses BETWEEN 0 AND max_losses", name="budgets"
        ),
        Index("ix_stage_key", "key"),
        Index(
            "ix_stage_out",
            "job_id",
            postgresql_where=text("status IN ('dispatched', 'running')"),
        ),
        Index(
            "ix_stage_blend_due",
            "job_id",
            postgresql_where=text("kind = 'blend' AND status = 'pending' AND ready_at IS NOT NULL"),
        ),
        Index(
            "ix_stage_lost",
            "job_id",
            postgresql_where=text("status IN ('pending', 'dispatched') AND losses > 0"),
        ),
        Index("ix_stage_failed", "kind", "job_id", postgresql_where=text("status = 'failed'")),
        {"postgresql_with": {"fillfactor": 80}},
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str]
    slot: Mapped[int] = mapped_column(SMALLINT)
    key: Mapped[str] = mapped_column(ForeignKey("artifact.key"))
    needs: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))
    portrait: Mapped[str | None] = mapped_column(ForeignKey("portrait.sha256"))
    status: Mapped[str] = mapped_column(server_default=StageStatus.PENDING)
    generation: Mapped[int] = mapped_column(server_default=text("0"))  # which dispatch may claim
    token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # +1 per claim
    errors: Mapped[int] = mapped_column(SMALLINT, server_default=text("0"))
    losses: Mapped[int] = mapped_column(SMALLINT, server_default=text("0"))
    max_errors: Mapped[int] = mapped_column(SMALLINT, server_default=text("3"))
    max_losses: Mapped[int] = mapped_column(SMALLINT, server_default=text("5"))
    not_before: Mapped[datetime | None]  # backoff
    dispatched_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]  # when the last of its needs became ready
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    progress: Mapped[float | None]
    note: Mapped[str | None]
    losses_now: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error_class: Mapped[str | None]
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None]


class Attempt(Base):
    """One claim of a stage, kept for ever."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("stage_id", "token"),
        CheckConstraint(_one_of("outcome", Outcome), name="outcome"),
        CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
        CheckConstraint("from_step > 0", name="from_step"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stage_id: Mapped[int] = mapped_column(ForeignKey("stage.id"))
    token: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str]
    device: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    from_step: Mapped[int | None]  # steps that an earlier attempt's snapshot spared it
    outcome: Mapped[str | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]
    trace: Mapped[str | None]  # of the exception, for operators


class StagePreview(Base):
    """The latest picture of a running stage."""

    __tablename__ = "stage_preview"
    stage_id: Mapped[int] = mapped_column(
        ForeignKey("stage.id"), primary_key=True, autoincrement=False
    )
    token: Mapped[int] = mapped_column(BigInteger)
    step: Mapped[int]
    png: Mapped[bytes]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class StageCurve(Base):
    """How the losses of one attempt fell, thinned to a bounded number of steps."""

    __tablename__ = "stage_curve"
    __table_args__ = (Index("ix_stage_curve_at", "at", postgresql_using="brin"),)
    stage_id: Mapped[int] = mapped_column(
        ForeignKey("stage.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    token: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    phases: Mapped[list[dict[str, Any]]]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Outbox(Base):
    """A message that was decided but not yet published."""

    __tablename__ = "outbox"
    __table_args__ = (CheckConstraint("topic IN ('chord', 'stage')", name="topic"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]
    payload: Mapped[dict[str, Any]]
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Worker(Base):
    """A worker process, as it last described itself."""

    __tablename__ = "worker"
    __table_args__ = (
        CheckConstraint(_one_of("status", WorkerStatus), name="status"),
        CheckConstraint("(bundle IS NULL) = (bundle_name IS NULL)", name="bundle"),
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    queues: Mapped[list[str]]
    pid: Mapped[int]
    versions: Mapped[dict[str, Any]]
    status: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    alive_until: Mapped[datetime] = mapped_column(server_default=func.now())
    bundle: Mapped[str | None]  # digest of the one that it has loaded
    bundle_name: Mapped[str | None]
    host: Mapped[str] = mapped_column(server_default=text("''"))
    memory: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    warm_up_s: Mapped[float | None]  # from the process's start until it could take a stage


class Event(Base):
    """Something that happened, in the order of ids. No foreign keys: events outlive their rows."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_job_id_id", "job_id", "id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_event_at", "at", postgresql_using="brin"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    stage_id: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class Control(Base):
    """A switch for the whole system, by name."""

    __tablename__ = "control"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]


class Transition(Base):
    """A legal change of status; the trigger on job, stage and artifact reads it."""

    __tablename__ = "transition"
    entity: Mapped[str] = mapped_column(primary_key=True)
    before: Mapped[str] = mapped_column(primary_key=True)
    after: Mapped[str] = mapped_column(primary_key=True)

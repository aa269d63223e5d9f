"""What people read about batches and jobs: frozen rows, a few queries each, whatever the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, case, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from barber.catalogue import counts, events, listing, workers
from barber.catalogue.events import EventRow
from barber.catalogue.listing import Place
from barber.catalogue.portraits import PortraitRow, portraits
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus, Outcome, StageStatus
from barber.catalogue.store import StoredFile
from barber.catalogue.tables import (
    Artifact,
    ArtifactFile,
    Attempt,
    Batch,
    Job,
    Stage,
    StagePreview,
)
from barber.errors import NotFound
from barber.plan import ArtifactKey, StageKind
from barber.preflight.findings import Verdict
from barber.spec import JobSpec, PortraitKey

EVENTS_SHOWN = 200
PNG = "image/png"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch with its progress."""

    id: int
    name: str
    submitted_by: str | None
    created_at: datetime
    paused: bool
    filling: bool  # its jobs are still being written
    refused: tuple[dict[str, Any], ...]  # each {line, name, reason, findings}
    counts: Mapping[JobStatus, int]  # jobs by status; every status is present
    progress: float  # 0..1, the mean over its jobs: one that has ended counts 1

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def finished(self) -> bool:
        ended = all(status.final or not count for status, count in self.counts.items())
        return ended and not self.filling


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job in a list."""

    id: int
    batch_id: int
    batch_name: str
    name: str
    status: JobStatus
    priority: int
    paused: bool
    cancel_requested: bool
    deadline: datetime | None
    progress: float  # 0..1, the mean over its stages
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_class: str | None
    error: str | None
    result_file: str | None  # digest of the result's PNG
    identity: PortraitKey
    portraits: tuple[PortraitKey, ...]  # identity first
    warnings: int  # of pre-flight


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One claim of a stage."""

    token: int
    worker: str
    device: str
    started_at: datetime
    ended_at: datetime | None
    from_step: int | None  # steps that an earlier attempt's snapshot spared it
    outcome: Outcome | None  # None: under way
    error_class: str | None
    error: str | None
    trace: str | None  # of the exception, for operators


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """All that is known of one stage."""

    id: int
    kind: StageKind
    slot: int
    key: ArtifactKey
    needs: tuple[ArtifactKey, ...]
    portrait: PortraitKey | None
    status: StageStatus
    generation: int
    token: int
    errors: int
    losses: int
    max_errors: int
    max_losses: int
    not_before: datetime | None
    dispatched_at: datetime | None
    ready_at: datetime | None
    lease_until: datetime | None
    finished_at: datetime | None
    worker: str | None
    progress: float | None
    note: str | None
    losses_now: dict[str, float] | None
    error_class: str | None
    error: str | None
    preview_step: int | None
    attempts: tuple[AttemptRow, ...]  # oldest first
    files: Mapping[str, StoredFile]  # of its artifact, by name; empty until it is ready

    @property
    def reused(self) -> bool:
        """Whether it succeeded without running: another job had made the artifact."""
        ran = any(attempt.outcome is Outcome.SUCCEEDED for attempt in self.attempts)
        return self.status is StageStatus.SUCCEEDED and not ran

    @property
    def seconds(self) -> float | None:
        """How long its last attempt took, once that has ended."""
        if not self.attempts or self.attempts[-1].ended_at is None:
            return None
        return (self.attempts[-1].ended_at - self.attempts[-1].started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All that is known of one job."""

    row: JobRow
    spec: JobSpec
    bundle_name: str
    waits_for: str | None  # a sentence, when no live worker holds its bundle and nothing of it runs
    generation: int
    result_key: ArtifactKey | None
    findings: tuple[dict[str, Any], ...]  # of pre-flight: warnings, and what was not checked
    dropped: tuple[str, ...]  # loss terms of the result left out because their mask was empty
    stages: tuple[StageView, ...]  # in the order of the plan
    portraits: Mapping[PortraitKey, PortraitRow]
    events: tuple[EventRow, ...]  # oldest first, the latest 200


def batches(
    session: Session, *, limit: int = 50, before: int | None = None, owner: int | None = None
) -> list[BatchRow]:
    """Batches, newest first; `before` continues below that id, `owner` sees theirs alone."""
    query = select(*Batch.__table__.c).order_by(Batch.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Batch.owner_id == owner)
    if before is not None:
        query = query.where(Batch.id < before)
    rows = session.execute(query).all()
    ids = [row.id for row in rows]
    counted = counts.of_batches(session, ids)
    running = Job.batch_id.in_(ids), Job.status == JobStatus.RUNNING
    progress = _progress(session, Job.batch_id, *running)
    return [
        BatchRow(
            id=row.id,
            name=row.name,
            submitted_by=row.submitted_by,
            created_at=row.created_at,
            paused=row.paused,
            filling=row.filling,
            refused=tuple(row.refused),
            counts=counted[row.id],
            progress=_share_done(counted[row.id], progress.get(row.id, 0.0)),
        )
        for row in rows
    ]


def batch(session: Session, batch_id: int, *, owner: int | None = None) -> BatchRow:
    """One batch; for `owner` only one of theirs. Raises NotFound."""
    found = batches(session, limit=1, before=batch_id + 1, owner=owner)
    if not found or found[0].id != batch_id:
        raise NotFound(f"no batch {batch_id}")
    return found[0]


def jobs(
    session: Session,
    *,
    batch_id: int | None = None,
    status: JobStatus | None = None,
    limit: int = 50,
    before: int | None = None,
    owner: int | None = None,
) -> list[JobRow]:
    """Jobs, newest first; `before` continues below that id, `owner` sees theirs alone."""
    statuses = () if status is None else (JobStatus(status),)
    chosen = Selection(batch_id=batch_id, statuses=statuses, owner=owner)
    place = None if before is None else Place(before)
    found = listing.page(session, chosen, limit=limit, after=place)
    return rows_of(session, [place.job_id for place in found])


def rows_of(session: Session, job_ids: Sequence[int]) -> list[JobRow]:
    """These jobs as rows of a list, in the order given."""
    found = _job_rows(session, Job.id.in_(job_ids), order=Job.id, limit=len(job_ids))
    rows = {row.id: _job_row(row, progress, file) for row, progress, file in found}
    return [rows[job_id] for job_id in job_ids if job_id in rows]


def job(session: Session, job_id: int, *, owner: int | None = None) -> JobView:
    """One job in full; for `owner` only one of theirs. Raises NotFound."""
    mine = () if owner is None else (Batch.owner_id == owner,)
    found = _job_rows(session, Job.id == job_id, *mine, order=Job.id, limit=1)
    if not found:
        raise NotFound(f"no job {job_id}")
    row = found[0][0]
    job_row = _job_row(*found[0])
    stages = _stage_views(session, job_id)
    return JobView(
        row=job_row,
        spec=JobSpec.from_json(row.spec),
        bundle_name=row.bundle_name,
        waits_for=_waits_for(session, row, stages),
        generation=row.generation,
        result_key=row.result_key,
        findings=tuple(row.findings),
        dropped=_dropped(session, row.result_key),
        stages=stages,
        portraits=portraits(session, job_row.portraits),
        events=tuple(events.last_of_job(session, job_id, EVENTS_SHOWN)),
    )


def _waits_for(session: Session, row: Any, stages: Iterable[StageView]) -> str | None:
    runs = any(stage.status is StageStatus.RUNNING for stage in stages)
    if runs or JobStatus(row.status).final or row.bundle in workers.held_bundles(session):
        return None
    return workers.lack(row.bundle_name, row.bundle, workers.listed(session))


def _dropped(session: Session, result_key: str | None) -> tuple[str, ...]:
    recipe = session.scalar(select(Artifact.recipe).where(Artifact.key == result_key))
    return tuple((recipe or {}).get("dropped", ()))


def _share_done(counted: Mapping[JobStatus, int], running: float) -> float:
    """How far a batch is; `running` is the mean progress of its running jobs' stages."""
    total = sum(counted.values())
    ended = sum(number for status, number in counted.items() if status.final)
    return (ended + running * counted[JobStatus.RUNNING]) / total if total else 1.0


def _progress(session: Session, by: Any, *where: ColumnElement[bool]) -> dict[int, float]:
    """Mean progress of the stages of the jobs that match, by job or by batch."""
    part = case(
        (Stage.status == StageStatus.SUCCEEDED, 1.0),
        (Stage.status == StageStatus.RUNNING, func.coalesce(Stage.progress, 0.0)),
        else_=0.0,
    )
    query = select(by, func.avg(part)).join(Stage, Stage.job_id == Job.id).where(*where)
    return {key: float(mean) for key, mean in session.execute(query.group_by(by))}


def _job_rows(
    session: Session, *where: ColumnElement[bool], order: SQLColumnExpression[int], limit: int
) -> list[tuple[Any, float, str | None]]:
    """Rows of jobs, each with its progress and the digest of its result's PNG."""
    query = (
        select(*Job.__table__.c, Batch.name.label("batch_name"))
        .join(Batch, Batch.id == Job.batch_id)
        .where(*where)
        .order_by(order)
        .limit(limit)
    )
    rows = session.execute(query).all()
    progress = _progress(session, Job.id, Job.id.in_([row.id for row in rows]))
    results = _pictures(session, {row.result_key for row in rows if row.result_key})
    return [(row, progress[row.id], results.get(row.result_key)) for row in rows]


def _pictures(session: Session, keys: Iterable[str]) -> dict[str, str]:
    """The digest of the first PNG of each artifact."""
    query = (
        select(ArtifactFile.artifact_key, ArtifactFile.sha256)
        .ext(distinct_on(ArtifactFile.artifact_key))
        .where(ArtifactFile.artifact_key.in_(set(keys)), ArtifactFile.media_type == PNG)
        .order_by(ArtifactFile.artifact_key, ArtifactFile.name)
    )
    return {row.artifact_key: row.sha256 for row in session.execute(query)}


def _job_row(row: Any, progress: float, result_file: str | None) -> JobRow:
    regions = row.spec["regions"]
    keys = [row.spec["identity"]]
    keys += [region[part] for region in regions for part in ("structure", "appearance")]
    return JobRow(
        id=row.id,
        batch_id=row.batch_id,
        batch_name=row.batch_name,
        name=row.name,
        status=JobStatus(row.status),
        priority=row.priority,
        paused=row.paused,
        cancel_requested=row.cancel_requested,
        deadline=row.deadline,
        progress=progress,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error_class=row.error_class,
        error=row.error,
        result_file=result_file,
        identity=keys[0],
        portraits=tuple(dict.fromkeys(keys)),
        warnings=sum(finding["verdict"] == Verdict.WARN for finding in row.findings),
    )


def _stage_views(session: Session, job_id: int) -> tuple[StageView, ...]:
    shown = [column for column in Stage.__table__.c if column.name not in ("job_id",)]
    query = (
        select(*shown, StagePreview.step.label("preview_step"))
        .outerjoin(StagePreview, StagePreview.stage_id == Stage.id)
        .where(Stage.job_id == job_id)
        .order_by(Stage.id)
    )
    rows = session.execute(query).all()
    attempts = _attempts(session, [row.id for row in rows])
    files = _files(session, [row.key for row in rows])
    return tuple(
        StageView(
            **{
                **row._mapping,
                "kind": StageKind(row.kind),
                "status": StageStatus(row.status),
                "needs": tuple(row.needs),
                "attempts": tuple(attempts.get(row.id, ())),
                "files": files.get(row.key, {}),
            }
        )
        for row in rows
    )


def _attempts(session: Session, stage_ids: list[int]) -> dict[int, list[AttemptRow]]:
    query = select(*Attempt.__table__.c).where(Attempt.stage_id.in_(stage_ids))
    found: dict[int, list[AttemptRow]] = {}
    for row in session.execute(query.order_by(Attempt.stage_id, Attempt.token)):
        attempt = AttemptRow(
            token=row.token,
            worker=row.worker,
            device=row.device,
            started_at=row.started_at,
            ended_at=row.ended_at,
            from_step=row.from_step,
            outcome=Outcome(row.outcome) if row.outcome else None,
            error_class=row.error_class,
            error=row.error,
            trace=row.trace,
        )
        found.setdefault(row.stage_id, []).append(attempt)
    return found


def _files(session: Session, keys: list[str]) -> dict[str, dict[str, StoredFile]]:
    query = select(*ArtifactFile.__table__.c).where(ArtifactFile.artifact_key.in_(keys))
    found: dict[str, dict[str, StoredFile]] = {}
    for row in session.execute(query.order_by(ArtifactFile.name)):
        file = StoredFile(sha256=row.sha256, size_bytes=row.size_bytes, media_type=row.media_type)
        found.setdefault(row.artifact_key, {})[row.name] = file
    return found

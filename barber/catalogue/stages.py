"""What a worker tells the catalogue about one stage: claimed, alive, finished, failed, handed back.

Each call is one transaction's worth of change with its event, decided by a conditional UPDATE: a
call that comes doubled, late, or from a worker that lost its lease changes nothing and says so.

Source: queue design, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import events, flow, locks
from barber.catalogue.claims import Claim, claim, decline
from barber.catalogue.files import Preview, artifact_files, preview, quarantine
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, Outcome, StageStatus
from barber.catalogue.store import StoredFile
from barber.catalogue.tables import Artifact, ArtifactFile, Attempt, Job, Stage, StagePreview
from barber.plan import StageKind

__all__ = [
    "Claim",
    "Preview",
    "Pulse",
    "artifact_files",
    "claim",
    "decline",
    "fail",
    "finish",
    "hand_back",
    "heartbeat",
    "preview",
    "quarantine",
    "record_preview",
]


class Pulse(StrEnum):
    """What a heartbeat hears back."""

    GO = "go"
    CANCEL = "cancel"  # its job was cancelled: stop between two steps, then `hand_back`
    LATE = "late"  # its job's deadline has passed: as for a cancel
    LOST = "lost"  # somebody else's stage by now: stop, and record nothing


def _held_by(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """The fence: what every statement of a claim's holder demands."""
    return (
        Stage.id == claim.stage_id,
        Stage.token == claim.token,
        Stage.status == StageStatus.RUNNING,
    )


def heartbeat(
    session: Session,
    claim: Claim,
    *,
    lease_s: float,
    progress: float | None = None,
    note: str | None = None,
    losses: Mapping[str, float] | None = None,
) -> Pulse:
    """Renews the lease, tells progress and asks whether to go on, in one statement.

    Args:
        session: The heartbeat's own.
        claim: The claim.
        lease_s: For how long the lease holds from now on.
        progress: From 0 to 1; None leaves what was told before, as for the others.
        note: What the stage is doing, for people.
        losses: The latest losses by name.
    """
    told = {
        "progress": None if progress is None else min(max(progress, 0.0), 1.0),
        "note": None if note is None else _readable(note),
        "losses_now": None if losses is None else _finite(losses),
    }
    statement = (
        update(Stage)
        .where(*_held_by(claim), Job.id == Stage.job_id)
        .values(
            lease_until=flow.in_seconds(lease_s),
            **{name: value for name, value in told.items() if value is not None},
        )
        .returning(Job.cancel_requested.label("cancelled"), _expired().label("late"))
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        return Pulse.LOST
    if row.cancelled:
        return Pulse.CANCEL
    return Pulse.LATE if row.late else Pulse.GO


def _expired() -> ColumnElement[bool]:
    return func.coalesce(Job.deadline <= func.now(), False)


def _finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no word for infinity: such a loss becomes null, and the heartbeat goes through."""
    return {name: value if math.isfinite(value) else None for name, value in losses.items()}


def _readable(text: str) -> str:
    """What Postgres can store of a text: no zero bytes, no halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def record_preview(session: Session, claim: Claim, *, step: int, png: bytes) -> bool:
    """Keeps the latest picture of a running stage; False when the claim is lost."""
    held = select(Stage.id, Stage.token, literal(step), literal(png)).where(*_held_by(claim))
    statement = upsert(StagePreview).from_select(["stage_id", "token", "step", "png"], held)
    fresh = {name: statement.excluded[name] for name in ("token", "step", "png")}
    statement = statement.on_conflict_do_update(
        index_elements=["stage_id"], set_=fresh | {"at": func.now()}
    )
    return session.execute(statement.returning(StagePreview.stage_id)).first() is not None


def finish(
    session: Session,
    claim: Claim,
    *,
    files: Mapping[str, StoredFile],
    recipe: Mapping[str, Any],
) -> bool:
    """Records a stage's artifact, and succeeds all stages of running jobs that wait for it.

    Args:
        session: Its commit makes the artifact visible; the files are in the store already.
        claim: The claim.
        files: The artifact's files by name.
        recipe: Plain JSON: what the artifact was made from.

    Returns:
        False when the claim is lost: nothing changed but the attempt, which is marked as fenced.
        Repeated after an answer that got lost, True again.
    """
    waiting = _waiting_jobs(session, claim)
    locks.lock_jobs(session, [claim.job_id, *waiting])
    if not flow.move(session, StageStatus.SUCCEEDED, *_held_by(claim)):
        return _fenced(session, claim)
    _make_ready(session, claim, files, recipe)
    flow.end_attempt(session, claim.stage_id, claim.token, Outcome.SUCCEEDED)
    events.record(session, EventKind.SUCCEEDED, job_id=claim.job_id, stage_id=claim.stage_id)
    flow.wake_next(session, claim.stage_id)
    flow.settle(session, claim.job_id)
    if waiting:
        _succeed_waiting(session, claim.planned.key, waiting)
    return True


def _waiting_jobs(session: Session, claim: Claim) -> list[int]:
    """Running jobs with a pending stage of the same artifact; queued ones find it ready later."""
    query = (
        select(Stage.job_id)
        .join(Job, Job.id == Stage.job_id)
        .where(
            Stage.key == claim.planned.key,
            Stage.status == StageStatus.PENDING,
            Job.status == JobStatus.RUNNING,
        )
        .distinct()
    )
    return sorted(session.scalars(query))


def _make_ready(
    session: Session, claim: Claim, files: Mapping[str, StoredFile], recipe: Mapping[str, Any]
) -> None:
    """The artifact that a running stage builds, by invariant, becomes ready with its files."""
    key = claim.planned.key
    statement = (
        update(Artifact)
        .where(Artifact.key == key, Artifact.builder_stage == claim.stage_id)
        .values(
            status=ArtifactStatus.READY,
            builder_stage=None,
            recipe=dict(recipe),
            ready_at=func.now(),
            last_used_at=func.now(),
        )
        .returning(Artifact.key)
        .execution_options(synchronize_session=False)
    )
    session.execute(statement).one()
    rows = [
        {
            "artifact_key": key,
            "name": name,
            "sha256": file.sha256,
            "size_bytes": file.size_bytes,
            "media_type": file.media_type,
        }
        for name, file in files.items()
    ]
    if rows:
        session.execute(insert(ArtifactFile), rows)


def _succeed_waiting(session: Session, key: str, job_ids: list[int]) -> None:
    """Stages of other jobs that waited for this artifact have it; their blends may be due."""
    flow.reuse(session, Stage.key == key, Stage.job_id.in_(job_ids), Stage.kind != StageKind.BLEND)
    for job_id in job_ids:
        flow.settle(session, job_id)
        flow.offer_blend(session, job_id, 0)


def fail(
    session: Session,
    claim: Claim,
    *,
    error_class: str,
    message: str,
    final: bool,
    backoff_s: float,
    trace: str | None = None,
) -> bool:
    """Records that a stage raised: it waits for its repeat, or failed for good.

    Args:
        session: The session.
        claim: The claim.
        error_class: Name of the exception's class.
        message: A sentence for people.
        final: Whether repeating cannot help; otherwise the stage's budget of errors decides.
        backoff_s: Wait before the first repeat; it doubles each time, up to 300 s.
        trace: The traceback, for operators.

    Returns:
        False when the claim is lost.
    """
    job = locks.lock_job(session, claim.job_id)
    held = session.execute(
        select(Stage.errors, Stage.max_errors).where(*_held_by(claim)).with_for_update()
    ).one_or_none()
    if job is None or held is None:
        return _fenced(session, claim)
    errors = held.errors + 1
    for_good = final or errors >= held.max_errors
    status = StageStatus.FAILED if for_good else StageStatus.PENDING
    cause: dict[str, Any] = {"error_class": error_class, "error": _readable(message)}
    told = None if trace is None else _readable(trace)
    flow.end_attempt(session, claim.stage_id, claim.token, Outcome.ERROR, trace=told, **cause)
    if job.cancel_requested:
        status = StageStatus.CANCELLED
    elif job.expired and not for_good:
        status, cause = StageStatus.FAILED, flow.too_late(job)
    due = flow.backoff(backoff_s, errors) if status is StageStatus.PENDING else None
    flow.move(session, status, *_held_by(claim), errors=errors, not_before=due, **cause)
    kind = EventKind.FAILED if status is StageStatus.FAILED else EventKind.ERROR
    events.record(session, kind, job_id=claim.job_id, stage_id=claim.stage_id, data=cause)
    flow.set_back(session, claim.job_id, claim.stage_id, claim.planned.key)
    return True


def hand_back(session: Session, claim: Claim, reason: str) -> bool:
    """Gives a stage back unfinished, without spending its budgets.

    It is cancelled when its job's end was asked for, and fails when the job's deadline has passed;
    otherwise it waits for another worker.

    Returns:
        False when the claim is lost.
    """
    job = locks.lock_job(session, claim.job_id)
    status, outcome, kind = StageStatus.PENDING, Outcome.RETURNED, EventKind.RETURNED
    cause: dict[str, Any] = {}
    if job is not None and job.cancel_requested:
        status, outcome, kind = StageStatus.CANCELLED, Outcome.CANCELLED, EventKind.CANCELLED
    elif job is not None and job.expired:
        status, kind, cause = StageStatus.FAILED, EventKind.FAILED, flow.too_late(job)
        reason = cause["error"]
    if not flow.move(session, status, *_held_by(claim), **cause):
        return _fenced(session, claim)
    ids = {"job_id": claim.job_id, "stage_id": claim.stage_id}
    flow.end_attempt(session, claim.stage_id, claim.token, outcome, error=_readable(reason))
    events.record(session, kind, **ids, data=cause or {"reason": _readable(reason)})
    flow.set_back(session, claim.job_id, claim.stage_id, claim.planned.key)
    return True


def _fenced(session: Session, claim: Claim) -> bool:
    """What a call finds whose claim is lost: True when it was recorded once already."""
    attempt = (Attempt.stage_id == claim.stage_id, Attempt.token == claim.token)
    outcome = session.scalar(select(Attempt.outcome).where(*attempt))
    if outcome == Outcome.LOST:
        session.execute(
            update(Attempt)
            .where(*attempt)
            .values(outcome=Outcome.FENCED)
            .execution_options(synchronize_session=False)
        )
    return outcome == Outcome.SUCCEEDED

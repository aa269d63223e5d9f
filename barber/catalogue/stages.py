"""What a worker tells the catalogue about one stage: claimed, alive, finished, failed, handed back.

Each call is one transaction's worth of change with its event, decided by a conditional UPDATE: a
call that comes doubled, late, or from a worker that lost its lease changes nothing and says so.

Source: queue design, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, any_, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import events, flow
from barber.catalogue.files import Preview, artifact_files, preview, quarantine
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, Outcome, StageStatus
from barber.catalogue.store import StoredFile
from barber.catalogue.tables import Artifact, ArtifactFile, Attempt, Job, Stage, StagePreview
from barber.plan import PlannedStage, StageKind, plan
from barber.spec import JobSpec

__all__ = [
    "Claim",
    "Preview",
    "Pulse",
    "artifact_files",
    "claim",
    "fail",
    "finish",
    "hand_back",
    "heartbeat",
    "preview",
    "quarantine",
    "record_preview",
]

OTHER_METHOD = "MethodChanged"  # error class of a stage that was planned by another version


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's right to run a stage, as long as `token` is the stage's token."""

    stage_id: int
    job_id: int
    token: int
    spec: JobSpec
    planned: PlannedStage
    bundle_name: str
    errors: int = 0  # attempts at this stage that ended in an error before this one


class Pulse(StrEnum):
    """What a heartbeat hears back."""

    GO = "go"
    CANCEL = "cancel"  # stop between two steps, then `hand_back`
    LOST = "lost"  # somebody else's stage by now: stop, and record nothing


def claim(
    session: Session,
    stage_id: int,
    generation: int,
    *,
    worker: str,
    device: str,
    lease_s: float,
) -> Claim | None:
    """Takes a dispatched stage for a worker.

    An expired lease is not taken over here: the dispatcher ends it first, and counts it.

    Returns:
        None when there is nothing to do: the message is doubled or late, the job was cancelled, or
        a need is not ready (then the stage waits in the catalogue again).
    """
    found = _dispatched(session, stage_id, generation)
    if found is None:
        return None
    spec = JobSpec.from_json(found.spec)
    same = (s for s in plan(spec) if (s.kind, s.slot, s.key) == (found.kind, found.slot, found.key))
    planned = next(same, None)
    if planned is None:
        _refuse(session, stage_id, found)
        return None
    token = _take(session, stage_id, generation, worker=worker, lease_s=lease_s)
    if token is None:
        _return_unready(session, stage_id, generation)
        return None
    session.execute(
        insert(Attempt).values(stage_id=stage_id, token=token, worker=worker, device=device)
    )
    ids = {"job_id": found.job_id, "stage_id": stage_id}
    events.record(session, EventKind.CLAIMED, **ids, data={"worker": worker, "token": token})
    return Claim(
        stage_id=stage_id,
        job_id=found.job_id,
        token=token,
        spec=spec,
        planned=planned,
        bundle_name=found.bundle_name,
    )


def _dispatched(session: Session, stage_id: int, generation: int) -> flow.AnyRow | None:
    query = (
        select(
            Stage.job_id,
            Stage.kind,
            Stage.slot,
            Stage.key,
            Job.spec,
            Job.bundle_name,
        )
        .join(Job, Job.id == Stage.job_id)
        .where(
            Stage.id == stage_id,
            Stage.generation == generation,
            Stage.status == StageStatus.DISPATCHED,
        )
    )
    return session.execute(query).one_or_none()


def _refuse(session: Session, stage_id: int, found: flow.AnyRow) -> None:
    """The code has moved on since the job was planned: its keys no longer say what it makes."""
    error = "this job was planned by another version of the method: submit it again"
    cause = {"error_class": OTHER_METHOD, "error": error}
    flow.lock_jobs(session, [found.job_id])
    held = (Stage.id == stage_id, Stage.status == StageStatus.DISPATCHED)
    if flow.move(session, StageStatus.FAILED, *held, **cause):
        events.record(session, EventKind.FAILED, job_id=found.job_id, stage_id=stage_id, data=cause)
        flow.set_back(session, found.job_id, stage_id, found.key)


def _take(
    session: Session, stage_id: int, generation: int, *, worker: str, lease_s: float
) -> int | None:
    """The conditional UPDATE of a claim; returns the new fencing token."""
    statement = (
        update(Stage)
        .where(
            Stage.id == stage_id,
            Stage.generation == generation,
            Stage.status == StageStatus.DISPATCHED,
            Job.id == Stage.job_id,
            Job.status == JobStatus.RUNNING,
            ~Job.cancel_requested,
            ~_unready_need(),
        )
        .values(
            status=StageStatus.RUNNING,
            token=Stage.token + 1,
            worker=worker,
            lease_until=flow.in_seconds(lease_s),
            progress=0.0,
        )
        .returning(Stage.token)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(statement)


def _unready_need() -> ColumnElement[bool]:
    """Whether some artifact that the stage reads is not ready."""
    needed = Artifact.key == any_(Stage.needs)
    return select(Artifact.key).where(needed, Artifact.status != ArtifactStatus.READY).exists()


def _return_unready(session: Session, stage_id: int, generation: int) -> None:
    """A message that came before its needs: the stage waits in the catalogue instead."""
    moved = flow.move(
        session,
        StageStatus.PENDING,
        Stage.id == stage_id,
        Stage.generation == generation,
        Stage.status == StageStatus.DISPATCHED,
        _unready_need(),
    )
    for row in moved:
        flow.release(session, [row.id])
        flow.wake_next(session, row.id)
        events.record(session, EventKind.NOT_READY, job_id=row.job_id, stage_id=row.id)


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
    told = {"progress": progress, "note": note, "losses_now": losses and dict(losses)}
    statement = (
        update(Stage)
        .where(*_held_by(claim), Job.id == Stage.job_id)
        .values(
            lease_until=flow.in_seconds(lease_s),
            **{name: value for name, value in told.items() if value is not None},
        )
        .returning(Job.cancel_requested)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        return Pulse.LOST
    return Pulse.CANCEL if row.cancel_requested else Pulse.GO


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
    flow.lock_jobs(session, [claim.job_id, *waiting])
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
    return list(session.scalars(query))


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
) -> bool:
    """Records that a stage raised: it waits for its repeat, or failed for good.

    Args:
        session: The session.
        claim: The claim.
        error_class: Name of the exception's class.
        message: A sentence for people.
        final: Whether repeating cannot help; otherwise the stage's budget of errors decides.
        backoff_s: Wait before the first repeat; it doubles each time, up to 300 s.

    Returns:
        False when the claim is lost.
    """
    job = flow.lock_job(session, claim.job_id)
    held = session.execute(
        select(Stage.errors, Stage.max_errors).where(*_held_by(claim)).with_for_update()
    ).one_or_none()
    if job is None or held is None:
        return _fenced(session, claim)
    errors = held.errors + 1
    for_good = final or errors >= held.max_errors
    status = StageStatus.FAILED if for_good else StageStatus.PENDING
    if job.cancel_requested:
        status = StageStatus.CANCELLED
    cause: dict[str, Any] = {"error_class": error_class, "error": message.replace("\0", "")}
    due = flow.backoff(backoff_s, errors) if status is StageStatus.PENDING else None
    flow.move(session, status, *_held_by(claim), errors=errors, not_before=due, **cause)
    flow.end_attempt(session, claim.stage_id, claim.token, Outcome.ERROR, **cause)
    kind = EventKind.FAILED if status is StageStatus.FAILED else EventKind.ERROR
    events.record(session, kind, job_id=claim.job_id, stage_id=claim.stage_id, data=cause)
    flow.set_back(session, claim.job_id, claim.stage_id, claim.planned.key)
    return True


def hand_back(session: Session, claim: Claim, reason: str) -> bool:
    """Gives a stage back unfinished, without spending its budgets.

    It is cancelled when its job's end was asked for; otherwise it waits for another worker.

    Returns:
        False when the claim is lost.
    """
    job = flow.lock_job(session, claim.job_id)
    cancelled = job is not None and job.cancel_requested
    status = StageStatus.CANCELLED if cancelled else StageStatus.PENDING
    if not flow.move(session, status, *_held_by(claim)):
        return _fenced(session, claim)
    outcome = Outcome.CANCELLED if cancelled else Outcome.RETURNED
    flow.end_attempt(session, claim.stage_id, claim.token, outcome, error=reason)
    kind = EventKind.CANCELLED if cancelled else EventKind.RETURNED
    events.record(
        session, kind, job_id=claim.job_id, stage_id=claim.stage_id, data={"reason": reason}
    )
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

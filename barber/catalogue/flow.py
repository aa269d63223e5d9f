"""What follows from a change: shared steps of `jobs`, `stages` and `dispatch`, for them alone.

Locks are taken in one order everywhere: job rows by id, then stages, then artifacts. Whoever moves
a stage out of pending, or lets a job end, holds the job's row; only a claim and a heartbeat go
without, and they touch one stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, any_, bindparam, func, select, update
from sqlalchemy.orm import Session, aliased

from barber.catalogue import events, locks, outbox, refusals, workers
from barber.catalogue.locks import AnyRow
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, Outcome, StageStatus
from barber.catalogue.tables import Artifact, Attempt, Job, Stage
from barber.plan import StageKind

DEADLINE = "deadline"  # error class of what had not ended by then
OUT = (StageStatus.DISPATCHED, StageStatus.RUNNING)
LONGEST_BACKOFF_S = 300.0


def change_job(session: Session, job_id: int, before: JobStatus, **values: Any) -> bool:
    """Changes a job that still has the status `before`."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.status == before)
        .values(**values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).first() is not None


def move(
    session: Session, to: StageStatus, *where: ColumnElement[bool], **values: Any
) -> Sequence[AnyRow]:
    """The one way in which stages change status: those that match, and what became of them.

    Returns:
        Rows of (id, job_id, key, generation, token) of the stages that changed.
    """
    facts: dict[str, Any] = {"status": to, "finished_at": func.now() if to.final else None}
    if to is not StageStatus.RUNNING:
        facts |= {"lease_until": None, "worker": None}
    if to is StageStatus.PENDING:
        facts |= {"progress": None, "note": None, "losses_now": None}
    if to is StageStatus.SUCCEEDED:
        facts |= {"progress": 1.0, "not_before": None, "error_class": None, "error": None}
    statement = (
        update(Stage)
        .where(*where)
        .values(**(facts | values))
        .returning(Stage.id, Stage.job_id, Stage.key, Stage.generation, Stage.token)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).all()


def in_seconds(seconds: float) -> ColumnElement[Any]:
    """A moment from now, by the database's clock."""
    return func.now() + timedelta(seconds=seconds)


def backoff(backoff_s: float, count: int) -> ColumnElement[Any]:
    """When the repeat after the `count`-th setback may start: the wait doubles each time.

    Up to half of it is left out at random, so that what failed together is not repeated together.
    """
    longest_s = min(LONGEST_BACKOFF_S, backoff_s * 2.0 ** (count - 1))
    return func.now() + longest_s * (1 - func.random() / 2) * timedelta(seconds=1)


def too_late(job: AnyRow) -> dict[str, str]:
    """Why a stage of a locked job whose deadline has passed does not run any more."""
    moment = job.deadline.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    error = f"the deadline of its job, {moment}, passed before it had succeeded"
    return {"error_class": DEADLINE, "error": error}


def dispatch(session: Session, stage: AnyRow, *, claimable: bool) -> dict[str, Any] | None:
    """Makes a pending stage the builder of its artifact and hands it out.

    Args:
        session: Its transaction holds the stage's job.
        stage: A row with id, job_id, kind and key.
        claimable: Whether its needs are ready now, or it follows another in a branch.

    Returns:
        What its message says, or None when another stage builds the artifact already.
    """
    building = (
        update(Artifact)
        .where(Artifact.key == stage.key, Artifact.status == ArtifactStatus.MISSING)
        .values(status=ArtifactStatus.BUILDING, builder_stage=stage.id)
        .returning(Artifact.key)
        .execution_options(synchronize_session=False)
    )
    if session.execute(building).first() is None:
        return None
    (moved,) = move(
        session,
        StageStatus.DISPATCHED,
        Stage.id == stage.id,
        Stage.status == StageStatus.PENDING,
        generation=Stage.generation + 1,
        dispatched_at=func.now(),
        ready_at=func.now() if claimable else None,
        not_before=None,
    )
    events.record(
        session,
        EventKind.DISPATCHED,
        job_id=stage.job_id,
        stage_id=stage.id,
        data={"generation": moved.generation},
    )
    return {"kind": stage.kind, "stage_id": stage.id, "generation": moved.generation}


def release(session: Session, stage_ids: Sequence[int]) -> None:
    """What these stages were building is missing again: whoever waits for it may build it."""
    session.execute(
        update(Artifact)
        .where(Artifact.builder_stage.in_(stage_ids))
        .values(status=ArtifactStatus.MISSING, builder_stage=None)
        .execution_options(synchronize_session=False)
    )


def recall(session: Session, job_ids: Sequence[int], key: str) -> None:
    """Takes back what was handed out in these jobs and can no longer start: it needs `key`."""
    moved = move(
        session,
        StageStatus.PENDING,
        Stage.job_id.in_(job_ids),
        Stage.status == StageStatus.DISPATCHED,
        any_(Stage.needs) == key,
    )
    release(session, [row.id for row in moved])
    events.record_stages(session, EventKind.RECALLED, [(row.job_id, row.id) for row in moved])


def reuse(session: Session, *where: ColumnElement[bool]) -> list[int]:
    """Pending stages whose artifact is ready succeed without running; returns their ids.

    One that is being forgotten or deleted at this moment is left alone: the next tick looks again.
    """
    moved = move(
        session,
        StageStatus.SUCCEEDED,
        Stage.status == StageStatus.PENDING,
        select(Artifact.key)
        .where(Artifact.key == Stage.key, Artifact.status == ArtifactStatus.READY)
        .with_for_update(read=True, key_share=True, skip_locked=True)
        .exists(),
        *where,
    )
    if moved:
        session.execute(
            update(Artifact)
            .where(Artifact.key.in_({row.key for row in moved}))
            .values(last_used_at=func.now())
            .execution_options(synchronize_session=False)
        )
    events.record_stages(session, EventKind.REUSED, [(row.job_id, row.id) for row in moved])
    return [row.id for row in moved]


def end_attempt(
    session: Session,
    stage_id: int,
    token: int,
    outcome: Outcome,
    *,
    error_class: str | None = None,
    error: str | None = None,
    trace: str | None = None,
) -> None:
    """Closes an attempt that is still open."""
    session.execute(
        update(Attempt)
        .where(Attempt.stage_id == stage_id, Attempt.token == token, Attempt.outcome.is_(None))
        .values(
            outcome=outcome,
            ended_at=func.now(),
            error_class=error_class,
            error=error,
            trace=trace,
        )
        .execution_options(synchronize_session=False)
    )


def set_back(session: Session, job_id: int, stage_id: int, key: str) -> None:
    """After a stage left the workers without success: what hangs on it follows."""
    release(session, [stage_id])
    recall(session, [job_id], key)
    wake_next(session, stage_id)
    settle(session, job_id)


def _wake_next() -> Update:
    ended, follower = aliased(Stage), aliased(Stage)
    after = (
        select(func.min(follower.id))
        .join(ended, (ended.job_id == follower.job_id) & (ended.portrait == follower.portrait))
        .where(
            ended.id == bindparam("ended_id"),
            follower.status == StageStatus.DISPATCHED,
            follower.ready_at.is_(None),
        )
    )
    return (
        update(Stage)
        .where(Stage.id == after.scalar_subquery())
        .values(ready_at=func.now())
        .execution_options(synchronize_session=False)
    )


WAKE_NEXT = _wake_next()  # built once: its aliases took a third of a worker's time per stage


def wake_next(session: Session, stage_id: int) -> None:
    """The message behind this stage's, in its branch, may be claimed now: its grace begins."""
    session.execute(WAKE_NEXT, {"ended_id": stage_id})


def reopen(session: Session, job_id: int) -> int:
    """Succeeded stages of a locked job whose artifact is no longer ready must run again."""
    locks.keep_artifacts(session, job_id)
    gone = select(Artifact.key).where(
        Artifact.key == Stage.key, Artifact.status != ArtifactStatus.READY
    )
    moved = move(
        session,
        StageStatus.PENDING,
        Stage.job_id == job_id,
        Stage.status == StageStatus.SUCCEEDED,
        gone.exists(),
    )
    return len(moved)


def start(session: Session, job_id: int) -> None:
    """The first of a job's stages was handed out or reused."""
    values = {"status": JobStatus.RUNNING, "started_at": func.coalesce(Job.started_at, func.now())}
    if change_job(session, job_id, JobStatus.QUEUED, **values):
        events.record(session, EventKind.STARTED, job_id=job_id)


def settle(session: Session, job_id: int) -> JobStatus:
    """Draws the conclusions of a change in a locked job: is its blend ready, has the job ended?

    Returns:
        The status that the job has now.
    """
    job = session.execute(select(Job.status, Job.cancel_requested).where(Job.id == job_id)).one()
    if JobStatus(job.status).final:
        return JobStatus(job.status)
    stages = session.execute(
        select(
            Stage.id,
            Stage.kind,
            Stage.status,
            Stage.key,
            Stage.needs,
            Stage.ready_at,
            Stage.error_class,
            Stage.error,
        )
        .where(Stage.job_id == job_id)
        .order_by(Stage.finished_at, Stage.id)
    ).all()
    _mark_blend(session, stages)
    status = verdict(stages, cancel_requested=job.cancel_requested)
    if status is not None:
        _end_job(session, job_id, JobStatus(job.status), status, stages)
    return status or JobStatus(job.status)


def verdict(stages: Iterable[Any], *, cancel_requested: bool) -> JobStatus | None:
    """How a job with these stages has ended, or None while it goes on.

    A job fails when a stage failed for good and none of the others is out or can still be handed
    out: branches that do not depend on the failed stage finish first, and a retry finds them done.

    Args:
        stages: Each with kind, status, key and needs.
        cancel_requested: Whether an operator wants the job to end.
    """
    stages = list(stages)
    if any(stage.status in OUT for stage in stages):
        return None
    if cancel_requested:
        return JobStatus.CANCELLED
    if all(stage.status == StageStatus.SUCCEEDED for stage in stages):
        return JobStatus.SUCCEEDED
    blocked = {
        stage.key for stage in stages if stage.status in (StageStatus.FAILED, StageStatus.CANCELLED)
    }
    if not blocked:
        return None
    targets = [stage for stage in stages if stage.kind == StageKind.TARGET]
    open_targets = any(stage.status == StageStatus.PENDING for stage in targets)
    gate = all(stage.status == StageStatus.SUCCEEDED for stage in targets)
    for kind in (StageKind.RECONSTRUCT, StageKind.ALIGN):
        for stage in stages:
            if stage.kind == kind and stage.status == StageStatus.PENDING:
                if gate and not blocked.intersection(stage.needs):
                    return None
                blocked.add(stage.key)
    return None if open_targets else JobStatus.FAILED


def _mark_blend(session: Session, stages: Sequence[AnyRow]) -> None:
    """Keeps `ready_at` of a pending blend: since when everything it needs has succeeded."""
    blend = next(stage for stage in stages if stage.kind == StageKind.BLEND)
    ready = all(s.status == StageStatus.SUCCEEDED for s in stages if s.id != blend.id)
    if blend.status == StageStatus.PENDING and ready != (blend.ready_at is not None):
        session.execute(
            update(Stage)
            .where(Stage.id == blend.id, Stage.status == StageStatus.PENDING)
            .values(ready_at=func.now() if ready else None)
            .execution_options(synchronize_session=False)
        )


def _end_job(
    session: Session,
    job_id: int,
    before: JobStatus,
    status: JobStatus,
    stages: Sequence[AnyRow],
) -> None:
    values: dict[str, Any] = {"status": status, "finished_at": func.now()}
    data: Mapping[str, Any] = {}
    if status is JobStatus.SUCCEEDED:
        values["result_key"] = next(s.key for s in stages if s.kind == StageKind.BLEND)
    if status is JobStatus.FAILED:
        cause = next(stage for stage in stages if stage.status == StageStatus.FAILED)
        data = {"error_class": cause.error_class, "error": cause.error}
        values |= data
    changed = change_job(session, job_id, before, **values)
    assert changed, "the job's row is locked"
    events.record(session, EventKind(f"job_{status}"), job_id=job_id, data=data)


def offer_blend(
    session: Session, job_id: int, generation: int, *, skip_locked: bool = False
) -> bool:
    """Hands out a job's blend when all its other stages have succeeded; may be called at will.

    Args:
        session: Takes the job's lock.
        job_id: The job.
        generation: The chord that rang; one that the catalogue never built is ignored.
        skip_locked: Leave a job alone that somebody else is changing.

    Returns:
        Whether this call handed it out, or found its artifact ready. It waits for the sweep when
        no live worker holds the job's bundle.
    """
    job = locks.lock_job(session, job_id, skip_locked=skip_locked)
    if job is None or generation > job.generation:
        if not skip_locked:  # the sweep's question names no chord, and may find the job locked
            reason = "no such job" if job is None else f"chord {generation} was never built"
            told = f"fan-in of job {job_id}, chord {generation}"
            refusals.record(session, refusals.Source.BROKER, reason, told)
        return False
    if job.status != JobStatus.RUNNING or job.cancel_requested or job.held_back or job.expired:
        return False
    blend = session.execute(
        select(Stage.id, Stage.job_id, Stage.kind, Stage.key).where(
            Stage.job_id == job_id,
            Stage.kind == StageKind.BLEND,
            Stage.status == StageStatus.PENDING,
            Stage.ready_at.is_not(None),
            func.coalesce(Stage.not_before, func.now()) <= func.now(),
        )
    ).one_or_none()
    if blend is None:
        return False
    if reuse(session, Stage.id == blend.id):
        settle(session, job_id)
        return True
    if not session.scalar(select(workers.holds(job.bundle))):
        return False
    message = dispatch(session, blend, claimable=True)
    if message is not None:
        outbox.add(session, outbox.Topic.STAGE, {**message, "bundle": job.bundle})
    return message is not None

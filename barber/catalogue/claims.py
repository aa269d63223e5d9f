"""How a worker takes a stage: one conditional UPDATE, and what a message in vain leads to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, any_, func, insert, select, update
from sqlalchemy.orm import Session

from barber.catalogue import events, flow, locks, refusals
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, StageStatus
from barber.catalogue.tables import Artifact, Attempt, Job, Stage
from barber.errors import short_key
from barber.plan import PlannedStage, plan
from barber.spec import JobSpec

DECLINE_S = 2.0  # a declined stage waits so long at least
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


def claim(
    session: Session,
    stage_id: int,
    generation: int,
    *,
    worker: str,
    device: str,
    lease_s: float,
    bundle: str | None = None,
) -> Claim | None:
    """Takes a dispatched stage for a worker.

    An expired lease is not taken over here: the dispatcher ends it first, and counts it.

    Args:
        session: Its transaction.
        stage_id: As the message says.
        generation: As the message says.
        worker: Its name.
        device: Where it will run.
        lease_s: How long the claim holds without a heartbeat.
        bundle: Digest of the bundle that the worker holds; None takes a job on any.

    Returns:
        None when there is nothing to do: the message is doubled or late, the job was cancelled, or
        a need is not ready or the worker holds another bundle (then the stage waits in the
        catalogue again, its budgets untouched).
    """
    found = _dispatched(session, stage_id, generation)
    if found is None:
        _tell_impossible(session, stage_id, generation)
        return None
    if bundle is not None and found.bundle != bundle:
        why = f"{worker} holds bundle {short_key(bundle)}, not {short_key(str(found.bundle))}"
        decline(session, stage_id, generation, why=why)
        return None
    spec = JobSpec.from_json(found.spec)
    same = (s for s in plan(spec) if (s.kind, s.slot, s.key) == (found.kind, found.slot, found.key))
    planned = next(same, None)
    if planned is None:
        _refuse(session, stage_id, found)
        return None
    if found.unready:
        _return_unready(session, found.job_id, stage_id, generation)
        return None
    token = _take(session, stage_id, generation, worker=worker, lease_s=lease_s)
    if token is None:
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
        errors=found.errors,
    )


def decline(session: Session, stage_id: int, generation: int, *, why: str) -> bool:
    """A worker cannot serve the stage of a message that it got: the stage waits again.

    Not for long, and no budget is spent; but a while, so that a message which comes to the wrong
    place each time does not turn in a circle.

    Returns:
        Whether the message was the one that counts; if not, nothing changed.
    """
    job_id = session.scalar(select(Stage.job_id).where(Stage.id == stage_id))
    if job_id is None or locks.lock_job(session, job_id) is None:
        return False
    moved = flow.move(
        session,
        StageStatus.PENDING,
        Stage.id == stage_id,
        Stage.generation == generation,
        Stage.status == StageStatus.DISPATCHED,
        not_before=flow.in_seconds(DECLINE_S),
    )
    for row in moved:
        ids = {"job_id": row.job_id, "stage_id": row.id}
        events.record(session, EventKind.DECLINED, **ids, data={"reason": why})
        flow.set_back(session, row.job_id, row.id, row.key)
    return bool(moved)


def _dispatched(session: Session, stage_id: int, generation: int) -> locks.AnyRow | None:
    query = (
        select(
            Stage.job_id,
            Stage.kind,
            Stage.slot,
            Stage.key,
            Stage.errors,
            Job.spec,
            Job.bundle,
            Job.bundle_name,
            _unready_need().label("unready"),
        )
        .join(Job, Job.id == Stage.job_id)
        .where(
            Stage.id == stage_id,
            Stage.generation == generation,
            Stage.status == StageStatus.DISPATCHED,
        )
    )
    return session.execute(query).one_or_none()


def _tell_impossible(session: Session, stage_id: int, generation: int) -> None:
    """Records a message that nobody sent; late and doubled ones are part of the trade."""
    latest = session.scalar(select(Stage.generation).where(Stage.id == stage_id))
    if latest is not None and generation <= latest:
        return
    reason = "no such stage" if latest is None else f"generation {generation} was never sent"
    message = f"stage {stage_id}, generation {generation}"
    refusals.record(session, refusals.Source.BROKER, reason, message)


def _refuse(session: Session, stage_id: int, found: locks.AnyRow) -> None:
    """The code has moved on since the job was planned: its keys no longer say what it makes."""
    error = "this job was planned by another version of the method: submit it again"
    cause = {"error_class": OTHER_METHOD, "error": error}
    locks.lock_jobs(session, [found.job_id])
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
            func.coalesce(Job.deadline > func.now(), True),
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


def _return_unready(session: Session, job_id: int, stage_id: int, generation: int) -> None:
    """A message that came before its needs: the stage waits in the catalogue instead.

    The job first, as everywhere: the next message of the branch is touched too, and whoever ends
    what both need touches them in whatever order.
    """
    locks.lock_jobs(session, [job_id])
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

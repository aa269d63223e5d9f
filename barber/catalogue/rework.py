"""Jobs that shall run again: what failed of them, from a stage on, or with other parameters.

`retry` sets back what failed; the others set stages back that succeeded. What another job still has
is never taken from it: a shared artifact stays, and is used again. A deadline that has passed goes.

Source: queue design, section 3.5 ("and everything after it").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, aliased

from barber.catalogue import audit, events, flow, locks
from barber.catalogue.audit import Verb
from barber.catalogue.operate import check_deadline
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, StageStatus
from barber.catalogue.tables import Artifact, ArtifactFile, Job, Stage
from barber.errors import Conflict, NotFound
from barber.painted import PaintedMask
from barber.plan import PlannedStage, StageKind, plan
from barber.spec import JobSpec, StageParams

ENDED = (StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.CANCELLED)
FRESH: Mapping[str, Any] = {  # what a stage that is set back starts with
    "errors": 0,
    "losses": 0,
    "not_before": None,
    "error_class": None,
    "error": None,
}


def retry(
    session: Session,
    job_id: int,
    *,
    by: str,
    stage_id: int | None = None,
    deadline: datetime | None = None,
    why: str = "",
) -> int:
    """Sets failed and cancelled stages back, with fresh budgets; nothing that succeeded runs again.

    Args:
        session: The session.
        job_id: A job that failed, was cancelled, or runs on with a failed stage.
        by: Who asks.
        stage_id: Of several failed stages, only this one.
        deadline: A new one; without it, one that has passed is taken away.
        why: For people.

    Returns:
        How many stages were set back.

    Raises:
        NotFound: No such job, or it has no such stage.
        InputError: The deadline has passed already.
        Conflict: Nothing of it has failed or was cancelled, or its end is still awaited.
    """
    job = locks.lock_job(session, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    status = JobStatus(job.status)
    if status is not JobStatus.CANCELLED and job.cancel_requested:
        raise Conflict(f"job {job_id} is being cancelled: retry it when that is done")
    check_deadline(session, deadline)
    failed = Stage.status == StageStatus.FAILED
    if stage_id is not None:
        _check_retriable(session, job_id, stage_id)
        failed &= Stage.id == stage_id
    waits_for_nobody = failed | (Stage.status == StageStatus.CANCELLED)
    moved = flow.move(
        session, StageStatus.PENDING, Stage.job_id == job_id, waits_for_nobody, **FRESH
    )
    if not moved and status is not JobStatus.CANCELLED:
        raise Conflict(f"job {job_id} is {status} and has no failed stage: nothing to retry")
    _open_again(session, job_id, status, deadline)
    _tell(session, job_id, by, why, {"stages": [row.id for row in moved]})
    reopened = flow.reopen(session, job_id)
    flow.settle(session, job_id)
    return len(moved) + reopened


def _check_retriable(session: Session, job_id: int, stage_id: int) -> None:
    mine = (Stage.id == stage_id, Stage.job_id == job_id)
    status = session.scalar(select(Stage.status).where(*mine))
    if status is None:
        raise NotFound(f"job {job_id} has no stage {stage_id}: its page lists those it has")
    if status not in (StageStatus.FAILED, StageStatus.CANCELLED):
        raise Conflict(f"stage {stage_id} of job {job_id} is {status}: nothing to retry")


def run_from(session: Session, job_id: int, kind: StageKind, *, by: str, why: str = "") -> int:
    """Sets the stages of a kind, what depends on them, and what failed, back to pending.

    Their artifacts are forgotten, so that they are made anew, except those that another job has.

    Returns:
        How many stages will run again.

    Raises:
        NotFound: No such job, or it has no stage of that kind.
        Conflict: The job has not ended.
    """
    stages = _stages(session, job_id)
    first = {stage.id for stage in stages if stage.kind == kind}
    if stages and not first:
        raise NotFound(f"job {job_id} has no stage of kind {kind}: its page lists those it has")
    return _run_again(session, job_id, first, {"from": kind}, by, why)


def run_from_stage(session: Session, job_id: int, stage_id: int, *, by: str, why: str = "") -> int:
    """Sets one stage, what depends on it, and what failed, back to pending; as `run_from`.

    Returns:
        How many stages will run again.

    Raises:
        NotFound: No such job, or it has no such stage.
        Conflict: The job has not ended.
    """
    stages = _stages(session, job_id)
    if stages and stage_id not in {stage.id for stage in stages}:
        raise NotFound(f"job {job_id} has no stage {stage_id}: its page lists those it has")
    return _run_again(session, job_id, {stage_id}, {"from_stage": stage_id}, by, why)


def _run_again(
    session: Session, job_id: int, first: set[int], told: Mapping[str, Any], by: str, why: str
) -> int:
    status = _ended(session, job_id)
    stages = _stages(session, job_id)
    chosen = _dependents(stages, first)
    _open_again(session, job_id, status)
    _forget(session, job_id, [stage.key for stage in chosen])
    again = {stage.id for stage in chosen}
    again |= {s.id for s in stages if s.status in (StageStatus.FAILED, StageStatus.CANCELLED)}
    moved = flow.move(
        session, StageStatus.PENDING, Stage.id.in_(again), Stage.status.in_(ENDED), **FRESH
    )
    flow.reopen(session, job_id)
    _tell(session, job_id, by, why, {**told, "stages": [row.id for row in moved]})
    flow.settle(session, job_id)
    return len(moved)


def change_params(
    session: Session, job_id: int, changes: Mapping[str, Any], *, by: str, why: str = ""
) -> int:
    """Gives a job other parameters; the stages whose outcome they change run again.

    Args:
        session: The session.
        job_id: A job that has ended.
        changes: Params as in `StageParams.from_json`; what is absent stays.
        by: Who asks.
        why: For people.

    Returns:
        How many stages will run again.

    Raises:
        NotFound: No such job.
        InputError: An unknown parameter, or a value out of its range.
        Conflict: The job has not ended, or nothing would change.
    """
    status = _ended(session, job_id)
    before = spec_of(session, job_id)
    spec = replace(before, params=StageParams.from_json(changes, base=before.params))
    told = {"params": dict(changes), "before": before.params.to_json()}
    count = _change_spec(session, job_id, status, spec)
    if not count:
        raise Conflict(f"job {job_id} has these parameters already: name one that differs")
    _tell(session, job_id, by, why, told)
    flow.settle(session, job_id)
    return count


def change_mask(
    session: Session, job_id: int, painted: PaintedMask | None, *, by: str, why: str = ""
) -> int:
    """Gives a job a painted target mask, or its own one back; it runs again from there.

    What was reconstructed is used again.

    Returns:
        How many stages will run again.

    Raises:
        NotFound: No such job.
        Conflict: The job has not ended, or has this mask already.
    """
    status = _ended(session, job_id)
    spec = replace(spec_of(session, job_id), painted=painted)
    count = _change_spec(session, job_id, status, spec)
    if not count:
        raise Conflict(f"job {job_id} was made with this mask already: paint something first")
    digest = None if painted is None else painted.digest
    _tell(session, job_id, by, why, {"mask": digest or "composed"})
    flow.settle(session, job_id)
    return count


def spec_of(session: Session, job_id: int) -> JobSpec:
    """What a job asks for; the job must exist."""
    return JobSpec.from_json(session.scalars(select(Job.spec).where(Job.id == job_id)).one())


def _change_spec(session: Session, job_id: int, status: JobStatus, spec: JobSpec) -> int:
    """Sets back what another spec changes of an ended job, and what failed; 0: nothing would."""
    planned = {(stage.kind, stage.slot): stage for stage in plan(spec)}
    stages = _stages(session, job_id)
    changed = [stage for stage in stages if planned[stage.kind, stage.slot].key != stage.key]
    if not changed:
        return 0
    _open_again(session, job_id, status)
    _replan(session, changed, planned)
    waiting = (StageStatus.FAILED, StageStatus.CANCELLED)
    rest = [s.id for s in stages if s.status in waiting]
    flow.move(session, StageStatus.PENDING, Stage.id.in_(rest), Stage.status.in_(waiting), **FRESH)
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(spec=spec.to_json())
        .execution_options(synchronize_session=False)
    )
    flow.reopen(session, job_id)
    return len({stage.id for stage in changed} | set(rest))


def _tell(session: Session, job_id: int, by: str, why: str, told: Mapping[str, Any]) -> None:
    """Writes a retry into the job's story and into the audit log."""
    data = {"by": by, "why": why, **told}
    events.record(session, EventKind.RETRIED, job_id=job_id, data=data)
    audit.record(session, Verb.RETRY, by, why=why, job_id=job_id, data=told)


def _ended(session: Session, job_id: int) -> JobStatus:
    job = locks.lock_job(session, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    if not JobStatus(job.status).final:
        raise Conflict(f"job {job_id} is {job.status}: cancel it, or wait until it has ended")
    return JobStatus(job.status)


def _stages(session: Session, job_id: int) -> Sequence[locks.AnyRow]:
    query = select(Stage.id, Stage.kind, Stage.slot, Stage.key, Stage.needs, Stage.status)
    return session.execute(query.where(Stage.job_id == job_id).order_by(Stage.id)).all()


def _dependents(stages: Iterable[Any], first: set[int]) -> list[Any]:
    """Some stages and all that read, directly or not, what they make.

    Args:
        stages: Each with id, key and needs.
        first: Ids of where to begin.
    """
    stages = list(stages)
    chosen = [stage for stage in stages if stage.id in first]
    keys = {stage.key for stage in chosen}
    grown = True
    while grown:
        after = [s for s in stages if s not in chosen and keys.intersection(s.needs)]
        grown = bool(after)
        chosen += after
        keys |= {stage.key for stage in after}
    return chosen


def _forget(session: Session, job_id: int, keys: Sequence[str]) -> None:
    """Makes ready artifacts missing, except those that a stage of another job has, or is about to
    have: whoever comes to need one at this moment holds its row.
    """
    mine = select(Artifact.key).where(
        Artifact.key.in_(keys), Artifact.status == ArtifactStatus.READY
    )
    locked = list(session.scalars(mine.with_for_update(skip_locked=True)))
    other = aliased(Stage)
    shared = select(other.id).where(
        other.key == Artifact.key, other.job_id != job_id, other.status == StageStatus.SUCCEEDED
    )
    statement = (
        update(Artifact)
        .where(
            Artifact.key.in_(locked),
            # Asked after the locking: whoever held one has committed by now.
            ~shared.exists(),
        )
        .values(status=ArtifactStatus.MISSING, ready_at=None, recipe=None)
        .returning(Artifact.key)
        .execution_options(synchronize_session=False)
    )
    forgotten = list(session.scalars(statement))
    session.execute(delete(ArtifactFile).where(ArtifactFile.artifact_key.in_(forgotten)))


def _replan(
    session: Session,
    changed: Sequence[Any],
    planned: Mapping[tuple[StageKind, int], PlannedStage],
) -> None:
    """Gives stages their new artifacts, made by nobody yet unless another job has them."""
    wanted = {planned[s.kind, s.slot].key: s.kind for s in changed}
    artifacts = [{"key": key, "kind": kind} for key, kind in sorted(wanted.items())]
    session.execute(upsert(Artifact).on_conflict_do_nothing(), artifacts)
    for stage in changed:
        new = planned[stage.kind, stage.slot]
        values = {**FRESH, "key": new.key, "needs": list(new.needs)}
        if stage.status in ENDED:
            flow.move(session, StageStatus.PENDING, Stage.id == stage.id, **values)
        else:
            session.execute(
                update(Stage)
                .where(Stage.id == stage.id)
                .values(**values)
                .execution_options(synchronize_session=False)
            )


def _open_again(
    session: Session, job_id: int, status: JobStatus, deadline: datetime | None = None
) -> None:
    """The job runs, and lets go of its result: an artifact that is a result cannot be forgotten."""
    still_to_come = case((Job.deadline > func.now(), Job.deadline))
    values = {
        "status": JobStatus.RUNNING,
        "started_at": func.coalesce(Job.started_at, func.now()),
        "finished_at": None,
        "result_key": None,
        "cancel_requested": False,
        "error_class": None,
        "error": None,
        "deadline": still_to_come if deadline is None else deadline,
    }
    flow.change_job(session, job_id, status, **values)

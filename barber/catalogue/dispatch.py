"""The dispatcher's tick over the catalogue: end lost leases, resend, sweep, fill the window.

Each function is one part of a tick and may run at any time, any number of times. What is to be
published goes to the outbox; the backlog stays here, where priority, pause and fairness are one
query. A tick never waits for a job that somebody else is changing: the next tick finds it.

Source: queue design, sections 3.3 and 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, or_, select, update
from sqlalchemy.orm import Session

from barber.catalogue import events, flow, locks, outbox, turns, workers
from barber.catalogue.flow import offer_blend
from barber.catalogue.locks import AnyRow
from barber.catalogue.status import (
    ArtifactStatus,
    EventKind,
    JobStatus,
    Outcome,
    StageStatus,
)
from barber.catalogue.tables import Artifact, Attempt, Control, Event, Job, Stage
from barber.plan import StageKind
from barber.settings import Settings

__all__ = ["fill", "lead", "offer_blend", "reap", "resend", "sweep"]

LEADER_LOCK = 7_201_956  # any number, the same for all dispatchers
LOST = "WorkerLost"  # error class of a stage whose lease ran out
RECENT_ATTEMPTS = 50  # from which the wait in the queue is estimated
SPARE_CANDIDATES = 16  # jobs looked at beside those that would fill the window
MOST_DOUBLINGS = 3  # of the wait for a message that nobody claims
SAFE_WAITS = 3  # a message is lost when it waits so many times longer than expected


def lead(session: Session) -> bool:
    """Whether this transaction's dispatcher is the one that may tick; held until it ends."""
    # One leader per catalogue, of which a database may hold several, each in a schema.
    key = func.hashtextextended(func.current_schema(), LEADER_LOCK)
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(key))))


def reap(session: Session, settings: Settings) -> int:
    """Ends the leases that ran out: the stage waits for its repeat, or failed for good."""
    query = select(Stage.id, Stage.job_id, Stage.token).where(_expired())
    rows = session.execute(query.order_by(Stage.job_id, Stage.id)).all()
    return sum(
        locks.guarded(session, row.job_id, partial(_lose, session, row, settings)) for row in rows
    )


def _expired() -> ColumnElement[bool]:
    return (Stage.status == StageStatus.RUNNING) & (Stage.lease_until < func.now())


def _lose(session: Session, row: AnyRow, settings: Settings) -> int:
    job = locks.lock_job(session, row.job_id, skip_locked=True)
    mine = (Stage.id == row.id, Stage.token == row.token, _expired())
    stage = session.execute(
        select(Stage.key, Stage.losses, Stage.max_losses, Stage.worker, Stage.lease_until)
        .where(*mine)
        .with_for_update(skip_locked=True)  # locked: its worker finishes it at this moment
    ).one_or_none()
    if job is None or stage is None:
        return 0
    losses = stage.losses + 1
    status = StageStatus.FAILED if losses >= stage.max_losses else StageStatus.PENDING
    error = f"worker {stage.worker} stopped without a word; that was time {losses} for this stage"
    cause = {"error_class": LOST, "error": error}
    if job.cancel_requested:
        status = StageStatus.CANCELLED
    elif job.expired:
        status, cause = StageStatus.FAILED, flow.too_late(job)
    due = flow.backoff(settings.backoff_s, losses) if status is StageStatus.PENDING else None
    flow.move(session, status, *mine, losses=losses, not_before=due, **cause)
    flow.end_attempt(session, row.id, row.token, Outcome.LOST, **cause)
    kind = EventKind.FAILED if status is StageStatus.FAILED else EventKind.LOST
    lease = {"token": row.token, "lease_until": stage.lease_until.isoformat()}
    events.record(session, kind, job_id=row.job_id, stage_id=row.id, data=cause | lease)
    flow.set_back(session, row.job_id, row.id, stage.key)
    return 1


def resend(session: Session, settings: Settings) -> int:
    """Takes back stages whose message seems lost: nobody claimed them for far too long.

    Each time in a row the wait doubles. Else a queue that is slower than we think would fill with
    messages of old generations, faster than the workers can drop them.
    """
    grace = _grace_s(session, settings) * timedelta(seconds=1)
    wait = grace * func.power(2, func.least(_sent_in_vain(), MOST_DOUBLINGS))
    lost = (
        Stage.status == StageStatus.DISPATCHED,
        Stage.ready_at < func.now() - grace,  # before the stage's events are read
        Stage.ready_at < func.now() - wait,
    )
    rows = session.execute(select(Stage.id, Stage.job_id, Stage.key).where(*lost)).all()
    return sum(
        locks.guarded(session, row.job_id, partial(_take_back, session, row, lost)) for row in rows
    )


def _sent_in_vain() -> ScalarSelect[int]:
    """How often in a row a stage's message was taken back: since a claim, or its job's retry."""
    of_job = (Event.job_id == Stage.job_id, Event.job_id.is_not(None))
    of_stage = Event.stage_id == Stage.id
    heard = (of_stage & (Event.kind == EventKind.CLAIMED)) | (Event.kind == EventKind.RETRIED)
    since = select(func.coalesce(func.max(Event.id), 0)).where(*of_job, heard).correlate(Stage)
    sent = (of_stage, Event.kind == EventKind.RESENT, Event.id > since.scalar_subquery())
    return select(func.count()).where(*of_job, *sent).correlate(Stage).scalar_subquery()


def _take_back(session: Session, row: AnyRow, lost: Iterable[Any]) -> int:
    if locks.lock_job(session, row.job_id, skip_locked=True) is None:
        return 0
    if not flow.move(session, StageStatus.PENDING, Stage.id == row.id, *lost):
        return 0
    events.record(session, EventKind.RESENT, job_id=row.job_id, stage_id=row.id)
    flow.set_back(session, row.job_id, row.id, row.key)
    return 1


def _grace_s(session: Session, settings: Settings) -> float:
    """How long a message may wait: longer than asked for when the queue is long and slow.

    While nothing runs and nothing was claimed for as long, no queue is the reason: the broker has
    lost its messages.
    """
    recent = (
        select(func.coalesce(Attempt.ended_at, func.now()) - Attempt.started_at)
        .order_by(Attempt.id.desc())
        .limit(RECENT_ATTEMPTS)
        .subquery()
    )
    mean_s = session.scalar(select(func.extract("epoch", func.avg(recent.c[0])))) or 0
    counts = dict(
        session.execute(
            select(Stage.status, func.count())
            .where(Stage.status.in_(flow.OUT))
            .group_by(Stage.status)
        ).all()
    )
    running = counts.get(StageStatus.RUNNING, 0)
    if not running and not _claimed_within(session, settings.grace_s):
        return settings.grace_s
    expected_s = float(mean_s) * counts.get(StageStatus.DISPATCHED, 0) / max(1, running)
    return max(settings.grace_s, SAFE_WAITS * expected_s)


def _claimed_within(session: Session, seconds: float) -> bool:
    latest = select(Attempt.started_at).order_by(Attempt.id.desc()).limit(1).scalar_subquery()
    return bool(session.scalar(select(latest > flow.in_seconds(-seconds))))


def sweep(session: Session, settings: Settings) -> int:
    """Offers the blends that no chord has offered, and those that must be repeated."""
    query = (
        select(Stage.job_id, Job.generation)
        .join(Job, Job.id == Stage.job_id)
        .join(Artifact, Artifact.key == Stage.key)
        .where(
            Stage.kind == StageKind.BLEND,
            Stage.status == StageStatus.PENDING,
            Stage.ready_at < flow.in_seconds(-settings.sweep_s),
            func.coalesce(Stage.not_before, func.now()) <= func.now(),
            Job.status == JobStatus.RUNNING,
            Artifact.status != ArtifactStatus.BUILDING,
            or_(Artifact.status == ArtifactStatus.READY, workers.holds(Job.bundle)),
        )
        .order_by(Stage.job_id)
    )
    return sum(
        locks.guarded(
            session,
            row.job_id,
            partial(_offer, session, row.job_id, row.generation),
        )
        for row in session.execute(query).all()
    )


def _offer(session: Session, job_id: int, generation: int) -> int:
    return int(offer_blend(session, job_id, generation, skip_locked=True))


def fill(session: Session, settings: Settings) -> int:
    """Hands out stages until the windows are full; returns how many. A job goes out as a whole.

    Each bundle has a window of its own, and none while no live worker holds it. It widens with
    the workers: one that is too narrow leaves some of them without work.
    """
    if session.scalar(select(Control.name).where(Control.name == locks.PAUSE)):
        return 0
    out = _out(session)
    return sum(
        _fill(session, bundle, _window(settings, count) - out.get(bundle, 0))
        for bundle, count in workers.held_bundles(session).items()
    )


def _window(settings: Settings, workers: int) -> int:
    """How many stages of a bundle may be out while so many live workers hold it."""
    return max(settings.window, settings.window_per_worker * workers)


def _out(session: Session) -> dict[str, int]:
    """How many stages are out, by the bundle of their jobs."""
    query = (
        select(Job.bundle, func.count())
        .join(Stage, Stage.job_id == Job.id)
        .where(Stage.status.in_(flow.OUT))
        .group_by(Job.bundle)
    )
    return {bundle: count for bundle, count in session.execute(query) if bundle}


def open_chords(session: Session) -> int:
    """How many jobs have branches out, for whose end a chord's poller looks."""
    branches = (StageKind.RECONSTRUCT, StageKind.ALIGN)
    query = select(func.count(Stage.job_id.distinct())).where(
        Stage.status.in_(flow.OUT), Stage.kind.in_(branches)
    )
    return session.scalars(query).one()


def _fill(session: Session, bundle: str, free: int) -> int:
    """Hands out up to `free` stages of jobs on a bundle, and the rest of the last one's job."""
    if free <= 0:
        return 0
    sent = 0
    # Each job gives a stage at least, but for those that somebody holds at this moment.
    for job_id in turns.jobs_in_turn(session, bundle, free + SPARE_CANDIDATES):
        if sent >= free:
            break
        sent += locks.guarded(session, job_id, partial(_hand_out, session, job_id))
    return sent


def _hand_out(session: Session, job_id: int) -> int:
    """Reuses what is there, then hands out the job's targets, or the chord of what is missing."""
    job = locks.lock_job(session, job_id, skip_locked=True)
    if job is None or JobStatus(job.status).final:
        return 0
    if job.cancel_requested or job.held_back or job.expired:
        return 0
    reused = flow.reuse(session, Stage.job_id == job_id, Stage.kind != StageKind.BLEND)
    stages = _stages(session, job_id)
    sent = _send_targets(session, stages, job.bundle)
    if all(s.status == StageStatus.SUCCEEDED for s in stages if s.kind == StageKind.TARGET):
        sent += _send_chord(session, job, branches(stages))
    if reused or sent:
        flow.start(session, job_id)
        flow.settle(session, job_id)
    if reused and not sent:
        sent += offer_blend(session, job_id, job.generation)
    return sent


def _stages(session: Session, job_id: int) -> Sequence[AnyRow]:
    due = (func.coalesce(Stage.not_before, func.now()) <= func.now()).label("due")
    query = (
        select(
            Stage.id,
            Stage.job_id,
            Stage.kind,
            Stage.slot,
            Stage.key,
            Stage.portrait,
            Stage.status,
            due,
            Artifact.status.label("artifact"),
        )
        .join(Artifact, Artifact.key == Stage.key)
        .where(Stage.job_id == job_id)
        .order_by(Stage.id)
    )
    return session.execute(query).all()


def _free(stage: Any) -> bool:
    """Whether a stage could be handed out as far as it alone is concerned."""
    missing = stage.artifact == ArtifactStatus.MISSING
    return bool(stage.status == StageStatus.PENDING and stage.due and missing)


def branches(stages: Iterable[Any]) -> list[list[Any]]:
    """The missing work of a job whose targets are done: per portrait reconstruct, then its aligns.

    A branch whose reconstruction another job builds, or which waits for its repeat, is left out:
    it costs no place in the window, and a later tick hands it out.

    Args:
        stages: Each with kind, slot, portrait, status, due and artifact (its artifact's status).
    """
    found: list[list[Any]] = []
    stages = list(stages)
    for first in (s for s in stages if s.kind == StageKind.RECONSTRUCT):
        branch = [first] if _free(first) else []
        if branch or first.status == StageStatus.SUCCEEDED:
            branch += [
                s
                for s in stages
                if s.kind == StageKind.ALIGN and s.portrait == first.portrait and _free(s)
            ]
        if branch:
            found.append(branch)
    return found


def _send_targets(session: Session, stages: Iterable[AnyRow], bundle: str) -> int:
    targets = [s for s in stages if s.kind == StageKind.TARGET and _free(s)]
    messages = [flow.dispatch(session, stage, claimable=True) for stage in targets]
    for message in filter(None, messages):
        outbox.add(session, outbox.Topic.STAGE, {**message, "bundle": bundle})
    return len([message for message in messages if message])


def _send_chord(session: Session, job: AnyRow, branches: list[list[AnyRow]]) -> int:
    messages = [_dispatch_branch(session, branch) for branch in branches]
    messages = [branch for branch in messages if branch]
    if not messages:
        return 0
    generation = session.scalar(
        update(Job)
        .where(Job.id == job.id)
        .values(generation=Job.generation + 1)
        .returning(Job.generation)
        .execution_options(synchronize_session=False)
    )
    payload = {"job_id": job.id, "generation": generation, "branches": messages}
    outbox.add(session, outbox.Topic.CHORD, {**payload, "bundle": job.bundle})
    return sum(map(len, messages))


def _dispatch_branch(session: Session, branch: list[AnyRow]) -> list[dict[str, Any]]:
    """Hands a branch out up to where another job's artifact would have to be waited for."""
    messages: list[dict[str, Any]] = []
    for stage in branch:
        message = flow.dispatch(session, stage, claimable=not messages)
        if message is not None:
            messages.append(message)
        elif stage.kind == StageKind.RECONSTRUCT:
            break  # another job builds it since we looked
    return messages

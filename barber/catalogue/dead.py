"""What will not move by itself any more, why, and the command that moves it.

Reads only. A stage that waits for its repeat, its turn or its needs is not dead and not told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session, aliased

from barber.catalogue import outbox, refusals, room, workers
from barber.catalogue.causes import FIRST_FAILED, WORDS, Cause
from barber.catalogue.locks import PAUSE
from barber.catalogue.operate import OPEN
from barber.catalogue.outbox import Backlog
from barber.catalogue.owners import owned
from barber.catalogue.refusals import Refusal
from barber.catalogue.status import EventKind
from barber.catalogue.tables import Batch, Control, Event, Job
from barber.catalogue.workers import Unserved

MOST_GROUPS: Final = 100
EXAMPLES: Final = 5

# What a person does first; then the command repeats what failed.
FIRST: Final[Mapping[str, str]] = {
    "input": "correct the picture or start a worker with the job's bundle",
    "stage": "look at the job's pictures; other parameters may help (--params)",
    "bundle": "verify the bundle",
    "oom": "start workers with more memory",
    "io": "see to the disk",
    "WorkerLost": "see why workers die (their logs, the machine's memory)",
    "deadline": "give another deadline with --deadline, or none",
}
AGAIN: Final = {"MethodChanged": "barber submit TABLE --again"}  # classes that no retry can mend


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """Jobs that failed for good of one cause."""

    stage: str | None  # kind of the stage that failed first
    error_class: str
    cause: str  # the error without what differs from job to job
    example: str  # the latest error in full
    jobs: int
    latest_jobs: tuple[int, ...]  # up to five ids, newest first
    latest_at: datetime
    first: str  # what to see to before; may be empty
    command: str  # what moves them again
    retriable: bool  # whether a retry may mend it

    @property
    def common(self) -> Cause:
        """What its failures have in common; it finds the jobs again."""
        return Cause(stage=self.stage, error_class=self.error_class, words=self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Open jobs that somebody has paused."""

    what: str  # "everything", "batch 3", "job 7"
    jobs: int
    command: str
    batch_id: int | None = None
    job_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """All that waits for a person."""

    groups: tuple[DeadGroup, ...]
    held: tuple[Held, ...]
    unserved: tuple[Unserved, ...]  # open jobs whose bundle no live worker holds
    full_disk: str | None  # in a sentence; everything waits for room
    refused: tuple[Refusal, ...]  # messages, the latest first; harmless, but somebody sent them
    outbox: Backlog  # leaves by itself once the broker answers
    quarantined: int  # damaged artifacts of the last day; they are built again by themselves


def dead(session: Session, *, owner: int | None = None) -> Dead:
    """Everything that will not move by itself; for `owner` only what is theirs."""
    return Dead(
        groups=groups(session, owner=owner),
        held=_held(session, owner),
        unserved=tuple(workers.unserved(session, owner=owner)),
        full_disk=room.full_disk(session),
        refused=tuple(refusals.latest(session)) if owner is None else (),
        outbox=outbox.backlog(session) if owner is None else Backlog(count=0, oldest_s=0.0),
        quarantined=_quarantined(session) if owner is None else 0,
    )


def groups(
    session: Session, *, owner: int | None = None, most: int = MOST_GROUPS
) -> tuple[DeadGroup, ...]:
    """The jobs that failed for good by cause, the largest groups first."""
    counted = (
        # As the index has it, which alone is read: only failed jobs have a cause.
        select(Job.cause, func.count().label("jobs"), func.max(Job.id).label("newest"))
        .where(Job.cause.is_not(None), *_whose(owner))
        .group_by(Job.cause)
        .order_by(func.count().desc(), func.max(Job.id).desc())
        .limit(most)
        .subquery()
    )
    other = aliased(Job)
    latest = (
        select(other.id)
        .where(other.cause == counted.c.cause, *_whose(owner, other))
        .order_by(other.id.desc())
        .limit(EXAMPLES)
        .correlate(counted)
    )
    query = (
        select(
            counted.c.jobs,
            func.array(latest.scalar_subquery()).label("latest_jobs"),
            Job.error_class,
            Job.error.label("example"),
            Job.finished_at.label("latest_at"),
            FIRST_FAILED.label("kind"),
            WORDS.label("cause"),
        )
        .join(Job, Job.id == counted.c.newest)
        .order_by(counted.c.jobs.desc(), counted.c.newest.desc())
    )
    return tuple(
        DeadGroup(
            stage=row.kind,
            error_class=row.error_class,
            cause=row.cause,
            example=row.example,
            jobs=row.jobs,
            latest_jobs=tuple(row.latest_jobs),
            latest_at=row.latest_at,
            first=FIRST.get(row.error_class, ""),
            command=AGAIN.get(row.error_class) or _retry(row.kind, row.error_class, row.cause),
            retriable=row.error_class not in AGAIN,
        )
        for row in session.execute(query)
    )


def _whose(owner: int | None, job: Any = Job) -> list[ColumnElement[bool]]:
    return [] if owner is None else [owned(owner, job)]


def _retry(stage: str | None, error_class: str, words: str) -> str:
    cause = Cause(stage=stage, error_class=error_class, words=words)
    return f"barber retry --cause {cause.key}"


def _held(session: Session, owner: int | None) -> tuple[Held, ...]:
    found = []
    waits = (Job.status.in_(OPEN), *_whose(owner))
    if session.scalar(select(Control.name).where(Control.name == PAUSE)):
        jobs = session.scalar(select(func.count()).where(*waits)) or 0
        found.append(Held(what="everything", jobs=jobs, command="barber resume --all"))
    batches = (
        select(Batch.id, func.count(Job.id))
        .join(Job, Job.batch_id == Batch.id)
        .where(Batch.paused, *waits)
        .group_by(Batch.id)
        .order_by(Batch.id)
    )
    for number, jobs in session.execute(batches):
        command = f"barber resume --batch {number}"
        found.append(Held(what=f"batch {number}", jobs=jobs, command=command, batch_id=number))
    for number in session.scalars(
        select(Job.id).where(Job.paused, *waits).order_by(Job.id).limit(MOST_GROUPS)
    ):
        command = f"barber resume {number}"
        found.append(Held(what=f"job {number}", jobs=1, command=command, job_id=number))
    return tuple(found)


def _quarantined(session: Session) -> int:
    key = Event.data["key"].astext
    lately = Event.at > func.now() - text("interval '1 day'")
    query = select(func.count(func.distinct(key))).where(
        lately, Event.kind == EventKind.QUARANTINED
    )
    return session.scalar(query) or 0

"""What will not move by itself any more, why, and the command that moves it.

Reads only. A stage that waits for its repeat, its turn or its needs is not dead and not told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from barber.catalogue import outbox, refusals
from barber.catalogue.locks import PAUSE
from barber.catalogue.operate import OPEN
from barber.catalogue.outbox import Backlog
from barber.catalogue.refusals import Refusal
from barber.catalogue.status import EventKind
from barber.catalogue.tables import Batch, Control, Event, Job

MOST_GROUPS: Final = 100

# Numbers, digests and names in quotes differ between jobs that failed of one cause.
GROUPS = text(r"""
SELECT stage.kind, job.error_class,
       regexp_replace(
           job.error, '[0-9a-f]{12,}|[0-9]+([.:][0-9]+)*|''[^'']*''', '..', 'g') AS cause,
       count(*) AS jobs, (array_agg(job.id ORDER BY job.id DESC))[1:5] AS latest_jobs,
       max(job.finished_at) AS latest_at, min(job.error) AS example
  FROM job
  LEFT JOIN LATERAL (
      SELECT kind FROM stage WHERE stage.job_id = job.id AND stage.status = 'failed'
       ORDER BY finished_at, id LIMIT 1) AS stage ON true
 WHERE job.status = 'failed'
 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 6 DESC LIMIT :most
""")

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
    example: str  # one error in full
    jobs: int
    latest_jobs: tuple[int, ...]  # up to five ids, newest first
    latest_at: datetime
    first: str  # what to see to before; may be empty
    command: str  # what moves them again


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Open jobs that somebody has paused."""

    what: str  # "everything", "batch 3", "job 7"
    jobs: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """All that waits for a person."""

    groups: tuple[DeadGroup, ...]
    held: tuple[Held, ...]
    refused: tuple[Refusal, ...]  # messages, the latest first; harmless, but somebody sent them
    outbox: Backlog  # leaves by itself once the broker answers
    quarantined: int  # damaged artifacts of the last day; they are built again by themselves


def dead(session: Session) -> Dead:
    """Everything that will not move by itself."""
    return Dead(
        groups=_groups(session),
        held=_held(session),
        refused=tuple(refusals.latest(session)),
        outbox=outbox.backlog(session),
        quarantined=_quarantined(session),
    )


def _groups(session: Session) -> tuple[DeadGroup, ...]:
    rows = session.execute(GROUPS, {"most": MOST_GROUPS})
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
            command=AGAIN.get(row.error_class) or _retry(row.error_class, row.kind),
        )
        for row in rows
    )


def _retry(error_class: str, kind: str | None) -> str:
    return f"barber retry --error {error_class}" + (f" --failed-in {kind}" if kind else "")


def _held(session: Session) -> tuple[Held, ...]:
    found = []
    if session.scalar(select(Control.name).where(Control.name == PAUSE)):
        jobs = session.scalar(select(func.count()).where(Job.status.in_(OPEN))) or 0
        found.append(Held(what="everything", jobs=jobs, command="barber resume --all"))
    batches = (
        select(Batch.id, func.count(Job.id))
        .join(Job, Job.batch_id == Batch.id)
        .where(Batch.paused, Job.status.in_(OPEN))
        .group_by(Batch.id)
        .order_by(Batch.id)
    )
    for number, jobs in session.execute(batches):
        command = f"barber resume --batch {number}"
        found.append(Held(what=f"batch {number}", jobs=jobs, command=command))
    for number in session.scalars(
        select(Job.id).where(Job.paused, Job.status.in_(OPEN)).order_by(Job.id).limit(MOST_GROUPS)
    ):
        found.append(Held(what=f"job {number}", jobs=1, command=f"barber resume {number}"))
    return tuple(found)


def _quarantined(session: Session) -> int:
    key = Event.data["key"].astext
    lately = Event.at > func.now() - text("interval '1 day'")
    query = select(func.count(func.distinct(key))).where(
        lately, Event.kind == EventKind.QUARANTINED
    )
    return session.scalar(query) or 0

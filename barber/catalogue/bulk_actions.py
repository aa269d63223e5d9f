"""Bulk actions: one wish about many jobs, worked off in the background, a transaction a job.

Which jobs it is about is written down with the wish, so it is about those that were counted. Each
job's change, its verdict and the sums are one transaction: whoever is killed in between has done
nothing, and another goes on. The dispatchers work them off, the oldest first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, func, insert, literal, select, update
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from barber.catalogue import audit, operate, selection
from barber.catalogue.audit import Actor, Verb
from barber.catalogue.bulk_tables import OPEN, Bulk, BulkJob, BulkStatus, BulkVerb
from barber.catalogue.db import transaction
from barber.catalogue.deeds import ENDED, FAILED, WAITS, Deed, DeedVerb
from barber.catalogue.people_tables import Via
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import Job
from barber.errors import CatalogueError, Conflict, InputError, NotFound

logger = logging.getLogger(__name__)

LONGEST_WHY: Final = 500
MOST_JOBS: Final = 1_000_000
# On which jobs each verb does something; the others are told of, with why.
TAKES: Final[Mapping[BulkVerb, tuple[JobStatus, ...]]] = {
    BulkVerb.RETRY: FAILED,
    BulkVerb.CANCEL: WAITS,
    BulkVerb.PRIORITY: WAITS,
    BulkVerb.DELETE: ENDED,
}
LEFT: Final[Mapping[BulkVerb, str]] = {
    BulkVerb.RETRY: "nothing of them has failed",
    BulkVerb.CANCEL: "they have ended already",
    BulkVerb.PRIORITY: "they have ended already",
    BulkVerb.DELETE: "they have not ended: cancel them first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What shall be done to the jobs of a selection."""

    verb: BulkVerb
    chosen: Selection
    why: str
    priority: int | None = None  # for BulkVerb.PRIORITY alone
    everything: bool = False  # needed when the selection has no condition

    def check(self) -> None:
        """Raises InputError when it is no wish."""
        if not 0 < len(self.why.strip()) <= LONGEST_WHY or "\0" in self.why:
            raise InputError(f"say why, in 1 to {LONGEST_WHY} characters: it is kept with each job")
        if (self.verb is BulkVerb.PRIORITY) != (self.priority is not None):
            raise InputError("a priority goes with the action priority, and with no other")
        if self.priority is not None and self.priority not in operate.PRIORITIES:
            raise InputError(
                f"priority {self.priority} is out of range: give one from -1000 to 1000"
            )
        if self.chosen.is_everything and not self.everything:
            raise InputError("the filter has no condition: give one, or ask for everything")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a wish would come to, as far as the jobs' status tells."""

    total: int
    touched: int
    left: Mapping[JobStatus, int]  # not touched, by status
    why_left: str  # in words; empty when all are touched


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRow:
    """A bulk action and how far it is."""

    id: int
    verb: BulkVerb
    argument: Mapping[str, Any]
    filter: Mapping[str, Any]
    why: str
    who: str
    status: BulkStatus
    total: int
    done: int
    skipped: int
    stopped_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def progress(self) -> float:
        return (self.done + self.skipped) / self.total if self.total else 1.0

    @property
    def left(self) -> int:
        return self.total - self.done - self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJobRow:
    """What became of one job."""

    job_id: int
    done: bool | None  # None: it has not come to it yet
    outcome: str | None
    name: str | None  # None: the job is gone
    status: JobStatus | None


def forecast(session: Session, verb: BulkVerb, chosen: Selection) -> Forecast:
    """Counts what a wish would touch, and what it would leave."""
    counted = selection.count(session, chosen)
    left = {status: many for status, many in counted.items() if status not in TAKES[verb]}
    total = sum(counted.values())
    return Forecast(
        total=total,
        touched=total - sum(left.values()),
        left=left,
        why_left=LEFT[verb] if left else "",
    )


def create(session: Session, wish: Wish, *, by: str, expected: int | None = None) -> int:
    """Writes a wish down with the jobs that it is about; returns its number.

    Args:
        session: The session.
        wish: What, with which jobs, why.
        by: Who; the changes are made in their name.
        expected: How many jobs were shown to them.

    Raises:
        InputError: It is no wish, or about too many jobs.
        Conflict: It is about no jobs, or not as many as were shown.
    """
    wish.check()
    actor = by if isinstance(by, Actor) else Actor(by, via=Via.SYSTEM)
    argument = {} if wish.priority is None else {"priority": wish.priority}
    values = {
        "verb": wish.verb,
        "argument": argument,
        "filter": wish.chosen.to_json(),
        "why": wish.why.strip(),
        "who": str(actor),
        "person_id": actor.person_id,
        "token_id": actor.token_id,
        "via": actor.via,
        "address": actor.address,
    }
    bulk_id = session.scalars(insert(Bulk).values(**values).returning(Bulk.id)).one()
    where = selection.look_up(session, wish.chosen).where()
    jobs = select(literal(bulk_id), Job.id).where(*where).limit(MOST_JOBS + 1)
    taken = session.execute(insert(BulkJob).from_select(["bulk_id", "job_id"], jobs))
    total: int = taken.rowcount  # type: ignore[attr-defined]
    _check_total(total, expected)
    _set(session, bulk_id, total=total)
    told = {"bulk_id": bulk_id, "verb": wish.verb, "jobs": total, **argument}
    told["filter"] = wish.chosen.to_json()
    audit.record(session, Verb.BULK, by, why=wish.why, subject=f"bulk {bulk_id}", data=told)
    return bulk_id


def _check_total(total: int, expected: int | None) -> None:
    if total > MOST_JOBS:
        raise InputError(f"the filter meets more than {MOST_JOBS:,} jobs: narrow it")
    if not total:
        raise Conflict("the filter meets no jobs now: there is nothing to do")
    if expected is not None and expected != total:
        raise Conflict(f"the filter meets {total} jobs now, not {expected}: look again")


def stop(session: Session, bulk_id: int, *, by: str, owner: int | None = None) -> BulkRow:
    """Ends a bulk action; what it has done stays done.

    Raises:
        NotFound: No such bulk action for this person.
        Conflict: It has ended.
    """
    found = one(session, bulk_id, owner=owner)
    values = {"status": BulkStatus.STOPPED, "ended_at": func.now(), "stopped_by": str(by)}
    statement = update(Bulk).where(Bulk.id == bulk_id, Bulk.status.in_(OPEN)).values(**values)
    if not session.execute(statement).rowcount:  # type: ignore[attr-defined]
        raise Conflict(f"bulk action {bulk_id} is {found.status} already: there is nothing to stop")
    audit.record(session, Verb.STOP_BULK, by, subject=f"bulk {bulk_id}")
    return one(session, bulk_id, owner=owner)


def one(session: Session, bulk_id: int, *, owner: int | None = None) -> BulkRow:
    """A bulk action; for `owner` only one of theirs. Raises NotFound."""
    found = listed(session, limit=1, before=bulk_id + 1, owner=owner)
    if not found or found[0].id != bulk_id:
        raise NotFound(f"no bulk action {bulk_id}")
    return found[0]


def listed(
    session: Session, *, limit: int = 50, before: int | None = None, owner: int | None = None
) -> list[BulkRow]:
    """Bulk actions, newest first; `before` continues below that id, `owner` sees theirs alone."""
    hidden = ("person_id", "token_id", "via", "address")
    columns = [column for column in Bulk.__table__.c if column.name not in hidden]
    query = select(*columns).order_by(Bulk.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Bulk.person_id == owner)
    if before is not None:
        query = query.where(Bulk.id < before)
    return [
        BulkRow(
            **{
                **row._mapping,
                "verb": BulkVerb(row.verb),
                "status": BulkStatus(row.status),
            }
        )
        for row in session.execute(query)
    ]


def report(
    session: Session,
    bulk_id: int,
    *,
    skipped: bool = False,
    limit: int = 50,
    after: int = 0,
) -> list[BulkJobRow]:
    """What became of its jobs, by their ids, or of those where nothing was done."""
    where: list[ColumnElement[bool]] = [BulkJob.bulk_id == bulk_id, BulkJob.job_id > after]
    if skipped:
        where.append(BulkJob.done.is_(False))
    query = (
        select(BulkJob.job_id, BulkJob.done, BulkJob.outcome, Job.name, Job.status)
        .outerjoin(Job, Job.id == BulkJob.job_id)
        .where(*where)
        .order_by(BulkJob.job_id)
        .limit(limit)
    )
    return [
        BulkJobRow(
            **{**row._mapping, "status": None if row.status is None else JobStatus(row.status)}
        )
        for row in session.execute(query)
    ]


def work_off(engine: Engine, *, seconds: float) -> int:
    """Does what the oldest open bulk action asks, for about so long; returns the jobs looked at.

    Any number may do it at once: each job is looked at once.
    """
    end = time.monotonic() + seconds
    looked_at = 0
    while time.monotonic() < end:
        with transaction(engine) as session:
            if not _next(session):
                break
        looked_at += 1
    return looked_at


def _next(session: Session) -> bool:
    """One job of the oldest bulk action that nobody is at; False when there is none."""
    query = select(*Bulk.__table__.c).where(Bulk.status.in_(OPEN)).order_by(Bulk.id).limit(1)
    bulk = session.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if bulk is None:
        return False
    waiting = select(BulkJob.job_id).where(BulkJob.bulk_id == bulk.id, BulkJob.done.is_(None))
    job_id = session.scalar(waiting.order_by(BulkJob.job_id).limit(1))
    if job_id is None:
        _set(session, bulk.id, status=BulkStatus.DONE, ended_at=func.now())
        return True
    done, outcome = _one(session, bulk, job_id)
    mine = (BulkJob.bulk_id == bulk.id, BulkJob.job_id == job_id)
    session.execute(update(BulkJob).where(*mine).values(done=done, outcome=outcome))
    sums: dict[str, Any] = {"done": bulk.done + 1} if done else {"skipped": bulk.skipped + 1}
    if bulk.started_at is None:
        sums |= {"status": BulkStatus.RUNNING, "started_at": func.now()}
    _set(session, bulk.id, **sums)
    return True


def _one(session: Session, bulk: Any, job_id: int) -> tuple[bool, str]:
    """Does it to one job; or why not."""
    by = Actor(
        bulk.who,
        via=Via(bulk.via),
        person_id=bulk.person_id,
        token_id=bulk.token_id,
        address=bulk.address,
    )
    try:
        with session.begin_nested():
            return True, _act(session, bulk, job_id, by)
    except (CatalogueError, InputError) as error:
        return False, str(error)
    except (IntegrityError, DataError) as error:
        logger.exception("a job of a bulk action was refused", extra={"job_id": job_id})
        return False, f"the catalogue refused: {str(error.orig).splitlines()[0]}"


def _act(session: Session, bulk: Any, job_id: int, by: Actor) -> str:
    deed = Deed(verb=DeedVerb(bulk.verb), why=bulk.why, priority=bulk.argument.get("priority"))
    return deed.do(session, job_id, by=by)


def _set(session: Session, bulk_id: int, **values: Any) -> None:
    statement = update(Bulk).where(Bulk.id == bulk_id).values(**values)
    session.execute(statement.execution_options(synchronize_session=False))


def sentence(outlook: Forecast, verb: BulkVerb) -> Sequence[str]:
    """A forecast in words, a sentence each: what is touched, what is not and why."""
    told = [f"{outlook.touched:,} of {outlook.total:,} jobs will be touched."]
    if outlook.left:
        parts = ", ".join(f"{many:,} {status}" for status, many in outlook.left.items())
        told.append(f"{outlook.total - outlook.touched:,} will not ({parts}): {LEFT[verb]}.")
    return told

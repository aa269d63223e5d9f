"""One action on every job of a selection, a transaction each, with a verdict per job.

The selection is looked at once more for each page, so a job that changed meanwhile is left out;
jobs submitted after the start are not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from barber.catalogue import selection
from barber.catalogue.db import transaction
from barber.catalogue.selection import Selection
from barber.errors import CatalogueError

PAGE = 200

Action = Callable[[Session, int], str]  # job -> what became of it, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class JobVerdict:
    """What a bulk action did to one job."""

    job_id: int
    done: bool
    outcome: str  # "3 stages set back", or why not


def each(engine: Engine, chosen: Selection, action: Action) -> Iterator[JobVerdict]:
    """Does `action` to the jobs of a selection, oldest first.

    A job that refuses (CatalogueError) is told of and does not stop the others.

    Args:
        engine: The catalogue; every job has its own transaction.
        chosen: Which jobs.
        action: What to do with one; it raises when it cannot.
    """
    with transaction(engine) as session:
        last = selection.newest(session)
    after = 0
    while True:
        with transaction(engine) as session:
            job_ids = selection.page(session, chosen, after=after, limit=PAGE)
        for job_id in job_ids:
            if job_id > last:
                return
            yield _one(engine, job_id, action)
        if len(job_ids) < PAGE:
            return
        after = job_ids[-1]


def some(
    engine: Engine, chosen: Selection, action: Action, *, after: int, up_to: int, limit: int
) -> tuple[list[JobVerdict], int | None]:
    """As `each`, for at most `limit` jobs above the id `after` and not above `up_to`.

    Returns:
        A verdict for each job, and the `after` to go on with; None when all are done.
    """
    with transaction(engine) as session:
        found = selection.page(session, chosen, after=after, limit=limit)
    job_ids = [job_id for job_id in found if job_id <= up_to]
    more = len(job_ids) == limit
    return [_one(engine, job_id, action) for job_id in job_ids], job_ids[-1] if more else None


def _one(engine: Engine, job_id: int, action: Action) -> JobVerdict:
    try:
        with transaction(engine) as session:
            outcome = action(session, job_id)
    except CatalogueError as error:
        return JobVerdict(job_id=job_id, done=False, outcome=str(error))
    return JobVerdict(job_id=job_id, done=True, outcome=outcome)

"""The pages of a list of jobs: any filter in any order, each page below a key and not a number.

A page holds still while new jobs arrive, and the hundredth costs what the first does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from barber.catalogue.selection import MAX_ID, Known, Selection, look_up
from barber.catalogue.tables import Job
from barber.errors import InputError

UPDATED = func.coalesce(Job.finished_at, Job.started_at, Job.created_at)  # its last great change
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FEW_BATCHES = 20
MOST_MERGED = 200  # batches of which a page each is merged
MICROSECOND = timedelta(microseconds=1)
PLACE = re.compile(r"(?:(-?[0-9]{1,18})\.)?([0-9]{1,19})", re.ASCII)


class Sort(StrEnum):
    """The orders of a list of jobs."""

    NEWEST = "newest"
    OLDEST = "oldest"
    PRIORITY = "priority"  # the highest first; equal ones newest first
    UPDATED = "updated"  # begun or ended last


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: the next one begins after this job."""

    job_id: int
    value: int | None = None  # its priority, or its time in microseconds since 1970

    def __str__(self) -> str:
        return str(self.job_id) if self.value is None else f"{self.value}.{self.job_id}"

    @classmethod
    def parse(cls, text: str, sort: Sort) -> Self:
        """The place that an address names. Raises InputError when it is none of this order."""
        found = PLACE.fullmatch(text)
        valued = sort in (Sort.PRIORITY, Sort.UPDATED)
        if found is None or (found[1] is not None) != valued or not 0 < int(found[2]) < MAX_ID:
            raise InputError(
                f"before={text[:40]!r} is no place in a list sorted by {sort}: "
                "follow the link to the next page, or leave it out"
            )
        value = int(found[1]) if found[1] else None
        if sort is Sort.UPDATED and not 0 <= int(found[1]) < 4e15:
            raise InputError(f"before={text[:40]!r} is no place in a list: its time is impossible")
        if sort is Sort.PRIORITY and abs(int(found[1])) > 1000:
            raise InputError(f"before={text[:40]!r} is no place in a list: no priority is so far")
        return cls(int(found[2]), value)


def page(
    session: Session,
    chosen: Selection,
    *,
    limit: int,
    sort: Sort = Sort.NEWEST,
    after: Place | None = None,
) -> list[Place]:
    """The jobs of a page, in order, each with what a next page would begin after."""
    chosen = look_up(session, chosen)
    if sort in (Sort.PRIORITY, Sort.UPDATED):
        query = _by_value(chosen, sort, after)
        return [_place(*row) for row in session.execute(query.limit(limit))]
    # A status at a time: each has its index by -id, and of several at once all jobs are walked.
    found: set[int] = set()
    for each in [chosen.of(status) for status in chosen.statuses] or [chosen]:
        whole = _is_of_few_batches(each)
        query = _of_each_batch(each, sort, after, limit) if whole else _by_id(each, sort, after)
        found |= set(session.scalars(query.limit(limit)))
    return [Place(job_id) for job_id in sorted(found, reverse=sort is Sort.NEWEST)[:limit]]


def _by_value(chosen: Selection, sort: Sort, after: Place | None) -> Select[Any]:
    value: Any = Job.priority if sort is Sort.PRIORITY else UPDATED
    query = select(Job.id, value).where(*chosen.where())
    query = query.order_by(value.desc(), Job.id.desc())
    if after is not None and after.value is not None:
        last = after.value if sort is Sort.PRIORITY else EPOCH + after.value * MICROSECOND
        query = query.where(tuple_(value, Job.id) < tuple_(literal(last), after.job_id))
    return query


def _is_of_few_batches(chosen: Selection) -> bool:
    """Whether a person's batches, and at most one status, are all that is asked for."""
    whose = chosen.known.whose_ids
    if whose is None or len(whose) > MOST_MERGED or len(chosen.statuses) > 1:
        return False
    whoever = replace(chosen, person=None, owner=None, statuses=(), known=Known())
    return whoever == Selection()


def _of_each_batch(
    chosen: Selection, sort: Sort, after: Place | None, limit: int
) -> Select[tuple[int]]:
    """A page of each of a person's batches, merged. By id over all jobs, those of everybody since
    would be walked through; of all their jobs at once, all would be sorted.
    """
    batch = func.unnest(cast(list(chosen.known.whose_ids or ()), ARRAY(BigInteger)))
    batches = batch.table_valued("id").render_derived(name="batches")
    found = [Job.batch_id == batches.c.id]
    found += [Job.status == status for status in chosen.statuses]
    if after is not None:
        beyond = -Job.id > -after.job_id if sort is Sort.NEWEST else -Job.id < -after.job_id
        found.append(beyond)
    key = -Job.id
    order = key.asc() if sort is Sort.NEWEST else key.desc()
    each = select(Job.id).where(*found).order_by(order).limit(limit).lateral("each")
    merged = each.c.id.desc() if sort is Sort.NEWEST else each.c.id.asc()
    return select(each.c.id).select_from(batches).join(each, true()).order_by(merged)


def _by_id(chosen: Selection, sort: Sort, after: Place | None) -> Select[Any]:
    """The jobs beyond a place, in order.

    A condition with an index of its own has -id as that index's last column. By id the planner may
    walk the primary key and drop rows until it has a page, which for an old batch are all jobs
    since; by -id without such a condition it would sort all jobs.
    """
    indexed = (chosen.batch_id, chosen.bundle, chosen.error_class)
    by_minus = len(chosen.statuses) == 1 or any(value is not None for value in indexed)
    by_minus |= 0 < len(chosen.known.batch_ids) <= FEW_BATCHES  # few enough to sort all their jobs
    newest = sort is Sort.NEWEST
    key: ColumnElement[Any] = -Job.id if by_minus else Job.id.expression
    rising = newest is by_minus
    found = select(Job.id).where(*chosen.where(by_minus=by_minus))
    if after is not None:
        place = -after.job_id if by_minus else after.job_id
        found = found.where(key > place if rising else key < place)
    return found.order_by(key.asc() if rising else key.desc())


def _place(job_id: int, value: Any = None) -> Place:
    if isinstance(value, datetime):
        value = (value - EPOCH) // MICROSECOND
    return Place(job_id, value)

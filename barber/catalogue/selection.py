"""Which jobs: the filter of lists and of everything that is done to many jobs at once.

What a list shows is what a bulk action takes, because both come from here. Every condition has an
index; see the migration `search_jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from barber.catalogue.owners import owned
from barber.catalogue.status import JobStatus, StageStatus
from barber.catalogue.tables import Batch, Job, Stage
from barber.errors import InputError
from barber.plan import StageKind

SHORTEST_TEXT: Final = 3  # the index knows three letters in a row
LONGEST_TEXT: Final = 200
TEXT_SEARCHED: Final = 400  # characters of a name or an error; as in `job_trigrams`
HEX_DIGITS: Final = frozenset("0123456789abcdef")
SHORTEST_KEY, LONGEST_KEY, MOST_KEYED = 8, 64, 1000
MAX_ID: Final = 2**63 - 1
# Ids and times of submission rise together but for transactions that overlap; none is so long.
OVERLAP: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Jobs that meet every condition given; without any, all jobs."""

    job_ids: tuple[int, ...] = ()
    batch_id: int | None = None
    statuses: tuple[JobStatus, ...] = ()
    stage: StageKind | None = None  # a stage of this kind has failed for good
    error_class: str | None = None  # why the job, or one of its stages, has failed
    cause: str | None = None  # `Cause.key` of what the job failed for good of
    bundle: str | None = None  # name of the bundle
    person: str | None = None  # who submitted it
    priority: int | None = None
    text: str | None = None  # of the name, the error or the batch's name; or a key's beginning
    since: datetime | None = None  # submitted at this moment or later
    until: datetime | None = None  # submitted before
    owner: int | None = None  # of batches of this person

    def __post_init__(self) -> None:
        if any("\0" in (word or "") for word in (self.text, self.bundle, self.person)):
            raise InputError("a filter cannot hold the character 0: leave it out")
        if self.text is not None and not SHORTEST_TEXT <= len(self.text) <= LONGEST_TEXT:
            raise InputError(
                f"text={self.text[:40]!r} cannot be looked for: "
                f"give {SHORTEST_TEXT} to {LONGEST_TEXT} characters"
            )
        if self.since and self.until and in_utc(self.since) >= in_utc(self.until):
            raise InputError(
                f"nothing lies between {self.since.isoformat(' ', 'minutes')} and "
                f"{self.until.isoformat(' ', 'minutes')}: `until` must come after `since`"
            )

    @property
    def is_everything(self) -> bool:
        """Whether no condition was given."""
        return replace(self, owner=None) == Selection()

    def of(self, *statuses: JobStatus) -> Selection:
        """The part of it with one of these statuses."""
        return replace(self, statuses=statuses)

    def to_json(self) -> dict[str, Any]:
        """The conditions that were given, as JSON data."""
        given: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value not in (None, ()):
                given[each.name] = value.isoformat() if isinstance(value, datetime) else value
        return given

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions on `Job`."""
        found: list[ColumnElement[bool]] = []
        if self.job_ids:
            found.append(Job.id.in_(self.job_ids))
        if self.owner is not None:
            found.append(owned(self.owner))
        if self.person is not None:
            found.append(
                Job.batch_id.in_(select(Batch.id).where(Batch.submitted_by == self.person))
            )
        if self.statuses:
            found.append(Job.status.in_(self.statuses))
        plain = {
            Job.batch_id: self.batch_id,
            Job.bundle_name: self.bundle,
            Job.priority: self.priority,
            Job.cause: self.cause,
        }
        found += [column == value for column, value in plain.items() if value is not None]
        return [*found, *self._failures(), *self._times(), *self._words()]

    def _failures(self) -> list[ColumnElement[bool]]:
        failed = select(Stage.job_id).where(Stage.status == StageStatus.FAILED)
        found: list[ColumnElement[bool]] = []
        if self.stage is not None:
            found.append(Job.id.in_(failed.where(Stage.kind == self.stage)))
        if self.error_class is not None:
            # Of a job that has failed it stands in the job; others go on beside a failed stage.
            beside = failed.where(Stage.job_id == Job.id, Stage.error_class == self.error_class)
            goes_on = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
            found.append((Job.error_class == self.error_class) | (goes_on & beside.exists()))
        return found

    def _times(self) -> list[ColumnElement[bool]]:
        """The times, and bounds of the ids between them: a walk by ids must not leave these."""
        found: list[ColumnElement[bool]] = []
        other = aliased(Job)
        if self.since is not None:
            before = select(other.id).where(other.created_at < in_utc(self.since) - OVERLAP)
            last = before.order_by(other.created_at.desc()).limit(1).scalar_subquery()
            low = func.coalesce(last, literal(0, BigInteger))
            found += [Job.created_at >= in_utc(self.since), *_above(low)]
        if self.until is not None:
            after = select(other.id).where(other.created_at >= in_utc(self.until) + OVERLAP)
            first = after.order_by(other.created_at).limit(1).scalar_subquery()
            high = func.coalesce(first, literal(MAX_ID, BigInteger))
            found += [Job.created_at < in_utc(self.until), *_below(high)]
        return found

    def _words(self) -> list[ColumnElement[bool]]:
        if self.text is None:
            return []
        wanted = func.trigrams(self.text, type_=ARRAY(Text))
        indexed = func.job_trigrams(Job.name, Job.error, type_=ARRAY(Text)).contains(wanted)
        told = [
            func.left(column, TEXT_SEARCHED).icontains(self.text, autoescape=True)
            for column in (Job.name, func.coalesce(Job.error, ""))
        ]
        batches = select(Batch.id).where(Batch.name.icontains(self.text, autoescape=True))
        found = (indexed & (told[0] | told[1])) | _any_of(Job.batch_id, batches)
        if self.text.isascii() and self.text.isdigit() and int(self.text) <= MAX_ID:
            found |= Job.id == int(self.text)
        if set(self.text) <= HEX_DIGITS and SHORTEST_KEY <= len(self.text) <= LONGEST_KEY:
            keyed = select(Stage.job_id).where(
                Stage.key >= self.text, Stage.key < f"{self.text}g"
            )  # a digest has no "g": all that begin so, whatever the database's order of letters
            found |= _any_of(Job.id, keyed.limit(MOST_KEYED))
        return [found]


def in_utc(moment: datetime) -> datetime:
    """A moment that says no zone is one of UTC, as everywhere in the catalogue."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _above(low: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    return Job.id > low, -Job.id < -low  # the one index or the other, whichever is walked


def _below(high: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    return Job.id < high, -Job.id > -high


def _any_of(column: Any, query: Any) -> ColumnElement[bool]:
    """As IN, but the query is run first, so that an index finds its rows beside others in an OR."""
    return column == func.any(func.array(query.scalar_subquery()))  # type: ignore[no-any-return]


def count(session: Session, selection: Selection) -> dict[JobStatus, int]:
    """How many jobs a selection has, by status; statuses without a job are left out."""
    query = select(Job.status, func.count()).where(*selection.where()).group_by(Job.status)
    return {JobStatus(status): number for status, number in session.execute(query)}


def page(session: Session, selection: Selection, *, after: int, limit: int) -> list[int]:
    """Ids of a selection's jobs, oldest first, above the id `after`."""
    query = select(Job.id).where(*selection.where(), Job.id > after)
    return list(session.scalars(query.order_by(Job.id).limit(limit)))


def newest(session: Session) -> int:
    """The highest id of any job, 0 when there is none: what is submitted later is beyond it."""
    return session.scalar(select(func.max(Job.id))) or 0


def batch_exists(session: Session, batch_id: int) -> bool:
    """Whether there is such a batch: a selection by a wrong number would be empty, silently."""
    return session.scalar(select(Batch.id).where(Batch.id == batch_id)) is not None

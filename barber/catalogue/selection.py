"""Which jobs: the filter of lists and of everything that is done to many jobs at once.

What a list shows is what a bulk action takes, because both come from here. Every condition has an
index; see the migration `search_jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from barber.catalogue.owners import owned
from barber.catalogue.status import JobStatus, StageStatus
from barber.catalogue.tables import Batch, Job, Stage
from barber.errors import InputError
from barber.moments import YEARS, in_utc
from barber.plan import StageKind

SHORTEST_TEXT: Final = 3  # the index knows three letters in a row
LONGEST_TEXT: Final = 200
TEXT_SEARCHED: Final = 400  # characters of a name or an error; as in `job_trigrams`
HEX_DIGITS: Final = frozenset("0123456789abcdef")
SHORTEST_KEY, LONGEST_KEY, MOST_KEYED = 8, 64, 1000
MOST_BATCHES: Final = 1000  # of one person, that are named in a query
MAX_ID: Final = 2**63 - 1
# Ids and times of submission rise together but for transactions that overlap; none is so long.
OVERLAP: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was looked up of a selection; see `look_up`."""

    above: int | None = None  # all ids are
    below: int | None = None
    batch_ids: tuple[int, ...] = ()  # whose name has the text
    whose_ids: tuple[int, ...] | None = None  # all batches of the person and owner; None: too many
    job_ids: tuple[int, ...] = ()  # that the text names by number or key


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Jobs that meet every condition given; without any, all jobs."""

    job_ids: tuple[int, ...] = ()
    batch_id: int | None = None
    statuses: tuple[JobStatus, ...] = ()
    stage: StageKind | None = None  # a stage of this kind has failed for good
    error_class: str | None = None  # of the error that the job has failed of
    cause: str | None = None  # `Cause.key` of what the job failed for good of
    bundle: str | None = None  # name of the bundle
    person: str | None = None  # who submitted it
    priority: int | None = None
    text: str | None = None  # of the name, the error or the batch's name; or a key's beginning
    since: datetime | None = None  # submitted at this moment or later
    until: datetime | None = None  # submitted before
    owner: int | None = None  # of batches of this person
    known: Known = Known()

    def __post_init__(self) -> None:
        if any("\0" in (word or "") for word in (self.text, self.bundle, self.person)):
            raise InputError("a filter cannot hold the character 0: leave it out")
        if self.text is not None and not SHORTEST_TEXT <= len(self.text) <= LONGEST_TEXT:
            raise InputError(
                f"text={self.text[:40]!r} cannot be looked for: "
                f"give {SHORTEST_TEXT} to {LONGEST_TEXT} characters"
            )
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.year not in YEARS:
                raise InputError(f"{name}={moment.isoformat(' ')} is no time to look for jobs at")
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
            if each.name == "known":
                continue
            value = getattr(self, each.name)
            if value not in (None, ()):
                given[each.name] = value.isoformat() if isinstance(value, datetime) else value
        return given

    def where(self, *, by_minus: bool | None = None) -> list[ColumnElement[bool]]:
        """The conditions on `Job`.

        Args:
            by_minus: Whether the jobs are walked by -id, or by id; None when by neither.
        """
        found: list[ColumnElement[bool]] = []
        if self.job_ids:
            found.append(Job.id.in_(self.job_ids))
        found += self._whose()
        if self.statuses:
            found.append(Job.status.in_(self.statuses))
        plain = {
            Job.batch_id: self.batch_id,
            Job.bundle_name: self.bundle,
            Job.priority: self.priority,
            Job.cause: self.cause,
        }
        found += [column == value for column, value in plain.items() if value is not None]
        return [*found, *self._failures(), *self._times(by_minus), *self._words()]

    def _whose(self) -> list[ColumnElement[bool]]:
        if self.known.whose_ids is not None:
            return [Job.batch_id.in_(self.known.whose_ids)]
        found: list[ColumnElement[bool]] = []
        if self.owner is not None:
            found.append(owned(self.owner))
        if self.person is not None:
            found.append(
                Job.batch_id.in_(select(Batch.id).where(Batch.submitted_by == self.person))
            )
        return found

    def _failures(self) -> list[ColumnElement[bool]]:
        failed = select(Stage.job_id).where(Stage.status == StageStatus.FAILED)
        found: list[ColumnElement[bool]] = []
        if self.stage is not None:
            found.append(Job.id.in_(failed.where(Stage.kind == self.stage)))
        if self.error_class is not None:
            found.append(Job.error_class == self.error_class)
        return found

    def _times(self, by_minus: bool | None) -> list[ColumnElement[bool]]:
        """The times, and the ids between them: a walk by ids must not leave these. Told by id and
        by -id at once, the planner would take them for conditions that narrow each other down.
        """
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(Job.created_at >= in_utc(self.since))
        if self.until is not None:
            found.append(Job.created_at < in_utc(self.until))
        above, below = self.known.above, self.known.below
        if above is not None:
            found += [Job.id > above] * (by_minus is not True)
            found += [-Job.id < -above] * (by_minus is not False)
        if below is not None:
            found += [Job.id < below] * (by_minus is not True)
            found += [-Job.id > -below] * (by_minus is not False)
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
        # What is cheap comes first: where the index does not help, most rows end there.
        found = (told[0] | told[1]) & indexed
        if self.known.batch_ids:
            found |= Job.batch_id.in_(self.known.batch_ids)
        if self.known.job_ids:
            found |= Job.id.in_(self.known.job_ids)
        return [found]


def look_up(session: Session, chosen: Selection) -> Selection:
    """The selection with what a few looks into indexes tell of it: of a value that stands in the
    query the planner knows how much it meets, of a subquery it does not.
    """
    above = below = None
    if chosen.since is not None:
        before = select(Job.id).where(Job.created_at < in_utc(chosen.since) - OVERLAP)
        above = session.scalar(before.order_by(Job.created_at.desc()).limit(1))
    if chosen.until is not None:
        after = select(Job.id).where(Job.created_at >= in_utc(chosen.until) + OVERLAP)
        below = session.scalar(after.order_by(Job.created_at).limit(1))
    batches: list[int] = []
    jobs: list[int] = []
    if chosen.text is not None:
        named = select(Batch.id).where(Batch.name.icontains(chosen.text, autoescape=True))
        batches = list(session.scalars(named))
        jobs = _numbered(session, chosen.text)
    known = Known(
        above=above,
        below=below,
        batch_ids=tuple(batches),
        whose_ids=_batches_of(session, chosen),
        job_ids=tuple(jobs),
    )
    return replace(chosen, known=known)


def _batches_of(session: Session, chosen: Selection) -> tuple[int, ...] | None:
    """All batches of the person and the owner of a selection; None when neither is given or they
    have very many.
    """
    if chosen.person is None and chosen.owner is None:
        return None
    query = select(Batch.id)
    if chosen.person is not None:
        query = query.where(Batch.submitted_by == chosen.person)
    if chosen.owner is not None:
        query = query.where(Batch.owner_id == chosen.owner)
    found = list(session.scalars(query.order_by(Batch.id).limit(MOST_BATCHES + 1)))
    return tuple(found) if len(found) <= MOST_BATCHES else None


def _numbered(session: Session, text: str) -> list[int]:
    """Jobs of which a text is the number, or the beginning of a stage's key."""
    found: list[int] = []
    if text.isascii() and text.isdigit() and int(text) <= MAX_ID:
        found.append(int(text))
    if set(text) <= HEX_DIGITS and SHORTEST_KEY <= len(text) <= LONGEST_KEY:
        # A digest has no "g": all that begin so, whatever the database's order of letters.
        keyed = select(Stage.job_id).where(Stage.key >= text, Stage.key < f"{text}g")
        found += session.scalars(keyed.limit(MOST_KEYED))
    return found


def count(session: Session, selection: Selection) -> dict[JobStatus, int]:
    """How many jobs a selection has, by status; statuses without a job are left out."""
    where = look_up(session, selection).where()
    query = select(Job.status, func.count()).where(*where).group_by(Job.status)
    return {JobStatus(status): number for status, number in session.execute(query)}


def page(session: Session, selection: Selection, *, after: int, limit: int) -> list[int]:
    """Ids of a selection's jobs, oldest first, above the id `after`."""
    query = select(Job.id).where(*look_up(session, selection).where(), Job.id > after)
    return list(session.scalars(query.order_by(Job.id).limit(limit)))


def newest(session: Session) -> int:
    """The highest id of any job, 0 when there is none: what is submitted later is beyond it."""
    return session.scalar(select(func.max(Job.id))) or 0


def batch_exists(session: Session, batch_id: int) -> bool:
    """Whether there is such a batch: a selection by a wrong number would be empty, silently."""
    return session.scalar(select(Batch.id).where(Batch.id == batch_id)) is not None

"""The filter of the list of jobs as an address says it, and back. What is no filter is told so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from barber.catalogue import listing, views
from barber.catalogue.jobs import JobRow
from barber.catalogue.listing import Place, Sort
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.errors import InputError
from barber.moments import in_utc
from barber.plan import StageKind
from dashboard.paging import PAGE_SIZE, Page, whole_number

E = TypeVar("E", bound=StrEnum)

FIELDS: Final = (
    *("text", "status", "failed_in", "error", "cause", "batch", "person"),
    *("bundle", "priority", "since", "until", "job"),
)
PAGING: Final = ("sort", "before")
LONGEST: Final = 200
MOST_TICKED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A filter as somebody asked for it."""

    chosen: Selection
    sort: Sort
    before: str | None
    arguments: Mapping[str, list[str]]  # of the address, the filter's alone, nothing empty

    @property
    def ticked(self) -> bool:
        """Whether single jobs were chosen by hand."""
        return bool(self.chosen.job_ids)

    def fields(self) -> list[tuple[str, str]]:
        """The filter as hidden fields of a form."""
        return [(name, value) for name, values in self.arguments.items() for value in values]

    def words(self) -> list[str]:
        """The filter in words, a condition each."""
        named = {
            "failed_in": "failed in",
            "since": "submitted since",
            "until": "submitted before",
            "person": "submitted by",
        }
        plain = [name for name in self.arguments if name != "job"]
        told = [f"{named.get(name, name)} {' or '.join(self.arguments[name])}" for name in plain]
        if self.ticked:
            told.insert(0, "ticked by hand")
        return told


def asked(
    arguments: MultiDict[str, str], owner: int | None, *, beside: tuple[str, ...] = ()
) -> Asked:
    """The filter of an address or a form.

    Args:
        arguments: Its arguments; empty ones count as absent.
        owner: Whose jobs it is limited to.
        beside: Arguments that are not the filter's.

    Raises:
        InputError: Something in it is no filter; it says what, and what would be one.
    """
    unknown = [name for name in arguments if name not in (*FIELDS, *PAGING, *beside)]
    if unknown:
        raise InputError(f"{unknown[0][:40]!r} is no filter: there are {', '.join(FIELDS)}")
    given = {
        name: [value.strip() for value in arguments.getlist(name) if value.strip()]
        for name in (*FIELDS, *PAGING)
    }
    given = {name: values for name, values in given.items() if values}
    one = {name: values[-1] for name, values in given.items()}
    for name, value in one.items():
        if len(value) > LONGEST:
            raise InputError(f"{name} is too long: {LONGEST} characters at most can be looked for")
    chosen = Selection(
        job_ids=_ids(given.get("job", [])),
        batch_id=whole_number(one, "batch"),
        statuses=tuple(_choice(JobStatus, "status", word) for word in given.get("status", [])),
        stage=_given(one, "failed_in", lambda word: _choice(StageKind, "failed_in", word)),
        error_class=one.get("error"),
        cause=_given(one, "cause", _cause),
        bundle=one.get("bundle"),
        person=one.get("person"),
        priority=_given(one, "priority", _priority),
        text=one.get("text"),
        since=_given(one, "since", lambda text: _moment("since", text)),
        until=_given(one, "until", lambda text: _moment("until", text)),
        owner=owner,
    )
    sort = _choice(Sort, "sort", one["sort"]) if "sort" in one else Sort.NEWEST
    if chosen.job_ids:  # rows ticked by hand count, whatever list they were ticked in
        chosen, given = Selection(job_ids=chosen.job_ids, owner=owner), {"job": given["job"]}
    kept = {name: values for name, values in given.items() if name in FIELDS}
    return Asked(chosen=chosen, sort=sort, before=one.get("before"), arguments=kept)


def page(
    session: Session,
    chosen: Selection,
    *,
    sort: Sort = Sort.NEWEST,
    before: str | None = None,
    size: int = PAGE_SIZE,
) -> Page[JobRow]:
    """A page of jobs, and the place where the next one begins."""
    after = Place.parse(before, sort) if before else None
    places = listing.page(session, chosen, limit=size + 1, sort=sort, after=after)
    rows = views.rows_of(session, [place.job_id for place in places[:size]])
    return Page(rows=rows, next=str(places[size - 1]) if len(places) > size else None)


def _given(one: Mapping[str, str], name: str, read: Callable[[str], Any]) -> Any:
    return read(one[name]) if name in one else None


def _choice(choices: type[E], name: str, word: str) -> E:
    try:
        return choices(word)
    except ValueError:
        known = ", ".join(choices)
        raise InputError(f"{name} {word[:40]!r} is unknown: use one of {known}") from None


def _ids(texts: list[str]) -> tuple[int, ...]:
    if len(texts) > MOST_TICKED:
        raise InputError(f"{len(texts)} jobs are ticked: {MOST_TICKED} at most, or use a filter")
    return tuple(whole_number({"job": text}, "job") or 0 for text in texts)


def _cause(text: str) -> str:
    if len(text) != 16 or set(text) - set("0123456789abcdef"):
        raise InputError(f"cause={text[:40]!r} is none: follow a link from the overview")
    return text


def _priority(text: str) -> int:
    digits = text.removeprefix("-")
    number = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 6 else None
    if number is None or number not in PRIORITIES:
        raise InputError(
            f"priority={text[:40]!r} is none: give a whole number from "
            f"{PRIORITIES[0]} to {PRIORITIES[-1]}"
        )
    return number


def _moment(name: str, text: str) -> datetime:
    try:
        moment = in_utc(datetime.fromisoformat(text))
    except ValueError:
        moment = None
    if moment is None or not 2000 <= moment.year < 2200:
        raise InputError(
            f"{name}={text[:40]!r} is no time: write 2026-11-22T18:30 (UTC), or 2026-11-22"
        )
    return moment

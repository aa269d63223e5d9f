"""Keyset paging: a page is what lies below an id, so it holds still while new rows arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from werkzeug.routing import IntegerConverter, Map

from barber.errors import InputError

PAGE_SIZE = 50
MAX_ID = 2**63 - 2  # and one more still fits the column

T = TypeVar("T")


class IdConverter(IntegerConverter):
    """`<id:name>` in a route: an id that the catalogue could hold; anything else is not found."""

    def __init__(self, map: Map) -> None:  # werkzeug's name
        super().__init__(map, min=1, max=MAX_ID)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of one page and where the next one begins."""

    rows: Sequence[T]
    next: int | str | None  # give this as `before`; None on the last page


def page_of(
    load: Callable[[int], Sequence[T]], *, key: Callable[[T], int], size: int = PAGE_SIZE
) -> Page[T]:
    """Loads one row more than fits, to know whether there is another page."""
    rows = load(size + 1)
    more = len(rows) > size
    return Page(rows=rows[:size], next=key(rows[size - 1]) if more else None)


def place(arguments: Mapping[str, str]) -> int | None:
    """The `before` of an address; InputError when it is no id."""
    return whole_number(arguments, "before")


def whole_number(arguments: Mapping[str, str], name: str) -> int | None:
    """An id given in an address, None when absent or empty."""
    text = arguments.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_ID):
        raise InputError(f"{name}={text[:40]!r} is no id: a whole number from 1 up is needed")
    return int(text)

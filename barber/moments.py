"""Moments as people type them: `06:30`, `2h`, `2026-11-23T06:30`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from barber.errors import InputError

YEARS = range(2000, 2200)  # of moments that anybody means; the database's end is far beyond
UNITS_S = {"m": 60, "h": 3600, "d": 86_400}
HINT = "a time such as 06:30, a span such as 90m, 2h or 1d, or a moment such as 2026-11-23T06:30"


def parse_deadline(text: str, now: datetime) -> datetime:
    """The moment that a person means; without a zone it is one of `now`'s.

    Args:
        text: `HH:MM` is the next time that the clock shows it, `90m`, `2h`, `1d` count from now,
            anything else is ISO 8601.
        now: With its zone. The database's clock decides, so this should be its time.

    Raises:
        InputError: It is none of these, or has passed.
    """
    text = text.strip()
    if clock := re.fullmatch(r"(\d{1,2}):(\d{2})", text):
        moment = _next(int(clock[1]), int(clock[2]), now, text)
    elif span := re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([mhd])", text):
        moment = now + timedelta(seconds=float(span[1]) * UNITS_S[span[2]])
    else:
        moment = _iso(text, now)
    if moment <= now:
        raise InputError(f"the deadline {text!r} has passed: give a later one")
    return moment


def _next(hour: int, minute: int, now: datetime, text: str) -> datetime:
    try:
        today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    except ValueError:
        raise InputError(f"the deadline {text!r} is no time of the day: give {HINT}") from None
    return today if today > now else today + timedelta(days=1)


def _iso(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"the deadline {text!r} cannot be read: give {HINT}") from None
    if moment.year not in YEARS:
        raise InputError(f"the deadline {text!r} cannot be meant: give {HINT}")
    return moment.astimezone(now.tzinfo) if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, which is also what one without a zone is of.

    Zones may be a day off UTC, and the database takes only those below 16 hours.
    """
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

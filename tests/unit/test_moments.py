from datetime import UTC, datetime, timedelta, timezone

import pytest

from barber.errors import InputError
from barber.moments import parse_deadline

HERE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 22, 22, 15, 30, tzinfo=HERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06:30", datetime(2026, 11, 23, 6, 30, tzinfo=HERE)),
        ("22:16", datetime(2026, 11, 22, 22, 16, tzinfo=HERE)),
        ("22:15", datetime(2026, 11, 23, 22, 15, tzinfo=HERE)),
        ("2h", NOW + timedelta(hours=2)),
        (" 90m ", NOW + timedelta(minutes=90)),
        ("0.5d", NOW + timedelta(hours=12)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=HERE)),
        ("2026-11-23T06:30", datetime(2026, 11, 23, 6, 30, tzinfo=HERE)),
        ("2026-11-23T06:30Z", datetime(2026, 11, 23, 6, 30, tzinfo=UTC)),
    ],
)
def test_what_people_type(text: str, expected: datetime) -> None:
    assert parse_deadline(text, NOW) == expected


def test_a_zone_that_no_database_knows_becomes_ours() -> None:
    moment = parse_deadline("2090-01-01T00:00-19:38", NOW)
    assert (moment.utcoffset(), moment.hour) == (timedelta(hours=2), 21)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("25:00", "no time of the day"),
        ("soon", "cannot be read"),
        ("2w", "cannot be read"),
        ("", "cannot be read"),
        ("0h", "has passed"),
        ("2026-11-22T20:15Z", "has passed"),
        ("9999-12-31T23:59-23:00", "cannot be meant"),
    ],
)
def test_what_is_refused_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_deadline(text, NOW)

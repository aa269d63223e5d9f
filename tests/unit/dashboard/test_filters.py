"""How the console writes statuses, times and numbers."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from barber.catalogue.status import JobStatus, StageStatus, WorkerStatus
from dashboard import filters


@pytest.mark.parametrize("status", sorted({*JobStatus, *StageStatus, *WorkerStatus}))
def test_every_status_has_a_badge_with_its_word_a_glyph_and_a_hint(status):
    html = filters.badge(status)
    assert f"s-{status}" in html
    assert html.endswith(f"{status}</span>")
    assert filters.GLYPHS[status] in html
    assert filters.HINTS[status] in html


def test_statuses_are_told_apart_without_colour():
    final = [filters.GLYPHS[s] for s in ("succeeded", "failed", "cancelled", "running", "queued")]
    assert len(set(final)) == len(final)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (-0.2, "0.0 s"),
        (0.84, "0.8 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7440, "2 h 04 min"),
        (50 * 3600, "2 days"),
    ],
)
def test_durations_read_as_people_say_them(seconds, words):
    assert filters.duration(seconds).replace(filters.NBSP, " ") == words


def test_a_moment_is_told_by_how_far_it_is_away():
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ahead, past = timedelta(hours=2, minutes=4), timedelta(seconds=30)
    assert filters.away(now + ahead, now).replace(filters.NBSP, " ") == "in 2 h 04 min"
    assert filters.away(now - past, now).replace(filters.NBSP, " ") == "30 s ago"


def test_commands_are_set_as_code_and_nothing_becomes_markup():
    html = filters.commands("no <b>; start `barber up <now>` soon")
    assert html == "no &lt;b&gt;; start <code>barber up &lt;now&gt;</code> soon"


def test_a_clock_shows_utc_whatever_zone_comes_in():
    moment = datetime(2026, 3, 1, 1, 30, 5, tzinfo=timezone(timedelta(hours=3)))
    html = filters.clock(moment)
    assert "28 Feb 22:30:05" in html
    assert moment.astimezone(UTC).isoformat(timespec="seconds") in html


@pytest.mark.parametrize(
    ("part", "words"),
    [(None, "0 %"), (0.0, "0 %"), (0.504, "50 %"), (0.9999, "99 %"), (1.0, "100 %")],
)
def test_progress_is_whole_only_at_the_end(part, words):
    assert filters.percent(part).replace(filters.NBSP, " ") == words


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "job", "1 job"),
        (0, "job", "0 jobs"),
        (4000, "job", "4,000 jobs"),
        (2, "batch", "2 batches"),
    ],
)
def test_counts_agree_with_their_noun(number, noun, words):
    assert filters.counted(number, noun) == words

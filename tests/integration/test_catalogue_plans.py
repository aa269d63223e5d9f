"""What the database reads for each statement does not grow with the jobs that have ended.

Counted in rows, not in seconds: every statement of a tick, a claim, the end of a stage and of the
console's pages is explained in its own transaction, at one size and at three times that size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from barber.catalogue.db import open_engine
from barber.settings import Settings
from tests.benchmarks.plans import Look, onlooker
from tests.benchmarks.seed import seed
from tests.benchmarks.walk import Walk
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.integration

PAST, MORE, QUEUED = 2_000, 4_000, 120
SLACK = 400  # rows: a tenth of what the past grows by; the planner may sort a short list
IDLE = {"health", "expire"}  # find nothing here: all is well, and no job has a deadline
BY_BATCHES = 1.2  # the overview's list is of batches, of which there are more as well
PARTS = {
    *("reap", "expire", "resend", "sweep", "fill", "relay", "fold", "prune"),
    *("claim", "heartbeat", "preview", "finish", "fail", "hand back", "fan in"),
    *("overview", "batch page", "job list", "job page", "health", "event feed"),
    *("gallery", "result page"),
}


@pytest.fixture(scope="module")
def walks(server_url: str) -> Iterator[tuple[list[Look], list[Look]]]:
    """The looks at a short past and at a long one."""
    with fresh_database(server_url) as url:
        settings = Settings(database_url=url, window=8)
        engine = open_engine(settings, application="plans")
        seed(engine, past=PAST, queued=QUEUED)
        short = walked(engine, settings)
        seed(engine, past=MORE, queued=0)
        yield short, walked(engine, settings)
        engine.dispose()


def walked(engine: Engine, settings: Settings) -> list[Look]:
    with onlooker(engine) as watching:
        Walk(engine, settings, watching).everything()
    return watching.looks


def test_every_part_was_looked_at(walks: tuple[list[Look], list[Look]]) -> None:
    for looks in walks:
        assert {look.part for look in looks} == PARTS
        assert all(any(x.rows for x in looks if x.part == part) for part in PARTS - IDLE)


def test_no_growing_table_is_read_from_end_to_end(walks: tuple[list[Look], list[Look]]) -> None:
    assert [(x.part, x.whole, x.statement[:300]) for x in walks[1] if x.whole] == []


def test_rows_read_do_not_grow_with_the_past(walks: tuple[list[Look], list[Look]]) -> None:
    before, after = map(most_rows, walks)
    grown = {
        key: (before[key], rows)
        for key, rows in after.items()
        if key in before and rows > BY_BATCHES * before[key] + SLACK
    }
    assert not grown


def most_rows(looks: list[Look]) -> dict[tuple[str, str], int]:
    """The most rows that a statement of a part read at once."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for look in looks:
        key = look.part, look.statement[:400]
        found[key] = max(found[key], look.rows)
    return found

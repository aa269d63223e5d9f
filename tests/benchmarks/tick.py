"""What a tick, a stage's life and the pages cost at a million jobs, against ten thousand.

Two catalogues of the same shape, 5 % of their jobs waiting; both are walked through in turn, so
that other work on the machine slows both. Rows and pages are what EXPLAIN (ANALYZE, BUFFERS) says
of each statement in its own transaction, and do not depend on the machine at all.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Engine, text

from barber.catalogue.db import open_engine
from barber.settings import Settings
from tests.benchmarks.page import Section, table
from tests.benchmarks.plans import Look, Onlooker, onlooker
from tests.benchmarks.seed import seed
from tests.benchmarks.server import catalogue
from tests.benchmarks.walk import Walk

SMALL, LARGE = 10_000, 1_000_000
WAITING = 0.05  # of the jobs
ROUNDS = 2
WINDOW = 32
SEEDING = {"fsync": "off", "max_wal_size": "4GB", "autovacuum": "off"}
ORDER = (
    *("reap", "expire", "resend", "sweep", "fill", "relay", "fold", "prune"),
    *("claim", "heartbeat", "preview", "finish", "fail", "hand back", "fan in"),
    *("overview", "batch page", "job list", "job page", "health", "event feed"),
    *("gallery", "result page"),
)


@dataclass(kw_only=True)
class Catalogue:
    """One of the two."""

    jobs: int
    bytes: int  # of the database
    engine: Engine
    settings: Settings
    looks: list[Look] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def walk(self) -> None:
        """Once under the clock, once under the looking glass."""
        walk = Walk(self.engine, self.settings, Onlooker())
        walk.everything()
        for part, seconds in walk.seconds.items():
            self.seconds[part] += seconds
        with onlooker(self.engine) as watching:
            Walk(self.engine, self.settings, watching).everything()
        self.looks += watching.looks

    def most(self, part: str, what: str) -> int:
        """The most rows or pages that one statement of a part read."""
        return max(getattr(look, what) for look in self.looks if look.part == part)

    def median_ms(self, part: str) -> float:
        """Of a part's transactions, by the clock."""
        return 1000 * statistics.median(self.seconds[part])

    def whole(self) -> list[str]:
        """Statements that read a growing table from end to end, each with its part."""
        return sorted({f"{x.part}: {', '.join(x.whole)}" for x in self.looks if x.whole})


def measure(kept: Path | None = None) -> Section:
    """Seeds what is not there, walks through both.

    Args:
        kept: A directory in which the seeded catalogues stay for the next time.
    """
    with ExitStack() as stack:
        both = [
            stack.enter_context(seeded(kept / f"{jobs}" if kept else None, jobs))
            for jobs in (SMALL, LARGE)
        ]
        for _ in range(ROUNDS):
            for one in both:
                one.walk()
        return section(*both)


@contextmanager
def seeded(data: Path | None, jobs: int) -> Iterator[Catalogue]:
    """A catalogue of so many jobs, on a server of its own."""
    if data:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o755)
    with catalogue(data, SEEDING) as (settings, _):
        engine = open_engine(settings, application="tick")
        with engine.connect() as connection:
            present = connection.scalar(text("SELECT count(*) FROM job"))
        if not present:
            waiting = round(WAITING * jobs)
            seed(engine, past=jobs - waiting, queued=waiting)
        with engine.connect() as connection:
            vacuum = connection.execution_options(isolation_level="AUTOCOMMIT")
            vacuum.execute(text("SET statement_timeout = 0"))
            vacuum.execute(text("ANALYZE"))  # a kept catalogue may have been migrated
            vacuum.execute(text("RESET statement_timeout"))
            size = vacuum.scalar(text("SELECT pg_database_size(current_database())")) or 0
        yield Catalogue(
            jobs=present or jobs,
            bytes=size,
            engine=engine,
            settings=replace(settings, window=WINDOW),
        )
        engine.dispose()


def section(small: Catalogue, large: Catalogue) -> Section:
    rows = [
        (
            part,
            small.most(part, "rows"),
            large.most(part, "rows"),
            small.most(part, "pages"),
            large.most(part, "pages"),
            f"{small.median_ms(part):.1f}",
            f"{large.median_ms(part):.1f}",
            f"{large.median_ms(part) / small.median_ms(part):.2f}",
        )
        for part in ORDER
    ]
    head = ("part", "rows", "at 1 M", "pages", "at 1 M", "ms", "at 1 M", "times")
    whole = large.whole()
    verdict = "; ".join(whole) if whole else "none"
    text = f"""
{large.jobs:,} jobs against {small.jobs:,}, 5 % of them waiting, 2 % of the others failed; six
stages a job, window {WINDOW}. *rows* and *pages* (of 8 kB) are the most that one statement of the
part reads, by EXPLAIN (ANALYZE, BUFFERS); *ms* is the median of a whole transaction by the clock,
Python included, both catalogues in turn, {ROUNDS} rounds. Tables of jobs, stages, artifacts, files,
attempts or events that a statement reads from end to end at {large.jobs:,} jobs: **{verdict}**.
*fill* grows with the batches that have waiting jobs, which are twenty against one here, not with
those that have ended; *finish* with the jobs that wait for the same artifact, up to fifty here.

{table(head, rows)}

A tick is the first five lines, then the relay; *fold* comes every 5 s, *prune* now and
then in the background.
"""
    return Section(
        name="tick",
        title="A tick at a million jobs",
        text=text,
        figures={
            **tick_figures(small),
            "at_a_million": tick_figures(large),
            "bytes_of_job": large.bytes / large.jobs,
        },
    )


def tick_figures(one: Catalogue) -> Mapping[str, float]:
    """Seconds by the clock of each part of a tick."""
    return {part: one.median_ms(part) / 1000 for part in ORDER[:8]}

"""How fast the console's lists answer with a million jobs, over HTTP, field by field.

A console process as `barber up` starts it, one person who asks one thing after the other, each time
with other values. Seconds are by the clock, from the request to the last byte of the page.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from sqlalchemy import Engine, text

from barber.catalogue import people, tokens, workers
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.people_tables import Role
from barber.errors import NotFound
from barber.settings import Settings
from tests.benchmarks.page import Section, table
from tests.benchmarks.tick import LARGE, seeded
from tests.benchmarks.walk import WALKER

ROUNDS = 40  # requests of each kind
BAR_MS = 200.0
BOOT_S = 120.0
Ask = Callable[[random.Random], str]  # chance -> the path


def measure(kept: Path | None = None) -> Section:
    """Seeds a million jobs where they are not there yet, and asks for every page.

    Args:
        kept: A directory in which the seeded catalogue stays for the next time.
    """
    with seeded(kept / f"{LARGE}" if kept else None, LARGE) as large:
        return section(asked_for(large.engine, large.settings), large.jobs)


def asked_for(engine: Engine, settings: Settings) -> Mapping[str, list[float]]:
    """Milliseconds of every request, by what was asked for."""
    dice = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="barber-pages-") as home:
        there = replace(settings, home=Path(home))
        secret = _secret(engine)
        with console(there) as address:
            visitor = Visitor(address, secret)
            asks = everything(engine)
            for ask in asks.values():  # once for nothing: statements are compiled, caches filled
                visitor.get(ask(dice))
            found: dict[str, list[float]] = {name: [] for name in asks}
            for _ in range(ROUNDS):
                with transaction(engine) as session:
                    workers.hello(session, WALKER)
                for name, ask in asks.items():
                    found[name].append(visitor.get(ask(dice)))
    return found


class Visitor:
    """Somebody with a connection and a token."""

    def __init__(self, address: str, secret: str) -> None:
        self._connection = http.client.HTTPConnection(str(urlsplit(address).netloc), timeout=120)
        self._headers = {"Authorization": f"Bearer {secret}", "Accept": "text/html"}

    def get(self, path: str) -> float:
        """Milliseconds until the page was there. Raises AssertionError when it was an error."""
        began = time.monotonic()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took = 1000 * (time.monotonic() - began)
        assert answer.status == 200, f"{path}: {answer.status} {body[:300]!r}"
        return took


@contextmanager
def console(settings: Settings) -> Iterator[str]:
    """A console process; yields its address."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
    log = settings.home / "console.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--port", "0"],
            env={**kept, **settings.to_env(), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        end = time.monotonic() + BOOT_S
        while not (found := re.search(r"console: (\S+)/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "the console does not listen"
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)


def everything(engine: Engine) -> Mapping[str, Ask]:
    """What is asked for, by name; the values differ from request to request."""
    with engine.connect() as connection:

        def column(query: str) -> list[str]:
            return [str(value) for value in connection.scalars(text(query))]

        newest = int(column("SELECT max(id) FROM job")[0])
        batches = int(column("SELECT max(id) FROM batch")[0])
        open_batches = column("SELECT DISTINCT batch_id FROM job WHERE status = 'queued'")
        causes = column("SELECT DISTINCT cause FROM job WHERE cause IS NOT NULL")
        done = column("SELECT id FROM job WHERE id % 997 = 0 AND status = 'succeeded'")
        keys = column("SELECT key FROM stage WHERE id % 9973 = 0 LIMIT 500")

    def jobs(**filters: object) -> str:
        return "/jobs?" + urlencode(filters, doseq=True)

    def results(**filters: object) -> str:
        return "/results?" + urlencode(filters)

    def some_days(dice: random.Random) -> dict[str, str]:
        start = datetime.now(UTC) - timedelta(days=dice.uniform(2, 80))
        return {
            "since": start.strftime("%Y-%m-%dT%H:%M"),
            "until": (start + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M"),
        }

    statuses = ("queued", "succeeded", "failed", "cancelled")
    classes = ("StageError", "oom", "WorkerLost")

    def user(dice: random.Random) -> str:
        return f"user-{dice.randrange(20)}"

    return {
        "overview": lambda _: "/",
        "a batch that waits": lambda d: f"/batches/{d.choice(open_batches)}",
        "a batch of the past": lambda d: f"/batches/{d.randint(1, batches - 20)}",
        "results": lambda _: "/results",
        "results of a batch": lambda d: results(batch=d.randint(1, batches - 20)),
        "results, undecided": lambda d: results(batch=d.randint(1, batches - 20), show="undecided"),
        "results, flagged": lambda d: results(batch=d.randint(1, batches - 20), show="flagged"),
        "results, worst first": lambda d: results(batch=d.randint(1, batches - 20), sort="iou"),
        "results, further down": lambda d: results(after=f"0.0_{d.randint(100, newest)}"),
        "one result": lambda d: f"/results/{d.choice(done)}",
        "list, first page": lambda _: "/jobs",
        "list, any page": lambda d: jobs(before=d.randint(100, newest)),
        "oldest first": lambda d: jobs(sort="oldest", before=d.randint(1, newest)),
        "by priority": lambda d: jobs(sort="priority", before=f"{d.randrange(3)}.{newest // 2}"),
        "by last change": lambda _: jobs(sort="updated"),
        "status": lambda d: jobs(status=d.choice(statuses)),
        "status, two": lambda _: jobs(status=["failed", "cancelled"]),
        "batch": lambda d: jobs(batch=d.randint(1, batches)),
        "person": lambda d: jobs(person=user(d)),
        "failed in": lambda _: jobs(failed_in="align"),
        "failed in, none": lambda _: jobs(failed_in="blend"),
        "error class": lambda d: jobs(error=d.choice(classes)),
        "cause": lambda d: jobs(cause=d.choice(causes)),
        "bundle": lambda _: jobs(bundle="toy"),
        "bundle, none": lambda _: jobs(bundle="no-such-bundle"),
        "priority": lambda d: jobs(priority=d.randrange(3)),
        "time": lambda d: jobs(**some_days(d)),
        "text: a name": lambda d: jobs(text=f"job-{d.randint(1, newest)}"),
        "text: part of all names": lambda _: jobs(text="job-"),
        "text: an error": lambda d: jobs(text=f"at step {d.randrange(300)}"),
        "text: a batch's name": lambda d: jobs(text=f"batch-{d.randint(10, batches)}"),
        "text: a key": lambda d: jobs(text=d.choice(keys)[:12]),
        "text: nothing": lambda d: jobs(text=f"no such words {d.random()}"),
        "status + batch": lambda d: jobs(status="failed", batch=d.randint(1, batches - 20)),
        "status + person + error": lambda d: jobs(
            status="failed", person=user(d), error=d.choice(classes)
        ),
        "stage + error + time": lambda d: jobs(
            failed_in="align", error=d.choice(classes), **some_days(d)
        ),
        "status + text + time": lambda d: jobs(
            status="failed", text="out of memory", **some_days(d)
        ),
        "batch + text": lambda d: jobs(
            batch=d.randint(1, batches), text=f"{d.randrange(100, 999)}"
        ),
        "person + text": lambda d: jobs(person=user(d), text=f"{d.randrange(1000, 9999)}"),
        "cause + person, oldest": lambda d: jobs(
            cause=d.choice(causes), person=user(d), sort="oldest"
        ),
        "status + priority, by change": lambda d: jobs(
            status="failed", priority=d.randrange(3), sort="updated"
        ),
        "all fields at once": lambda d: jobs(
            status="failed",
            failed_in="align",
            error="oom",
            person=user(d),
            priority=d.randrange(3),
            text="memory",
            bundle="toy",
            **some_days(d),
        ),
    }


def section(found: Mapping[str, list[float]], count: int) -> Section:
    rows, slow = [], []
    for name, times in found.items():
        p50, p95, p99 = (_percentile(times, share) for share in (50, 95, 99))
        rows.append((name, f"{p50:.0f}", f"{p95:.0f}", f"{p99:.0f}"))
        if p95 > BAR_MS:
            slow.append(f"{name} ({p95:.0f} ms)")
    every = [each for times in found.values() for each in times]
    words = (
        f"above the bar of {BAR_MS:.0f} ms at p95: {', '.join(slow)}"
        if slow
        else (f"every line is within the bar of {BAR_MS:.0f} ms at p95")
    )
    body = f"""
{count:,} jobs in the catalogue, one console process, one person who asks, {ROUNDS} requests of each
kind with values drawn anew; milliseconds by the clock for the whole page of fifty jobs, over HTTP.
All together: p50 {_percentile(every, 50):.0f}, p95 {_percentile(every, 95):.0f},
p99 {_percentile(every, 99):.0f}; {words}.

{table(("page", "p50, ms", "p95, ms", "p99, ms"), rows)}
"""
    return Section(
        name="pages",
        title="Lists and searches at a million jobs",
        text=body,
        figures={name: statistics.median(times) for name, times in found.items()},
    )


def _percentile(times: list[float], share: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[share - 1]


def _secret(engine: Engine) -> str:
    with transaction(engine) as session:
        try:
            people.find(session, "bench")
        except NotFound:
            people.add(session, "bench", Role.OPERATOR, by="bench")
        return tokens.add(session, "bench", "bench", by="bench")[1]


def main() -> None:
    """On a catalogue that is there already: BARBER_DATABASE_URL."""
    settings = Settings.from_env(os.environ)
    engine = open_engine(settings, application="pages")
    with engine.connect() as connection:
        count = connection.scalar(text("SELECT count(*) FROM job")) or 0
    print(section(asked_for(engine, settings), count).markdown())


if __name__ == "__main__":
    main()

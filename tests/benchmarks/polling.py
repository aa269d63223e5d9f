"""What an open chord costs: its poller looks each second whether the header is over.

The window bounds the stages that are handed out, and with them the chords that are open at once.
All their pollers run on the workers of the fan-in queue, one look at a time each.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celery import Celery

from tests.benchmarks.page import Section, table
from tests.benchmarks.server import catalogue
from tests.benchmarks.system import BROKERS, cpu, nobodys_chord
from tests.support.brokers import broker_of
from tests.support.system import System
from workers.app import create_app
from workers.chords import publish
from workers.delays import declare_delays

BROKER = "RabbitMQ"
OPEN = (0, 10, 20, 400)  # chords whose header nobody works on; the last are too many
SETTLES_S, FOR_S = 5.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What so many open chords showed; each share is of one core."""

    open: int
    looks_per_s: float
    worker: float
    postgres: float
    broker: float


def measure() -> Section:
    """One fan-in worker with more and more open chords; RabbitMQ must be there."""
    return section([with_open(count) for count in OPEN])


def with_open(count: int) -> Shown:
    with (
        catalogue() as (settings, postmaster),
        broker_of(BROKERS[BROKER], settings.home) as broker,
        tempfile.TemporaryDirectory() as logs,
    ):
        toy = replace(settings, broker_url=broker.url)
        with System(toy, Path(logs)) as system:
            system.start_worker("cpu", queues="cpu")
            system.wait_ready("cpu")
            app = create_app(toy)
            declare_delays(app)
            for _ in range(count):
                publish(app, "chord", nobodys_chord())
            time.sleep(SETTLES_S)
            before, looks, began = cpu(system, postmaster), looked(app), time.monotonic()
            time.sleep(FOR_S)
            seconds = time.monotonic() - began
            after, looks = cpu(system, postmaster), looked(app) - looks
            app.close()
    used = {name: (after[name] - before[name]) / seconds for name in before}
    return Shown(
        open=count,
        looks_per_s=looks / seconds,
        worker=used["fan-in worker"],
        postgres=used["Postgres"],
        broker=used["broker"],
    )


def looked(app: Celery) -> int:
    """How often the worker has looked so far."""
    # Without a limit the answer is waited for until the timeout, and the rates are of more seconds.
    found: dict[str, Any] = app.control.inspect(timeout=10.0, limit=1).stats() or {}
    (one,) = found.values()
    return int(one["total"].get("celery.chord_unlock", 0))


def section(shown: list[Shown]) -> Section:
    idle, few, many = shown[0], shown[2], shown[-1]

    def look_s(part: str) -> float:
        return float(getattr(few, part) - getattr(idle, part)) / few.looks_per_s

    def row(s: Shown) -> tuple[object, ...]:
        shares = (s.worker, s.postgres, s.broker)
        return (s.open, f"{s.looks_per_s:.0f}", *(f"{100 * share:.0f} %" for share in shares))

    worker_s, postgres_s, broker_s = (look_s(part) for part in ("worker", "postgres", "broker"))
    head = ("open chords", "looks/s", "fan-in worker", "Postgres", "broker")
    body = f"""
Chords of two branches that nobody works on, one worker for the fan-ins, {BROKER}; shares of one
core over {FOR_S:.0f} s. Each poller was told to look once a second, however many there are; the
dispatcher tells them to look more seldom (docs/scaling.md).

{table(head, [row(s) for s in shown])}

With {few.open} open a look takes {1000 * worker_s:.1f} ms of the worker's CPU,
{1000 * postgres_s:.1f} ms of Postgres's and {1000 * broker_s:.1f} ms of the broker's. With
{many.open} open a fan-in worker looks {many.looks_per_s:.0f} times a second and does nothing else:
it waits for both each time.
"""
    figures = {
        "look_s": worker_s,
        "database_s": postgres_s,
        "broker_s": broker_s,
        "most_looks_per_s": many.looks_per_s,
    }
    return Section(name="polling", title="Open chords", text=body, figures=figures)

"""Live pages: how late two hundred viewers learn of a step, and what that costs the workers.

The lag is counted from the commit of a heartbeat, as a worker writes one each second, until the
last byte of the event that shows it has reached a viewer. Then toy jobs run with and without
viewers in turn, so that the two are compared under the same load of the machine.
"""

from __future__ import annotations

import re
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from barber.catalogue import stages
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.stages import Claim
from barber.chaos.rules import ChaosRules
from dashboard.hub import BEAT_S
from tests.benchmarks.page import Section, table
from tests.benchmarks.server import catalogue
from tests.benchmarks.system import BUSY, STAGES, Shelf, cpu, run, toy_system
from tests.support.brokers import broker_of
from tests.support.builders import Crew, hair_spec, known_portraits, submit
from tests.support.people import token
from tests.support.system import System

VIEWERS = 200
WATCHED = 8  # jobs at work at once
EVERY_S = 1.0  # between two heartbeats of a job, as shipped
FOR_S = 30.0
ROUNDS, JOBS = 4, 12  # of toy jobs with and without viewers, in turn
STEP = re.compile(rb"step (\d+)/")

Event = Callable[[int, bytes, float], None]  # viewer's number, text, monotonic


class Viewers:
    """Streams that are read by one thread, as their browsers would."""

    def __init__(self, console: str, secret: str, pages: Sequence[str], on_event: Event) -> None:
        self._on_event, self._stop = on_event, threading.Event()
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[int, bytes] = {}
        address = urlsplit(console)
        for number, page in enumerate(pages):
            link = socket.create_connection((address.hostname or "", address.port or 80), 60)
            ask = f"GET /live?page={page} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            link.sendall(f"{ask}Authorization: Bearer {secret}\r\n\r\n".encode())
            link.setblocking(False)
            self._selector.register(link, selectors.EVENT_READ, number)
            self._buffers[number] = b""
        self.first: set[int] = set()  # viewers who have had something
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for_all(self, count: int, limit_s: float = 120) -> None:
        until = time.monotonic() + limit_s
        while len(self.first) < count:
            assert time.monotonic() < until, f"{len(self.first)} of {count} viewers see something"
            time.sleep(0.05)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.2):
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                if not data:
                    self._selector.unregister(key.fileobj)
                    continue
                *whole, rest = (self._buffers[key.data] + data).split(b"\n\n")
                self._buffers[key.data] = rest
                for text in whole:
                    if b"event: " in text:
                        self.first.add(key.data)
                        self._on_event(key.data, text, time.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Of one arrangement of viewers."""

    jobs: int
    lags_s: tuple[float, ...]
    cpu_share: float  # of one core, of the console
    rss_mib: float  # more than without viewers


def measure() -> Section:
    spread, together = lag_of(WATCHED), lag_of(1)
    return section((spread, together), slowing())


def lag_of(jobs: int) -> Lag:
    """Two hundred viewers of so many jobs, each of which tells a step each second."""
    with (
        catalogue() as (settings, _),
        tempfile.TemporaryDirectory() as logs,
        System(settings, Path(logs)) as system,
    ):
        console = system.start_console()
        process = psutil.Process(system.processes[0].popen.pid)
        claims = [running(system) for _ in range(jobs)]
        secret = token(system.engine, "viewer", Role.VIEWER)
        told: list[dict[int, float]] = [{} for _ in claims]  # step -> when it was committed
        shown: list[tuple[int, int, float]] = []  # job, step, when

        def on_event(number: int, text: bytes, at: float) -> None:
            steps = [int(step) for step in STEP.findall(text)]
            if steps:
                shown.append((number, max(steps), at))

        pages = [f"/jobs/{claims[n % jobs].job_id}" for n in range(VIEWERS)]
        before = memory(process)
        viewers = Viewers(console, secret, pages, on_event)
        viewers.wait_for_all(VIEWERS)
        busy, began = cpu_of(process), time.monotonic()
        step = 0
        while time.monotonic() - began < FOR_S:
            step += 1
            for number, claim in enumerate(claims):
                beat(system, claim, step)
                told[number][step] = time.monotonic()
                time.sleep(EVERY_S / jobs)
        time.sleep(3.0)
        share = (cpu_of(process) - busy) / (time.monotonic() - began)
        more = memory(process) - before
        viewers.close()
    return Lag(jobs=jobs, lags_s=tuple(lags(told, shown)), cpu_share=share, rss_mib=more)


def lags(
    told: Sequence[dict[int, float]], shown: Sequence[tuple[int, int, float]]
) -> Iterator[float]:
    """From each step's commit until each viewer saw it, or a later one."""
    seen: dict[int, list[tuple[int, float]]] = {}
    for number, step, at in shown:
        seen.setdefault(number, []).append((step, at))
    assert len(seen) == VIEWERS, f"{VIEWERS - len(seen)} viewers saw no step"
    for number, views in seen.items():
        for step, at in told[number % len(told)].items():
            reached = [when for number_shown, when in views if number_shown >= step]
            assert reached, f"viewer {number} never saw step {step}"
            yield max(min(reached) - at, 0.0)


def running(system: System) -> Claim:
    """A job with one stage at work."""
    (job_id,) = submit(system.engine, [hair_spec(*fresh(system))])
    crew = Crew(system.engine, system.settings)
    crew.tick()
    found = next(claim for m in crew.messages() if (claim := crew.claim(m)) is not None)
    assert found.job_id == job_id
    return found


_given = 0


def fresh(system: System) -> list[str]:
    global _given
    _given += 2
    return known_portraits(system.engine, 2, start=_given)


def beat(system: System, claim: Claim, step: int) -> None:
    with transaction(system.engine) as session:
        losses = {"total": 1 / step}
        note = f"step {step}/100000"
        stages.heartbeat(session, claim, lease_s=600, progress=0.5, note=note, losses=losses)


def slowing() -> list[tuple[float, float, float, float]]:
    """Seconds by the clock and of the worker's CPU per stage: alone, and while 200 look on."""
    found = []
    with (
        catalogue() as (settings, postmaster),
        broker_of("filesystem", settings.home) as broker,
        tempfile.TemporaryDirectory() as logs,
    ):
        toy = replace(
            settings, broker_url=broker.url, chaos=ChaosRules(stage_s=0.05).as_text(), **BUSY
        )
        with toy_system(toy, Path(logs), workers=1) as system:
            console = system.start_console()
            secret = token(system.engine, "viewer", Role.VIEWER)
            people = Shelf(known_portraits(system.engine, 4 * JOBS * (2 * ROUNDS + 1)))
            run(system, people, 1)
            for _ in range(ROUNDS):
                alone = timed(system, people, postmaster)
                with looking_on(console, secret):
                    watched = timed(system, people, postmaster)
                found.append((*alone, *watched))
    return found


def timed(system: System, people: Shelf, postmaster: int) -> tuple[float, float]:
    before = cpu(system, postmaster)["worker"]
    _, seconds = run(system, people, JOBS)
    count = JOBS * STAGES
    return seconds / count, (cpu(system, postmaster)["worker"] - before) / count


@contextmanager
def looking_on(console: str, secret: str) -> Iterator[None]:
    """Two hundred viewers: half of the overview, half of the jobs that are about to run."""
    pages = ["/" if n % 2 else "/batches/1" for n in range(VIEWERS)]
    viewers = Viewers(console, secret, pages, lambda *_: None)
    viewers.wait_for_all(VIEWERS)
    yield
    viewers.close()
    # The console learns with the next beat who is gone; until then their places are taken.
    time.sleep(BEAT_S + 2.0)


def memory(process: psutil.Process) -> float:
    """MiB of the console and its children."""
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / 2**20


def cpu_of(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def section(shown: Sequence[Lag], rounds: Sequence[tuple[float, ...]]) -> Section:
    rows = [
        (
            f"{VIEWERS} viewers of {lag.jobs} job{'s' if lag.jobs > 1 else ''}",
            *(f"{np.quantile(lag.lags_s, q):.2f}" for q in (0.5, 0.95, 0.99)),
            f"{max(lag.lags_s):.2f}",
            f"{lag.cpu_share:.2f}",
            f"{lag.rss_mib:.0f}",
        )
        for lag in shown
    ]
    clock = float(np.median([watched / alone for alone, _, watched, _ in rounds]))
    busy = float(np.median([watched / alone for _, alone, _, watched in rounds]))
    head = ("", "lag p50, s", "p95, s", "p99, s", "max, s", "console, cores", "more memory, MiB")
    text = f"""
From the commit of a heartbeat (each job tells one each {EVERY_S:g} s, for {FOR_S:g} s) until a
viewer has the whole event; {sum(len(lag.lags_s) for lag in shown):,} lags. One console process with
its threads as shipped; viewers, heartbeats and Postgres share the machine with it.

{table(head, rows)}

Toy stages of 50 ms, {JOBS} jobs without viewers and {JOBS} with {VIEWERS} of the overview and of
the batch in turn, {ROUNDS} times: with viewers a stage takes {clock:.2f} times as long by the clock
(all on the same cores), and its worker's own CPU time is {busy:.2f} times that without (medians of
the rounds). A worker writes the same, watched or not.
"""
    figures = {
        "lag_p95_s": max(float(np.quantile(lag.lags_s, 0.95)) for lag in shown),
        "clock_ratio": clock,
        "worker_cpu_ratio": busy,
    }
    return Section(name="live", title="Live pages", text=text, figures=figures)

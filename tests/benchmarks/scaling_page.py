"""The words of docs/scaling.md around the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from barber.settings import Settings
from tests.benchmarks.page import table
from tests.benchmarks.scaling import (
    ASSUMED,
    BEATS,
    BROKER,
    BROKERS,
    CORES,
    EVENTS_OF_JOB,
    HARDEST,
    QUICK,
    SHARDS,
    SHIPPED,
    WINDOW,
    Grid,
    capacity_rows,
    open_chords,
    saturation_rows,
    thousand,
)
from tests.benchmarks.simulation import Costs
from workers.chords import LOOKS_PER_S, look_interval_s

(SWEEP_S,) = (f.default for f in fields(Settings) if f.name == "sweep_s")


def words(known: Mapping[str, Any], costs: Costs, grid: Grid) -> str:
    """The page, from the figures and the simulated grid."""
    parts = (
        INTRODUCTION.format(cores=ASSUMED["cores"], commit_ms=1000 * ASSUMED["commit_s"]),
        capacities(costs),
        saturation(grid),
        changes(grid),
        pollers(known),
        history(known),
        validation(known),
        LIMITS,
    )
    return "\n".join(part.strip() + "\n" for part in parts)


INTRODUCTION = """
# Scaling

*Written by `make scaling` from what `make bench` measured (docs/benchmarks.md): a seeded
simulation, `tests/benchmarks/simulation.py`, whose every cost is a measured CPU time. Nobody has
run a thousand workers.*

Assumed, not measured: a server of {cores} cores for Postgres, whose commit waits {commit_ms:.0f} ms
for its disk; 5 ms from the broker to an idle worker; 60 s or 2 s for a stage on a GPU (nobody here
has timed the official sizes on one: put your own seconds between these panels). The first panel's
stages are the shipped bundle's on a CPU, as measured.

![Jobs per hour against workers](pictures/scaling-jobs.svg)
"""


def capacities(costs: Costs) -> str:
    rows = capacity_rows(costs)
    return f"""
## What each part can do

CPU time of a stage on the part, and the stages per second that it ends at. All parts shared two
cores, which raises CPU time (caches): real limits lie higher. The broker is {BROKER}.

{table(("part", "CPU ms per stage", "stages/s at most"), rows)}

A running stage also beats once a second when it has progress to tell:
{1000 * costs.heartbeat_s:.2f} ms of Postgres each, so a thousand workers take
{1000 * costs.heartbeat_s:.1f} cores for that alone.
"""


def saturation(grid: Grid) -> str:
    head = ("stages", "set up", "feeds", "jobs/h at 1,000")
    uses = ("computing", "dispatcher", "Postgres", "broker")
    return f"""
## Where it saturates

*feeds*: the most of the simulated numbers of workers that still compute for 80 % of their time. The
last four columns are shares of the time in use at 1,000 workers; each line adds to the one before
it.

{table((*head, *uses), saturation_rows(grid))}

![What is in use](pictures/scaling-use.svg)
"""


def changes(grid: Grid) -> str:
    gains = [
        (WINDOW, SHIPPED, "`BARBER_WINDOW_PER_WORKER=4`, the default: a branch's align waits in "
         "the window behind its reconstruct, so two are not enough"),
        (QUICK, WINDOW, "`BARBER_TICK_S=0.1`: the relay publishes 32 rows a tick, and a job needs "
         "three ticks"),
        (SHARDS, QUICK, "several dispatchers, each with its share of the batches. **Not built**: "
         "today several may run and one leads. The lock would become one per shard of batch ids"),
        (BROKERS, SHARDS, "RabbitMQ on four cores, its queues spread over them; its CPU time here "
         "is partly what a node does while idle"),
        (BEATS, BROKERS, "`BARBER_PROGRESS_S=5`: fewer heartbeats; the lease needs one in 10 s"),
        (CORES, BEATS, "a larger server for Postgres, with a pooler in front: a worker holds two "
         "or three connections"),
    ]  # fmt: skip
    rows = [
        (what, f"{thousand(grid, before):,.0f}", f"{thousand(grid, after):,.0f}",
         f"{thousand(grid, after) / thousand(grid, before):.1f}")
        for after, before, what in gains
    ]  # fmt: skip
    return f"""
## What to change then

One after the other, at 1,000 workers and {HARDEST}:

{table(("change", "jobs/h before", "after", "times"), rows)}

A change of 1.0 brings nothing while another part, or the workers themselves, are the limit.
"""


def pollers(known: Mapping[str, Any]) -> str:
    look_s, database_s = known["polling"]["look_s"], known["polling"]["database_s"]
    most = known["polling"]["most_looks_per_s"]
    chords = open_chords(WINDOW)
    return f"""
## Open chords

Until its branches are over a chord is looked at by the workers of the fan-in queue:
{1000 * look_s:.1f} ms of such a worker and {1000 * database_s:.1f} ms of Postgres each time,
{most:.0f} looks a second at most (measured, docs/benchmarks.md).
That is not in the tables above. One look a second at all that are open at
1,000 workers with the window as shipped, {chords:,.0f} at most, would take
{chords / most:.0f} fan-in workers; so the dispatcher asks for {LOOKS_PER_S} looks a second from
each live one, at all chords in turn. With one of them such a chord is looked at each
{look_interval_s(chords, 1)} s, with ten each {look_interval_s(chords, 10)} s
(`barber worker --queues cpu`). Its blend waits no longer than `BARBER_SWEEP_S`
({SWEEP_S:.0f} s) and a tick, since the dispatcher's sweep offers it then: above some
{SWEEP_S * LOOKS_PER_S:.0f} open chords a fan-in worker it is the sweep that fans in.
"""


def history(known: Mapping[str, Any]) -> str:
    tick, large = known["tick"], known["tick"]["at_a_million"]
    now, then = (sum(one[p] for p in ("reap", "resend", "sweep", "fill")) for one in (tick, large))
    per_day = 24 * 3600 / 10  # jobs of a plant that ends one in ten seconds
    return f"""
## What grows with the years

A tick takes {then / now:.1f} times as long at a million jobs as at ten thousand, walked through in
turn (docs/benchmarks.md), because twenty batches wait there instead of one; no statement of a tick,
of a stage's life or of the console's pages reads a table of jobs from end to end. What grows is the
disk: an ended job weighs {known["tick"]["bytes_of_job"] / 1000:.0f} kB in the seeded million,
recipes and files not counted. Its {EVENTS_OF_JOB} events go after a day, or 30 when it failed. A
job each ten seconds is {per_day * EVENTS_OF_JOB / 1e6:.1f} million events at a time, deleted in
portions by a look through all of them. At a hundred times that, `event` wants partitions by day: to
drop one is free. It was not built because nothing measured asks for it.
"""


def validation(known: Mapping[str, Any]) -> str:
    seen = known["validation"]
    rows = [
        (workers, f"{real:.2f}", f"{told:.2f}", f"{100 * (told / real - 1):+.0f} %")
        for workers, real, told in zip(seen["workers"], seen["real"], seen["foretold"], strict=True)
    ]
    before, after = seen["overhead_s"]
    apart = max(
        100 * abs(told / real - 1)
        for real, told in zip(seen["real"], seen["foretold"], strict=True)
    )
    return f"""
## Against the real system

Toy stages of half a second, settings as shipped, everything on one machine of two cores. The
simulation was told the overhead of a stage from runs of one worker without any computing
({before:.2f} s before, {after:.2f} s after) and foretold the rest:

{table(("workers", "measured, stages/s", "simulated", "error"), rows)}

Simulated and measured differ by up to {apart:.0f} %. What only a stage that takes time costs (its
heartbeats, sleeps that overshoot on busy cores) was not in what it was told. Its logic is tested
where the answer is known (`tests/unit/benchmarks`): each part as the only limit, heartbeats, and
M/M/2's wait.
"""


LIMITS = """
## What the simulation leaves out

Faults and repeats; priorities and shares (they order the work, not its amount); reuse of artifacts,
which only spares work; previews (up to 256 pixels every four progress writes); the network; the
store's disk. Costs do not rise with load, so queues at a saturated part are as in textbooks, not as
in a server out of memory.
"""

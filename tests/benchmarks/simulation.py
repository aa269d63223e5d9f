"""The queue as a discrete-event simulation: jobs per hour against workers, and what gives way.

The parts are those of the system: a dispatcher that ticks and hands out stages until the window is
full, a relay that publishes so many outbox rows a tick, a broker, workers, and a database whose
cores all of them share. A job is a target, a branch of reconstruct and align per portrait, and a
blend behind them. What each step costs is measured (`figures.json`), never guessed here.

Built on simpy, seeded; the same numbers come out each time.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, Any]
Kind = str

PULSES = 4  # per mean stage: heartbeats of so long are put before the database together


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of each step. `*_s` of the database hold one of its cores."""

    tick_s: float = 0.0  # of the database and the dispatcher, whatever there is to do
    hand_out_s: float = 0.0  # per stage handed out, of both
    publish_s: float = 0.0  # per outbox row, of the dispatcher
    broker_s: float = 0.0  # per message, of the broker itself
    deliver_s: float = 0.0  # from the broker until an idle worker begins to claim
    claim_s: float = 0.0
    finish_s: float = 0.0
    worker_s: float = 0.0  # per stage, of the worker: files, Python, the message's end
    heartbeat_s: float = 0.0
    fan_in_s: float = 0.0  # of the database
    fan_in_wait_s: float = 0.0  # mean; uniform from 0 to twice as long (a poll)
    commit_s: float = 0.0  # a commit's wait for the disk, in which no core is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What is bought, and how it is set."""

    workers: int
    window: int = 8
    pause_s: float = 0.5  # between two ticks
    relay_rows: int = 32  # published in one tick
    cores: int = 8  # of the database's server
    broker_cores: int = 1
    dispatchers: int = 1  # shards: each has its share of the jobs and of the window
    heartbeat_every_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a job is."""

    stage_s: Mapping[Kind, float]  # mean seconds of computing, by kind
    branches: int = 2  # portraits
    aligns: int = 1  # per portrait
    spread: str = "uniform"  # "fixed", "uniform" from 0 to twice the mean, or "exponential"

    @property
    def stages(self) -> int:
        return 2 + self.branches * (1 + self.aligns)

    @property
    def job_s(self) -> float:
        """Computing of a whole job."""
        branch = self.stage_s["reconstruct"] + self.aligns * self.stage_s["align"]
        return self.stage_s["target"] + self.branches * branch + self.stage_s["blend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen after the warm-up; shares of the time from 0 to 1."""

    jobs_per_hour: float
    stages_per_s: float
    workers: float  # computing
    dispatcher: float  # the busiest one
    database: float
    broker: float

    def limit(self) -> str:
        """What is used up: the part that is busiest."""
        shares = {
            "dispatcher": self.dispatcher,
            "Postgres": self.database,
            "broker": self.broker,
            "workers": self.workers,
        }
        return max(shares, key=shares.__getitem__)


@dataclass(slots=True, kw_only=True)
class Job:
    """One job on its way; `todo` is what waits in the catalogue."""

    shard: int
    todo: deque[list[Kind]]  # chains of kinds to hand out together
    open_branches: int = 0


@dataclass(slots=True)
class Shard:
    """One dispatcher with its part of the catalogue."""

    started: deque[Job] = field(default_factory=deque)  # their chord is due
    outbox: deque[list[tuple[Job, list[Kind]]]] = field(default_factory=deque)  # one row each
    asleep: simpy.Event | None = None  # while a tick would find nothing to do
    out: int = 0  # stages handed out and not finished
    busy_s: float = 0.0


class Busy:
    """How long a resource of several servers was held, in seconds of one server."""

    def __init__(self, env: simpy.Environment, servers: int) -> None:
        self.env, self.servers = env, servers
        self.resource = simpy.Resource(env, capacity=servers)
        self.held_s = 0.0

    def hold(self, seconds: float) -> Steps:
        if seconds <= 0:
            return
        with self.resource.request() as turn:
            yield turn
            yield self.env.timeout(seconds)
        self.held_s += seconds


class Model:
    """One run. There is always another job waiting."""

    def __init__(self, plant: Plant, work: Work, costs: Costs, seed: int) -> None:
        self.plant, self.work, self.costs = plant, work, costs
        self.env = simpy.Environment()
        self.dice = random.Random(seed)
        self.database = Busy(self.env, plant.cores)
        self.broker = Busy(self.env, plant.broker_cores)
        self.queue: simpy.Store = simpy.Store(self.env)
        self.shards = [Shard() for _ in range(plant.dispatchers)]
        self.jobs_done = self.stages_done = self.running = 0
        self.computed_s = 0.0
        for number in range(plant.dispatchers):
            self.env.process(self.dispatcher(number))
        for _ in range(plant.workers):
            self.env.process(self.worker())
        if costs.heartbeat_s:
            self.env.process(self.pulse())

    def query(self, seconds: float) -> Steps:
        """A transaction."""
        yield from self.database.hold(seconds)
        if self.costs.commit_s:
            yield self.env.timeout(self.costs.commit_s)

    # The dispatcher

    def dispatcher(self, number: int) -> Steps:
        shard, costs, pause_s = self.shards[number], self.costs, self.plant.pause_s
        while True:
            yield self.env.timeout(pause_s)
            if self.free(shard) <= 0 and not shard.outbox:  # the ticks until then are all alike
                since, shard.asleep = self.env.now, self.env.event()
                yield shard.asleep
                shard.asleep = None
                yield self.env.timeout(pause_s - (self.env.now - since) % pause_s)
            began = self.env.now
            yield from self.query(costs.tick_s)
            yield from self.fill(shard, number)
            yield from self.relay(shard)
            shard.busy_s += self.env.now - began

    def fill(self, shard: Shard, number: int) -> Steps:
        """Hands out stages until the window is full; a job as a whole, those begun first."""
        free = self.free(shard)
        while free > 0:
            job = shard.started.popleft() if shard.started else self.new_job(number)
            row = [(job, chain) for chain in job.todo]
            count = sum(len(chain) for chain in job.todo)
            job.todo = deque()
            free -= count
            shard.out += count
            shard.outbox.append(row)
            yield from self.query(self.costs.hand_out_s * count)

    def free(self, shard: Shard) -> int:
        """Places in its part of the window."""
        return self.plant.window // self.plant.dispatchers - shard.out

    def wake(self, shard: Shard) -> None:
        """Something changed that a tick may act upon."""
        if shard.asleep is not None and not shard.asleep.triggered:
            shard.asleep.succeed()

    def new_job(self, number: int) -> Job:
        return Job(shard=number, todo=deque([["target"]]))

    def relay(self, shard: Shard) -> Steps:
        for _ in range(min(self.plant.relay_rows, len(shard.outbox))):
            row = shard.outbox.popleft()
            yield self.env.timeout(self.costs.publish_s)
            for job, chain in row:
                self.env.process(self.send(job, chain))

    def send(self, job: Job, chain: list[Kind]) -> Steps:
        """One message through the broker."""
        yield from self.broker.hold(self.costs.broker_s)
        yield self.queue.put((job, chain))

    # The workers

    def worker(self) -> Steps:
        costs = self.costs
        while True:
            job, chain = yield self.queue.get()
            if costs.deliver_s:
                yield self.env.timeout(costs.deliver_s)
            yield from self.query(costs.claim_s)
            seconds = self.draw(self.work.stage_s[chain[0]])
            self.running += 1
            yield self.env.timeout(seconds)
            self.running -= 1
            self.computed_s += seconds
            if costs.worker_s:
                yield self.env.timeout(costs.worker_s)
            yield from self.query(costs.finish_s)
            self.finished(job, chain)

    def draw(self, mean_s: float) -> float:
        if self.work.spread == "uniform":
            return self.dice.uniform(0, 2 * mean_s)
        if self.work.spread == "exponential":
            return self.dice.expovariate(1 / mean_s)
        return mean_s

    def finished(self, job: Job, chain: list[Kind]) -> None:
        """What follows from the end of a stage."""
        shard = self.shards[job.shard]
        shard.out -= 1
        self.stages_done += 1
        kind, rest = chain[0], chain[1:]
        if kind == "target":
            branch = ["reconstruct", *["align"] * self.work.aligns]
            job.todo = deque(list(branch) for _ in range(self.work.branches))
            job.open_branches = self.work.branches
            shard.started.append(job)
        elif rest:
            self.env.process(self.send(job, rest))
        elif kind == "blend":
            self.jobs_done += 1
        else:
            job.open_branches -= 1
            if not job.open_branches:
                self.env.process(self.fan_in(job))
        if self.free(shard) > 0:
            self.wake(shard)

    def fan_in(self, job: Job) -> Steps:
        """The chord's body finds the header done and offers the blend; the relay sends it."""
        if self.costs.fan_in_wait_s:
            yield self.env.timeout(self.dice.uniform(0, 2 * self.costs.fan_in_wait_s))
        yield from self.query(self.costs.fan_in_s)
        shard = self.shards[job.shard]
        shard.out += 1
        shard.outbox.append([(job, ["blend"])])
        self.wake(shard)

    def pulse(self) -> Steps:
        """The heartbeats of all running stages, as many at a time as the database has cores."""
        every_s = self.work.job_s / self.work.stages / PULSES
        while True:
            yield self.env.timeout(every_s)
            due = self.running * every_s / self.plant.heartbeat_every_s
            servers = min(self.plant.cores, max(1, round(due)))
            for _ in range(servers):
                self.env.process(self.database.hold(due * self.costs.heartbeat_s / servers))


def simulate(
    plant: Plant, work: Work, costs: Costs, *, stages: int = 6_000, seed: int = 1
) -> Outcome:
    """Runs the plant until it has done so many stages, half of them as warm-up.

    Args:
        plant: What there is.
        work: What a job is.
        costs: What each step takes.
        stages: To finish; at least twelve per worker and three per place in the window are, so that
            what the beginning piled up is gone in the second half.
        seed: Of the durations.
    """
    model = Model(plant, work, costs, seed)
    wanted = max(stages, 12 * plant.workers, 3 * plant.window)
    _run_until(model, wanted // 2)
    start = model.env.now
    before = (model.jobs_done, model.stages_done, model.computed_s)
    held = (model.database.held_s, model.broker.held_s, [s.busy_s for s in model.shards])
    _run_until(model, wanted)
    took = model.env.now - start
    return Outcome(
        jobs_per_hour=3600 * (model.stages_done - before[1]) / work.stages / took,
        stages_per_s=(model.stages_done - before[1]) / took,
        workers=(model.computed_s - before[2]) / took / plant.workers,
        dispatcher=max(
            (shard.busy_s - was) / took for shard, was in zip(model.shards, held[2], strict=True)
        ),
        database=(model.database.held_s - held[0]) / took / plant.cores,
        broker=(model.broker.held_s - held[1]) / took / plant.broker_cores,
    )


def _run_until(model: Model, stages: int) -> None:
    while model.stages_done < stages:
        model.env.step()

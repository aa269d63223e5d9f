"""Through every statement that runs all day: tick, claims, heartbeats, ends of stages, the pages.

One thread does what dispatcher, workers and console do, on whatever catalogue it is given; its
queue must hold at least ten jobs of one reference.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from barber.catalogue import (
    activity,
    counts,
    dispatch,
    events,
    findings,
    gallery,
    garbage,
    jobs,
    outbox,
    stages,
    workers,
)
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Wanted
from barber.catalogue.garbage import Keep
from barber.catalogue.stages import Claim
from barber.catalogue.status import JobStatus
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST
from barber.settings import Settings
from tests.benchmarks.plans import Onlooker
from tests.support.builders import break_down, succeed
from workers.dispatcher import STEPS

Message = dict[str, Any]

WALKER = workers.Introduction(
    name="walker",
    device="cpu",
    queues=["gpu"],
    pid=1,
    versions={},
    bundle=TOY_DIGEST,
    bundle_name=TOY_BUNDLE,
)


class Walk:
    """Everybody's statements in one thread."""

    def __init__(self, engine: Engine, settings: Settings, onlooker: Onlooker) -> None:
        self.engine, self.settings, self.onlooker = engine, settings, onlooker
        self.seconds: dict[str, list[float]] = defaultdict(list)  # of each transaction, by part

    def do(self, part: str, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One transaction of a part of the system."""
        began = time.monotonic()
        try:
            with transaction(self.engine) as session, self.onlooker.part(part):
                return action(session, *arguments, **options)
        finally:
            self.seconds[part].append(time.monotonic() - began)

    def tick(self) -> None:
        with transaction(self.engine) as session:
            workers.hello(session, WALKER)  # nothing is handed out for nobody
        for _, step in STEPS:
            self.do(step.__name__, step, self.settings)

    def relay(self) -> list[Message]:
        """Takes the outbox's rows, as the relay does; branches one after the other."""

        def take(session: Any) -> list[outbox.OutboxRow]:
            rows = outbox.take(session, 32)
            dispatch.open_chords(session)
            outbox.done(session, [row.id for row in rows])
            return rows

        rows = self.do("relay", take)
        found: list[Message] = []
        for row in rows:
            for branch in row.payload.get("branches", [[row.payload]]):
                found += branch
        return found

    def claim(self, message: Message) -> Claim | None:
        ids = message["stage_id"], message["generation"]
        options = {"worker": "walker", "device": "cpu", "lease_s": self.settings.lease_s}
        return self.do("claim", stages.claim, *ids, **options)  # type: ignore[no-any-return]

    def work(self, rounds: int) -> None:
        """Ticks and finishes what comes."""
        for _ in range(rounds):
            self.tick()
            for message in self.relay():
                if claim := self.claim(message):
                    self.do("heartbeat", stages.heartbeat, claim, lease_s=30, progress=0.5)
                    self.do("finish", succeed, claim)

    def mishaps(self) -> None:
        """An error, a stage handed back, a lost worker, a lost message, a silent chord."""
        self.tick()
        held = [claim for message in self.relay() if (claim := self.claim(message))]
        broken, returned, lost, *rest = held
        self.do("preview", stages.record_preview, broken, step=1, png=b"\x89PNG")
        self.do("fail", break_down(final=False), broken)
        self.do("hand back", stages.hand_back, returned, "the worker leaves")
        self._write("UPDATE stage SET lease_until = now() - interval '1 hour' WHERE id = :id", lost)
        for claim in rest:
            self.do("finish", succeed, claim)
        self.tick()  # reaps, and hands out more, whose messages get lost
        self._write("DELETE FROM outbox")
        self._write(
            "UPDATE stage SET ready_at = ready_at - interval '1 day' WHERE status = 'dispatched'"
            " OR kind = 'blend' AND status = 'pending' AND ready_at IS NOT NULL"
        )
        self.tick()

    def fan_in(self) -> None:
        """The chord's body of a job that runs."""
        job_id = self.scalar("SELECT max(id) FROM job WHERE status = 'running'")
        self.do("fan in", dispatch.offer_blend, job_id, 0)

    def read(self) -> None:
        """The pages of the console and the lists of the command line."""
        batch_id = self.scalar("SELECT max(batch_id) FROM job WHERE status = 'queued'")
        old_batch = self.scalar("SELECT min(id) FROM batch")
        job_id = self.scalar("SELECT min(id) FROM job WHERE status = 'succeeded'")
        self.do("overview", jobs.batches, limit=51)
        self.do("overview", counts.totals)
        self.do("overview", activity.running)
        self.do("overview", workers.listed)
        self.do("overview", jobs.paused_all)
        for batch in (batch_id, old_batch):
            self.do("batch page", jobs.batch, batch)
            self.do("batch page", findings.warned, batch)
            self.do("job list", jobs.jobs, batch_id=batch, limit=51)
        for status in JobStatus:
            self.do("job list", jobs.jobs, status=status, limit=51)
            self.do("job list", jobs.jobs, batch_id=old_batch, status=status, limit=51)
        self.do("job list", jobs.jobs, limit=51)
        self.do("job list", jobs.jobs, limit=51, before=job_id + 60)
        self.do("job page", jobs.job, job_id)
        self.gallery(old_batch, job_id)
        self.do("health", outbox.backlog)
        self.do("health", workers.unserved)
        self.do("event feed", events.since, self.do("event feed", events.latest_id) - 20)

    def gallery(self, batch_id: int, job_id: int) -> None:
        """The pages of results: all of them, one batch, one result; short pages, for of a small
        table the planner reads all sooner than sixty rows. What is sorted or counted in a
        batch reads all of that batch, whatever else there is; `pages` has its times.
        """
        every, mine = Wanted(), Wanted(owner=1)
        _, following = self.do("gallery", gallery.page, every, limit=10)
        self.do("gallery", gallery.page, every, limit=10, after=following)
        self.do("gallery", gallery.page, mine, limit=10)
        self.do("gallery", gallery.page, Wanted(batch_id=batch_id), limit=10)
        self.do("result page", gallery.item, job_id, owner=None)
        self.do("result page", gallery.following, every, job_id)

    def scalar(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(text(query))

    def _write(self, statement: str, claim: Claim | None = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), {"id": claim.stage_id} if claim else {})

    def everything(self) -> None:
        """All of it, in an order in which each part has something to do."""
        self.work(2)
        self.mishaps()
        self.fan_in()
        self.work(3)
        self.do("fold", counts.fold)
        keep = Keep(days=30)
        self.do("prune", lambda session: garbage.collect_rows(session, keep))
        self.do("prune", lambda session: garbage.collect_events(session, keep))
        self.read()

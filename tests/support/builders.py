"""Portraits, specs and batches for tests, and a crew that works on the catalogue without a broker.

The crew calls what dispatcher and workers call, in one thread, and lets a test choose how each
stage ends: every state of a job can be reached in milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from barber.catalogue import deadlines, dispatch, jobs, outbox, portraits, stages, workers
from barber.catalogue.db import transaction
from barber.catalogue.jobs import JobView, NewJob
from barber.catalogue.stages import Claim
from barber.catalogue.store import Store, StoredFile
from barber.catalogue.tables import Job, Portrait
from barber.labels import Region
from barber.pixels import encode_png
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey, RegionEdit

BUNDLE = "b" * 64
SIDE = 8

Message = dict[str, Any]  # {"kind", "stage_id", "generation"}
Ending = Callable[[Session, Claim], object]


def picture(number: int, side: int = SIDE) -> bytes:
    """A PNG of its own colour for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_png(pixels)


def register_portraits(engine: Engine, store: Store, count: int) -> list[PortraitKey]:
    with transaction(engine) as session:
        return [
            portraits.register(session, store, picture(n), size=SIDE, name=f"portrait-{n}.png")
            for n in range(count)
        ]


def known_portraits(engine: Engine, count: int, *, start: int = 0) -> list[PortraitKey]:
    """Portraits that the catalogue knows, without files: enough wherever no pixel is looked at."""
    numbers = range(start, start + count)
    keys = [PortraitKey(hashlib.sha256(str(n).encode()).hexdigest()) for n in numbers]
    sizes = {"width": SIDE, "height": SIDE, "side_px": SIDE}
    rows = [
        {"sha256": key, "file_sha256": key, "name": f"portrait-{n}.png", **sizes}
        for n, key in enumerate(keys)
    ]
    with transaction(engine) as session:
        session.execute(insert(Portrait), rows)
    return keys


def hair_spec(
    identity: PortraitKey,
    structure: PortraitKey,
    appearance: PortraitKey | None = None,
    *,
    seed: int = 0,
) -> JobSpec:
    """A job that gives `identity` the hair of `structure`, in the colour of `appearance`."""
    region = RegionEdit(
        labels=(Region.HAIR,), structure=structure, appearance=appearance or structure
    )
    return JobSpec(identity=identity, regions=(region,), bundle=BUNDLE, seed=seed)


def submit(engine: Engine, specs: Iterable[JobSpec], **options: Any) -> list[int]:
    """Submits one batch with a job per spec; returns the ids of its jobs."""
    new = [NewJob(name=f"job-{n}", spec=spec) for n, spec in enumerate(specs)]
    given = {"name": "batch", "bundle_name": "tiny", **options}
    priority = given.pop("priority", 0)
    new = [replace(job, priority=priority) for job in new]
    with transaction(engine) as session:
        batch_id = jobs.submit(session, jobs=new, **given)
        rows = jobs.jobs(session, batch_id=batch_id, limit=len(new) or 1)
    return [row.id for row in reversed(rows)]


def succeed(session: Session, claim: Claim) -> bool:
    """Finishes a stage with a made-up file; the digest is the artifact's key."""
    file = StoredFile(sha256=claim.planned.key, size_bytes=1, media_type="image/png")
    return stages.finish(session, claim, files={"image": file}, recipe={"made": "up"})


def break_down(message: str = "it broke", *, final: bool = True) -> Ending:
    """An ending in which the stage raised."""

    def ending(session: Session, claim: Claim) -> bool:
        return stages.fail(
            session, claim, error_class="StageError", message=message, final=final, backoff_s=0
        )

    return ending


def staff(session: Session) -> None:
    """Enters a worker for every bundle that jobs name, so that their stages are handed out."""
    unserved = select(Job.bundle).where(~workers.holds(Job.bundle)).distinct()
    for bundle in filter(None, session.scalars(unserved).all()):
        workers.hello(
            session,
            workers.Introduction(
                name=f"crew-{bundle[:4]}",
                device="cpu",
                queues=["gpu"],
                pid=1,
                versions={},
                bundle=bundle,
                bundle_name="tiny",
            ),
        )


@dataclass
class Crew:
    """A dispatcher, a relay and a worker in one thread."""

    engine: Engine
    settings: Settings
    ran: list[str] = field(default_factory=list)  # kinds of the stages that were claimed, in order

    def tick(self) -> int:
        with transaction(self.engine) as session:
            assert dispatch.lead(session)
            staff(session)
            dispatch.reap(session, self.settings)
            deadlines.expire(session, self.settings)
            dispatch.resend(session, self.settings)
            dispatch.sweep(session, self.settings)
            return dispatch.fill(session, self.settings)

    def published(self) -> list[outbox.OutboxRow]:
        """Takes everything out of the outbox, as the relay does."""
        with transaction(self.engine) as session:
            rows = outbox.take(session, 1000)
            outbox.done(session, [row.id for row in rows])
        return rows

    def messages(self) -> list[Message]:
        """What the broker would deliver now, branches one after the other."""
        found: list[Message] = []
        for row in self.published():
            branches = row.payload.get("branches", [[row.payload]])
            found += [message for branch in branches for message in branch]
        return found

    def claim(self, message: Message, worker: str = "w1") -> Claim | None:
        with transaction(self.engine) as session:
            return stages.claim(
                session,
                message["stage_id"],
                message["generation"],
                worker=worker,
                device="cpu",
                lease_s=self.settings.lease_s,
            )

    def run(self, message: Message, ending: Ending = succeed) -> object:
        """Claims and ends one stage; None when there was nothing to do."""
        claim = self.claim(message)
        if claim is None:
            return None
        self.ran.append(claim.planned.kind)
        with transaction(self.engine) as session:
            return ending(session, claim)

    def work(self, endings: dict[str, Ending] | None = None, *, rounds: int = 30) -> None:
        """Ticks and runs whatever comes until nothing does; `endings` are by kind of stage."""
        for _ in range(rounds):
            self.tick()
            messages = self.messages()
            if not messages:
                return
            for message in messages:
                self.run(message, (endings or {}).get(message["kind"], succeed))
        raise AssertionError(f"still busy after {rounds} rounds")


def view(engine: Engine, job_id: int) -> JobView:
    """One job as the catalogue shows it now."""
    with transaction(engine) as session:
        return jobs.job(session, job_id)

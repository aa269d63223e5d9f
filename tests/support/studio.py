"""A running toy system on any broker: dispatcher, worker, somebody who submits, and its enemies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from barber.catalogue import jobs, outbox
from barber.catalogue import workers as roster
from barber.catalogue.db import transaction
from barber.chaos.rules import TOY_DIGEST
from tests.support.brokers import Broker, broker_of
from tests.support.system import Process, System
from tests.support.toys import ToyClient, toy_settings
from workers.app import create_app, stage_queue

STAGES = stage_queue(TOY_DIGEST)


@dataclass
class Studio:
    """A running system with its broker and somebody who submits."""

    broker: Broker
    system: System
    client: ToyClient
    app: Celery
    worker: Process
    dispatcher: Process

    def arm(self, point: str) -> Path:
        """Lets a failpoint fire once more; returns the marker that shows that it did."""
        marker = self.system.settings.home / "failpoints" / point
        marker.unlink(missing_ok=True)
        return marker

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody takes stages from the broker for the time being."""
        workers = [p for p in self.system.processes if p.running and p is not self.dispatcher]
        wait: dict[str, Any] = {"reply": True, "timeout": 30, "limit": len(workers)}
        assert len(self.app.control.cancel_consumer(STAGES, **wait)) == len(workers)
        try:
            yield
        finally:
            assert len(self.app.control.add_consumer(STAGES, **wait)) == len(workers)

    def messages(self, job_id: int) -> list[dict[str, Any]]:
        """The messages that the catalogue last sent about a job's stages."""
        with transaction(self.system.engine) as session:
            return [
                {"kind": s.kind, "stage_id": s.id, "generation": s.generation, "bundle": TOY_DIGEST}
                for s in jobs.job(session, job_id).stages
            ]

    def until_dispatched(self, job_id: int) -> None:
        """Waits until the broker has the job's first messages."""

        def sent() -> bool:
            with transaction(self.system.engine) as session:
                waiting = outbox.backlog(session).count
            return not waiting and any(
                s.status == "dispatched" for s in self.system.job(job_id).stages
            )

        self.system.wait(sent, "the job's messages to reach the broker")

    def child(self) -> int:
        """The process that runs the worker's stages."""
        with transaction(self.system.engine) as session:
            listed = roster.listed(session)
        return next(row.pid for row in listed if row.name == self.worker.name)

    def new_worker(self) -> None:
        self.worker = self.system.start_worker(f"works-{len(self.system.processes)}")


def disarmed(home: Path, points: str) -> str:
    """The failpoints, none of which fires until a test arms it."""
    marks = home / "failpoints"
    marks.mkdir(parents=True)
    for point in points.split(","):
        (marks / "-".join(point.split(":")[:2])).touch()
    return points


@contextmanager
def running_studio(broker: str, url: str, home: Path, **changes: Any) -> Iterator[Studio]:
    """A studio on a broker of that name; everything ends with it."""
    with broker_of(broker, home) as server:
        settings = toy_settings(url, home, broker_url=server.url, **changes)
        with System(settings, home.parent / "logs") as system:
            app = create_app(settings)
            dispatcher, worker = system.start_dispatcher(), system.start_worker("works")
            client = ToyClient(system)
            system.wait_ready("works")
            yield Studio(server, system, client, app, worker, dispatcher)

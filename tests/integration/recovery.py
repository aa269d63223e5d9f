"""`python -m tests.integration.recovery`: how long the queue takes to get over each fault.

Toy stages on the filesystem broker, a dispatcher and two workers as processes, the settings as they
are in production unless `--test` is given. Each fault is caused once; the time runs from the fault
until a worker has the stage again. `--write FILE` puts the table between the file's two marks.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from barber.catalogue import migrate
from barber.catalogue import workers as roster
from barber.catalogue.db import transaction
from barber.catalogue.jobs import JobView, StageView
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres
from tests.support.brokers import lose
from tests.support.studio import STAGES, Studio, disarmed, running_studio
from tests.support.system import outcomes
from tests.support.toys import BRISK

POINTS = "reconstruct:mid:stop,align:mid:stop,blend:mid:stop,target:mid:stop"
SLACK_S = 60.0
MARKS = ("<!-- recovery -->", "<!-- end of recovery -->")
NAMES = ("tick_s", "lease_s", "grace_s", "sweep_s", "backoff_s", "progress_s", "window")


@dataclass(frozen=True, slots=True)
class Measured:
    """One fault and the seconds that it cost."""

    row: str  # of the failure matrix
    fault: str
    bound: str  # what it should depend on, in words
    seconds: float


Measure = Callable[[Studio, EmbeddedPostgres], Measured]


def begin(studio: Studio, kind: str) -> tuple[int, StageView]:
    """Submits a job and waits until one of its stages stands still in the middle."""
    marker = studio.arm(f"{kind}-mid")
    (job_id,) = studio.client.submit(studio.client.fresh(0, 1), max_losses=50)
    studio.system.wait(marker.exists, f"a {kind} to be in the middle")

    def held() -> StageView | None:
        """Another of the same kind may run at this moment: this one's process is stopped."""
        for stage in studio.system.job(job_id).stages:
            if stage.kind == kind and stage.status == "running" and stage.worker:
                child = psutil.Process(child_of(studio, stage.worker))
                if child.status() == psutil.STATUS_STOPPED:
                    return stage
        return None

    return job_id, studio.system.wait(held, "the stage to stand still")


def until(studio: Studio, fact: Callable[[], object]) -> float:
    """Seconds until a fact."""
    began = time.monotonic()
    studio.system.wait(fact, "the recovery", 10 * SLACK_S)
    return time.monotonic() - began


def claimed_again(studio: Studio, job_id: int, stage_id: int, attempts: int) -> bool:
    job = studio.system.job(job_id)
    return any(s.id == stage_id and len(s.attempts) > attempts for s in job.stages)


def child_of(studio: Studio, worker: str) -> int:
    with transaction(studio.system.engine) as session:
        return next(row.pid for row in roster.listed(session) if row.name == worker)


def finished(studio: Studio, job_id: int) -> JobView:
    (job,) = studio.system.wait_for_jobs([job_id], timeout_s=10 * SLACK_S)
    ends = outcomes(job)
    assert job.row.status == "succeeded", job.row.error
    assert all(end.count("succeeded") <= 1 for end in ends.values()), ends
    return job


def killed_child(studio: Studio, _: EmbeddedPostgres) -> Measured:
    job_id, stage = begin(studio, "reconstruct")
    assert stage.worker is not None
    os.kill(child_of(studio, stage.worker), signal.SIGKILL)
    seconds = until(studio, lambda: claimed_again(studio, job_id, stage.id, 1))
    finished(studio, job_id)
    return Measured("3", "a pool child is killed", "lease + tick", seconds)


def killed_worker(studio: Studio, _: EmbeddedPostgres) -> Measured:
    job_id, stage = begin(studio, "align")
    next(p for p in studio.system.processes if p.name == stage.worker and p.running).kill()
    seconds = until(studio, lambda: claimed_again(studio, job_id, stage.id, 1))
    finished(studio, job_id)
    studio.system.start_worker(stage.worker)
    return Measured("4", "a whole worker is killed, another is there", "lease + tick", seconds)


def stalled_worker(studio: Studio, _: EmbeddedPostgres) -> Measured:
    job_id, stage = begin(studio, "target")
    child = child_of(studio, stage.worker)
    seconds = until(studio, lambda: claimed_again(studio, job_id, stage.id, 1))
    finished(studio, job_id)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
    return Measured("5", "a worker stands still", "lease + tick", seconds)


def lost_message(studio: Studio, _: EmbeddedPostgres) -> Measured:
    with studio.held():
        (job_id,) = studio.client.submit(studio.client.fresh(2, 3))
        studio.until_dispatched(job_id)
        assert lose(studio.app, STAGES) >= 1
    target = studio.system.job(job_id).stages[0]
    seconds = until(studio, lambda: claimed_again(studio, job_id, target.id, 0))
    finished(studio, job_id)
    return Measured("6", "a message is lost", "grace + tick", seconds)


def absent_broker(studio: Studio, _: EmbeddedPostgres) -> Measured:
    studio.broker.kill()
    (job_id,) = studio.client.submit(studio.client.fresh(4, 5))
    time.sleep(10)
    studio.broker.start()
    target = studio.system.job(job_id).stages[0]
    seconds = until(studio, lambda: claimed_again(studio, job_id, target.id, 0))
    finished(studio, job_id)
    return Measured("8", "the broker was away for 10 s, and is back", "outbox retry", seconds)


def killed_dispatcher(studio: Studio, _: EmbeddedPostgres) -> Measured:
    studio.dispatcher.kill()
    (job_id,) = studio.client.submit(studio.client.fresh(6, 7))
    studio.dispatcher = studio.system.start_dispatcher()
    target = studio.system.job(job_id).stages[0]
    seconds = until(studio, lambda: claimed_again(studio, job_id, target.id, 0))
    finished(studio, job_id)
    return Measured("12", "the dispatcher is killed, another one starts", "its start", seconds)


def killed_database(studio: Studio, server: EmbeddedPostgres) -> Measured:
    job_id, stage = begin(studio, "reconstruct")
    assert server.process is not None
    server.process.kill()
    server.process.wait(timeout=60)
    server.restart()
    studio.system.engine.dispose()
    os.kill(child_of(studio, stage.worker), signal.SIGCONT)
    began = time.monotonic()
    finished(studio, job_id)
    seconds = time.monotonic() - began
    return Measured("14", "Postgres is killed, and is back", "reconnection", seconds)


MEASURES: tuple[Measure, ...] = (
    killed_child,
    killed_worker,
    stalled_worker,
    lost_message,
    absent_broker,
    killed_dispatcher,
    killed_database,
)


def measure(changes: dict[str, Any]) -> list[Measured]:
    """Causes every fault once, in turn, on one system."""
    found = []
    with tempfile.TemporaryDirectory(prefix="barber-recovery-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        home = Path(folder) / "home"
        points = disarmed(home, POINTS)
        with EmbeddedPostgres(Path(folder) / "data") as server:
            migrate.upgrade(server.url)
            with running_studio(
                "filesystem", server.url, home, failpoint=points, **changes
            ) as studio:
                studio.system.start_worker("helps")
                studio.system.wait_ready("helps")
                for one in MEASURES:
                    found.append(one(studio, server))
                    print(f"{found[-1].fault:45} {found[-1].seconds:6.1f} s", flush=True)
    return found


def table(found: list[Measured], settings: dict[str, Any]) -> str:
    """The table as Markdown."""
    said = ", ".join(f"{name} {settings[name]:g}" for name in ("tick_s", "lease_s", "grace_s"))
    rows = [f"| {m.row} | {m.fault} | {m.bound} | {m.seconds:.1f} |" for m in found]
    head = ["| row | fault | decided by | seconds |", "| --- | --- | --- | --- |"]
    return "\n".join([f"Measured once each, with {said}:", "", *head, *rows])


def write(path: Path, text: str) -> None:
    """Puts the text between the marks of the file."""
    before, _, rest = path.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", action="store_true", help="the short times of the tests")
    parser.add_argument("--write", type=Path, help="a file with the two marks")
    options = parser.parse_args()
    fields = Settings.__dataclass_fields__
    settings = dict(BRISK) if options.test else {name: fields[name].default for name in NAMES}
    text = table(measure(settings), settings)
    print(text)
    if options.write:
        write(options.write, text)


if __name__ == "__main__":
    main()

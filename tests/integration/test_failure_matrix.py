"""Faults of the failure matrix on real processes: killed, poisoned, robbed, out of time and disk.

Toy stages, the filesystem broker. What lies behind each number is docs/failure-matrix.md; the
same faults on the other brokers are in test_brokers, those with real networks in test_workers_*.
"""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from barber.catalogue import dead, jobs, migrate
from barber.catalogue import workers as roster
from barber.catalogue.db import transaction
from barber.chaos.rules import TOY_DIGEST, ChaosRules
from barber.spec import BlendParams
from barber.standalone.postgres import EmbeddedPostgres
from tests.support.builders import staff
from tests.support.invariants import offences
from tests.support.postgres import fresh_database
from tests.support.studio import disarmed
from tests.support.system import System, outcomes
from tests.support.toys import ToyClient, toy_settings
from workers import chords
from workers.app import create_app
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.integration

THREADS = 16  # of the console, by default
POINTS = (
    "align:mid:error,blend:mid:poison,reconstruct:before_finish,"
    "dispatcher:published,dispatcher:in_tick"
)


@contextmanager
def toys(folder: Path, url: str, **changes: object) -> Iterator[tuple[System, ToyClient]]:
    """A system without any process yet, and a client; no failpoint fires until it is armed."""
    points = disarmed(folder / "home", POINTS)
    settings = toy_settings(url, folder / "home", failpoint=points, **changes)
    with System(settings, folder / "logs") as system:
        yield system, ToyClient(system)


@pytest.fixture(scope="module")
def running(
    server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, ToyClient]]:
    """A dispatcher and a worker that serve all tests which leave both alive."""
    folder = tmp_path_factory.mktemp("matrix")
    with fresh_database(server_url) as url, toys(folder, url) as (system, client):
        system.start_dispatcher()
        system.start_worker()
        system.wait_ready("worker")
        yield system, client
        assert offences(system.engine) == []


@pytest.fixture
def system(running: tuple[System, ToyClient]) -> System:
    return running[0]


@pytest.fixture
def client(running: tuple[System, ToyClient]) -> ToyClient:
    return running[1]


def mark(system: System, point: str) -> Path:
    return system.settings.home / "failpoints" / point


def succeeded_once(views: list[jobs.JobView]) -> bool:
    ends = [ends for job in views for ends in outcomes(job).values()]
    return {job.row.status.value for job in views} == {"succeeded"} and all(
        e.count("succeeded") <= 1 for e in ends
    )


@pytest.mark.matrix(1)
def test_an_error_is_tried_again_until_the_budget_is_spent(
    system: System, client: ToyClient
) -> None:
    mark(system, "align-mid").unlink()
    (job,) = client.run(client.fresh(0, 1))
    assert job.row.status == "succeeded"
    (hit,) = [stage for stage in job.stages if stage.errors]
    assert [str(a.outcome) for a in hit.attempts] == ["error", "succeeded"]
    assert "failpoint align:mid" in hit.attempts[0].error

    mark(system, "align-mid").unlink()
    (spent,) = client.run(client.fresh(0, 1), max_errors=1)
    assert (spent.row.status, spent.row.error_class) == ("failed", "io")


@pytest.mark.matrix(11)
def test_a_chord_whose_results_expire_is_swept_and_its_poller_gives_up(
    system: System, client: ToyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = client.submit(client.fresh(1, 2))
    dispatcher, worker = system.processes[0], system.processes[1]
    swept = dispatcher.log.read_text().count("by the sweep")

    def expire() -> None:
        with system.engine.begin() as connection:
            if connection.scalar(text("SELECT to_regclass('celery_taskmeta')")):
                connection.execute(text("DELETE FROM celery_taskmeta"))

    def ended() -> bool:
        expire()
        return system.job(job_id).row.status.final

    system.wait(ended, "the job to end without results")
    assert succeeded_once([system.job(job_id)])
    assert dispatcher.log.read_text().count("by the sweep") > swept

    monkeypatch.setattr(chords, "LOOKS_FOR_S", 1)
    nobody = {"kind": "align", "stage_id": 10**12, "generation": 1}
    payload = {
        "job_id": job_id,
        "generation": 1,
        "branches": [[nobody], [nobody]],
        "bundle": TOY_DIGEST,
    }
    chords.publish(create_app(system.settings), "chord", payload)

    def given_up() -> bool:
        expire()
        return "MaxRetriesExceeded" in worker.log.read_text()

    system.wait(given_up, "the chord's poller to give up")


@pytest.mark.matrix(15)
def test_twenty_jobs_wait_for_a_builder_that_dies_and_one_more_builds(
    system: System, client: ToyClient
) -> None:
    mark(system, "reconstruct-before_finish").unlink()
    spec = client.fresh(2, 3)
    blends = [replace(spec.params, blend=BlendParams(steps=n)) for n in range(1, 21)]
    specs = [replace(spec, params=params) for params in blends]
    views = client.run(*specs)

    assert succeeded_once(views)
    runs = Counter(
        (stage.key, str(attempt.outcome))
        for job in views
        for stage in job.stages
        for attempt in stage.attempts
    )
    assert {count for (_, outcome), count in runs.items() if outcome == "succeeded"} == {1}
    assert sum(count for (_, outcome), count in runs.items() if outcome == "lost") == 1


@pytest.mark.matrix(20)
def test_a_stage_that_kills_every_process_fails_with_a_reason(
    system: System, client: ToyClient
) -> None:
    mark(system, "blend-mid").unlink()
    try:
        (job,) = client.run(client.fresh(4, 5), max_losses=2)
    finally:
        mark(system, "blend-mid").touch()
    assert (job.row.status, job.row.error_class) == ("failed", "WorkerLost")
    assert outcomes(job)["blend", 0] == ["lost", "lost"]
    assert "stopped without a word; that was time 2" in job.row.error

    with transaction(system.engine) as session:
        jobs.retry(session, job.row.id, by="tests")
    (again,) = system.wait_for_jobs([job.row.id])
    assert again.row.status == "succeeded"


@pytest.mark.matrix(23)
def test_a_full_disk_is_an_error_of_its_own_that_waits_for_room(
    system: System, client: ToyClient
) -> None:
    """Every write of the worker fails as on a full disk: half a file stays nowhere."""
    with transaction(system.engine) as session:
        pid = next(row.pid for row in roster.listed(session) if row.name == "worker")
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        (job_id,) = client.submit(client.fresh(5, 6), max_errors=100)
        system.wait(lambda: "error" in flat(system, job_id), "a write to fail")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    (job,) = system.wait_for_jobs([job_id])
    assert succeeded_once([job])
    errors = {a.error_class for s in job.stages for a in s.attempts if str(a.outcome) == "error"}
    assert errors == {"io"}
    assert list(system.settings.store_dir.glob("unfinished/*")) == []


def flat(system: System, job_id: int) -> list[str]:
    return [end for ends in outcomes(system.job(job_id)).values() for end in ends]


@pytest.mark.matrix(23)
def test_nothing_is_handed_out_onto_a_full_disk(
    system: System, client: ToyClient, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with fresh_database(server_url) as url:
        tight = replace(system.settings, database_url=url, min_free_mb=9e8, failpoint="")
        with System(tight, system.logs) as small:
            client = ToyClient(small)
            (job_id,) = client.submit(client.fresh(0, 1))
            with transaction(small.engine) as session:
                staff(session)
            dispatcher = Dispatcher(tight, small.engine, create_app(tight))
            assert dispatcher.tick() and dispatcher.tick()
            assert small.job(job_id).row.status == "queued"
            assert caplog.text.count("no stage is handed out") == 1
            assert "less than 9e+08 MB free" in str(told_of_disk(small))
            dispatcher.settings = replace(tight, min_free_mb=0)
            dispatcher.tick()
            assert small.job(job_id).row.status == "running"
            assert told_of_disk(small) is None


def told_of_disk(system: System) -> str | None:
    with transaction(system.engine) as session:
        return dead.dead(session).full_disk


@pytest.mark.matrix(12)
@pytest.mark.matrix(13)
def test_a_dispatcher_killed_again_and_again_loses_nothing(
    system: System, client: ToyClient
) -> None:
    """Killed inside a tick, then between publishing and deleting, then at any moment."""
    job_ids = client.submit(*(client.fresh(n % 8, 8) for n in range(6)))
    for point in ("dispatcher-in_tick", "dispatcher-published"):
        mark(system, point).unlink()
        (dispatcher,) = [p for p in system.processes if p.name == "dispatcher" and p.running]
        system.wait(lambda d=dispatcher: not d.running, f"the dispatcher to die at {point}")
        assert dispatcher.popen.returncode == -signal.SIGKILL
        system.start_dispatcher()
    for _ in range(3):
        (dispatcher,) = [p for p in system.processes if p.name == "dispatcher" and p.running]
        log = dispatcher.log
        system.wait(lambda log=log: "dispatching" in log.read_text(), "the dispatcher to begin")
        dispatcher.kill()
        system.start_dispatcher()

    views = system.wait_for_jobs(job_ids)
    assert succeeded_once(views)


@pytest.mark.matrix(10)
def test_without_anybody_to_ring_the_doorbell_the_sweep_offers_the_blend(
    server_url: str, tmp_path: Path
) -> None:
    """No process takes the queue of the chords' bodies: not one fan-in ever runs."""
    with fresh_database(server_url) as url, toys(tmp_path, url) as (system, client):
        dispatcher = system.start_dispatcher()
        system.start_worker(queues="gpu")
        (job,) = client.run(client.fresh(0, 1, 2))
        assert succeeded_once([job])
        assert "by the sweep" in dispatcher.log.read_text()


@pytest.mark.matrix(14)
def test_a_database_that_dies_and_comes_back_costs_attempts_at_most(tmp_path: Path) -> None:
    """SIGKILL to every process of the server: what it had not committed is gone."""
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data") as server:
            migrate.upgrade(server.url)
            rules = ChaosRules(stage_s=0.2)
            with toys(tmp_path, server.url, rules=rules) as (system, client):
                system.start_dispatcher()
                system.start_worker()
                job_ids = client.submit(*(client.fresh(n, 8) for n in range(3)))
                for number in (4, 8):
                    system.wait(lambda n=number: attempts(system) >= n, f"{number} attempts")
                    assert server.process is not None
                    os.kill(server.process.pid, signal.SIGKILL)
                    server.process.wait(timeout=30)
                    server.restart()
                    system.engine.dispose()
                views = system.wait_for_jobs(job_ids)
                assert succeeded_once(views)
                assert all(process.running for process in system.processes)
                assert offences(system.engine) == []


def attempts(system: System) -> int:
    with system.engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM attempt")) or 0)


# Read by every Python process that finds it on its path: a clock that is off by what a file says.
WRONG_CLOCK = """
import datetime, os, time

real_time, real = time.time, datetime.datetime
time.time = lambda: real_time() + float(open(os.environ["WRONG_BY"]).read() or 0)
time.time_ns = lambda: int(time.time() * 1e9)

class Alike(type):
    def __instancecheck__(cls, value):
        return isinstance(value, real)

class Wrong(real, metaclass=Alike):
    @classmethod
    def now(cls, tz=None):
        return real.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return real.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)

datetime.datetime = Wrong
"""


@pytest.mark.matrix(22)
def test_clocks_that_are_wrong_or_jump_change_nothing(server_url: str, tmp_path: Path) -> None:
    """The dispatcher lives a day ahead, the worker a day behind, and its clock then jumps."""
    day_s = 86400
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    (tmp_path / "ahead").write_text(f"{day_s}")
    clock = tmp_path / "jumps"
    clock.write_text(f"{-day_s}")
    with fresh_database(server_url) as url, toys(tmp_path, url) as (system, client):
        system.environ = {"PYTHONPATH": str(tmp_path), "WRONG_BY": str(tmp_path / "ahead")}
        dispatcher = system.start_dispatcher()
        system.environ = {"PYTHONPATH": str(tmp_path), "WRONG_BY": str(clock)}
        worker = system.start_worker()
        (early,) = client.run(client.fresh(0, 1, 2))
        clock.write_text(f"{-day_s / 8}")
        (late,) = client.run(client.fresh(1, 2, 3))

        assert succeeded_once([early, late])
        assert {str(a.outcome) for j in (early, late) for s in j.stages for a in s.attempts} == {
            "succeeded"
        }
        assert days(dispatcher.log).isdisjoint(days(worker.log)), "the clocks were right"


def days(log: Path) -> set[str]:
    return {line[:10] for line in log.read_text().splitlines() if line[:2] == "20"}


@pytest.mark.matrix(27)
def test_more_open_pages_than_threads_leave_the_console_answering(system: System) -> None:
    """Pages poll and hold no thread between two polls: idle connections cost nothing."""
    address = urlsplit(system.start_console())
    pages = [HTTPConnection(address.hostname, address.port, timeout=30) for _ in range(THREADS + 3)]
    try:
        for page in pages:
            page.request("GET", "/health")
            assert page.getresponse().read()
        again = HTTPConnection(address.hostname, address.port, timeout=30)
        again.request("GET", "/health")
        assert again.getresponse().status == 200
        again.close()
    finally:
        for page in pages:
            page.close()

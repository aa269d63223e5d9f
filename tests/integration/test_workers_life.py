"""A worker's life: hangs, limits, broken devices, no memory, recycling, drains. Real processes.

The stages are toys, so that a process starts in a moment; claims, hearts and fences are real.
"""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace

import pytest

from barber import cli
from barber.catalogue import workers
from barber.catalogue.db import transaction
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST
from barber.settings import Settings
from tests.support.builders import hair_spec, known_portraits, submit
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, System, outcomes
from workers.endings import OVERDUE_EXIT_CODE

pytestmark = pytest.mark.integration

LEASE_S = 3.0


@pytest.fixture(scope="module")
def system(server_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    with fresh_database(server_url) as url:
        settings = Settings(
            database_url=url,
            home=folder / "home",
            chaos="stage_s=0.05",
            **{**QUICK, "lease_s": LEASE_S, "grace_s": 10.0},
        )
        with System(settings, folder / "logs") as system:
            system.people = known_portraits(system.engine, 40)
            system.start_dispatcher()
            system.start_worker("fan-in", queues="cpu", chaos="")
            yield system


@pytest.fixture
def employ(system):
    """Starts a worker for one test; it is killed afterwards."""
    started = []

    def start(name, **changes):
        started.append(system.start_worker(name, queues="gpu", **changes))
        system.wait_ready(name)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with transaction(system.engine) as session:
            workers.bye(session, process.name)


def submit_job(system, first):
    """A job on two people that no other test names."""
    spec = replace(hair_spec(system.people[first], system.people[first + 1]), bundle=TOY_DIGEST)
    return submit(system.engine, [spec], bundle_name=TOY_BUNDLE, max_losses=9)[0]


def row_of(system, name):
    with transaction(system.engine) as session:
        return next(row for row in workers.listed(session) if row.name == name)


def ends(job, kind):
    """Outcomes of all attempts at stages of a kind, and the classes of their errors."""
    attempts = [a for stage in job.stages if stage.kind == kind for a in stage.attempts]
    return sorted(str(a.outcome) for a in attempts), {a.error_class for a in attempts} - {None}


def test_hang_and_broken_device_end_the_process_and_no_memory_does_not(system, employ):
    worker = employ(
        "unlucky",
        hang_leases=1.0,
        failpoint="target:mid:memory,reconstruct:mid:hang,align:mid:cuda",
    )
    first_pid = row_of(system, "unlucky").pid
    (job,) = system.wait_for_jobs([submit_job(system, 0)])

    assert job.row.status == "succeeded", job.row.error
    assert ends(job, "target") == (["succeeded"], set()), "memory was found at the second try"
    assert ends(job, "reconstruct") == (["error", "succeeded", "succeeded"], {"hung"})
    assert ends(job, "align") == (["error", "succeeded", "succeeded"], {"cuda"})
    assert all(stage.losses == 0 for stage in job.stages)
    (hung,) = [a.error for s in job.stages for a in s.attempts if a.error_class == "hung"]
    assert hung.startswith("reconstruct made no step for 3 s while its process lived")
    assert row_of(system, "unlucky").pid != first_pid
    log = worker.log.read_text()
    assert "no memory; once more after all unused is given back" in log
    assert "this process cannot go on and ends" in log
    assert worker.running


def test_soft_limit_is_an_error_once_repeated_and_hard_limit_costs_the_process(system, employ):
    slow = employ("slow", chaos="stage_s=6", soft_limit_s="target=0.5", hard_limit_s="0")
    job_id = submit_job(system, 2)
    (job,) = system.wait_for_jobs([job_id])
    slow.kill()
    with transaction(system.engine) as session:
        workers.bye(session, "slow")

    assert (job.row.status, job.row.error_class) == ("failed", "timeout")
    assert ends(job, "target") == (["error", "error"], {"timeout"})
    assert "target was not done after" in job.row.error

    employ(
        "stuck",
        hang_leases=0.0,
        soft_limit_s="0",
        hard_limit_s="0,target=4",
        failpoint="target:before_finish:hang",
    )
    (job,) = system.wait_for_jobs([submit_job(system, 4)])
    assert job.row.status == "succeeded"
    assert ends(job, "target") == (["lost", "succeeded"], {"WorkerLost"})


@pytest.mark.slow
def test_process_is_replaced_when_it_has_done_enough_or_holds_too_much(system, employ):
    worn = employ("worn", child_tasks=3)
    (job,) = system.wait_for_jobs([submit_job(system, 6)])
    assert job.row.status == "succeeded"
    assert {tuple(found) for found in outcomes(job).values()} == {("succeeded",)}
    system.wait(lambda: row_of(system, "worn").status != "stopped", "the next process")

    worn.kill()
    with transaction(system.engine) as session:
        workers.bye(session, "worn")
    worker = employ("fat", child_memory_mb=1)
    pids = {row_of(system, "fat").pid}
    job_id = submit_job(system, 8)

    def done():
        pids.add(row_of(system, "fat").pid)
        return system.job(job_id).row.status.final

    system.wait(done, "the job to end", 150)
    job = system.job(job_id)
    assert job.row.status == "succeeded"
    assert {tuple(found) for found in outcomes(job).values()} == {("succeeded",)}
    assert len(pids) > 2
    assert worker.running


@pytest.mark.slow
def test_drain_hands_back_what_is_not_done_and_gives_up_on_what_hangs(system, employ):
    leaving = employ("leaving", chaos="stage_s=8", drain_s=1.0)
    first = row_of(system, "leaving").pid
    os.kill(first, signal.SIGKILL)  # who comes in its place drains as well
    system.wait(lambda: row_of(system, "leaving").pid != first, "the next process")
    job_id = submit_job(system, 10)
    system.wait(lambda: held_by(system, job_id, "leaving"), "a stage to be under way")
    leaving.popen.send_signal(signal.SIGTERM)
    system.wait(lambda: row_of(system, "leaving").status == "draining", "the drain to be told")
    assert leaving.popen.wait(60) == 0
    assert "returned" in [end for found in outcomes(system.job(job_id)).values() for end in found]
    assert row_of(system, "leaving").status == "stopped"

    stuck = employ("hanging", drain_s=0.5, hang_leases=0.0, failpoint="blend:mid:hang")
    system.wait((system.settings.home / "failpoints" / "blend-mid").exists, "the hang", 60)
    assert stuck.stop(timeout_s=60) == OVERDUE_EXIT_CODE
    employ("heir")
    (job,) = system.wait_for_jobs([job_id])
    assert job.row.status == "succeeded"
    assert all(stage.errors == 0 for stage in job.stages)
    assert ends(job, "blend")[0] == ["lost", "succeeded"]


def held_by(system, job_id, name):
    return any(stage.worker == name and stage.progress for stage in system.job(job_id).stages)


def test_verb_starts_a_worker_a_device_replaces_one_that_dies_and_ends_them_together(
    system, capsys
):
    arguments = ["barber", "worker", "--device", "cpu", "--device", "cpu", "--name", "pair"]
    process = system._start("pair", arguments, {})
    system.wait_ready("pair-cpu", "pair-cpu-2")
    (job,) = system.wait_for_jobs([submit_job(system, 12)])
    assert job.row.status == "succeeded"

    environ = system.settings.to_env()
    for name in ("pair-cpu", "pair-cpu-2"):
        system.wait(lambda n=name: row_of(system, n).status == "ready", f"{name} to be idle")
    assert cli.run(["workers", "--json"], environ) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["workers"]}
    row = listed["pair-cpu"]
    assert (row["status"], row["bundle_name"], row["alive"]) == ("ready", TOY_BUNDLE, True)
    assert row["warm_up_s"] > 0
    assert row["memory"]["process"] > 2**20
    assert cli.run(["workers"], environ) == 0
    assert re.search(r"pair-cpu-2\s.*ready.*cpu\s.*toy", capsys.readouterr().out)

    (pid,) = re.findall(r"pair-cpu started \(process (\d+)\)", process.log.read_text())
    os.killpg(int(pid), signal.SIGKILL)
    system.wait(lambda: "pair-cpu was killed by SIGKILL; it" in process.log.read_text(), "the news")
    before = row_of(system, "pair-cpu").pid
    system.wait(lambda: row_of(system, "pair-cpu").pid != before, "the next process")
    assert process.stop(timeout_s=90) == 0
    assert {row_of(system, name).status for name in ("pair-cpu", "pair-cpu-2")} == {"stopped"}

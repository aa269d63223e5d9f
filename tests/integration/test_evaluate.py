"""`barber evaluate` on a real system: stopped in the middle, the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Engine

from barber import cli
from barber.catalogue import jobs
from barber.catalogue.db import transaction
from barber.catalogue.deletion import delete_job
from barber.evaluation.batch import Installation, planned, submitted
from barber.evaluation.cases import Counts, draw_material
from barber.evaluation.methods import choose
from barber.settings import Settings
from barber.spec import NoiseMode, StageParams
from tests.support.builders import BUNDLE
from tests.support.system import PROJECT, QUICK, System, write_tiny_bundle

pytestmark = pytest.mark.integration

# The tiny bundle's parser sees no hair where hair is, and its steps cost next to nothing.
STEPS = {
    "reconstruct.w_plus_steps": 2,
    "reconstruct.fs_steps": 2,
    "target.steps": 1,
    "target.empty_region": "remove",
    "align.identity_steps": 1,
    "align.reference_steps": 1,
    "blend.steps": 1,
}


def arguments(out: Path) -> list[str]:
    found = ["evaluate", "--pairs", "2", "--images", "4", "--method", "baseline", "--json"]
    found += ["--method", "unedited", "--method", "cut-and-paste", "--out", str(out)]
    return found + [part for n, v in STEPS.items() for part in ("--set", f"{n}={v}")]


@pytest.mark.slow
def test_killed_evaluation_goes_on_in_its_batch(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path / "tiny")
    out = tmp_path / "out"
    settings = replace(settings, **QUICK, bundle=str(tmp_path / "tiny"), home=tmp_path / "home")
    with System(settings, tmp_path / "logs") as system:
        system.start_worker()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
        first = subprocess.Popen(
            [sys.executable, "-m", "barber", *arguments(out)],
            cwd=PROJECT,
            env={**environ, **settings.to_env()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            system.wait(lambda: _batches(system), "the batch to be queued", 180)
        finally:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait(timeout=20)
        system.start_dispatcher()  # only now is any stage handed out

        code = cli.run(arguments(out), settings.to_env())
        said = capsys.readouterr()

        assert code == 0, said.err
        assert "goes on" in said.err and len(_batches(system)) == 1
        facts = json.loads(said.out)
        # 4 portraits at most are reconstructed and 2 cases composed, each in two ways.
        assert facts["failed"] == 0 and facts["jobs"] <= 12
        data = json.loads((out / "measurements.json").read_text())
        made = {(row["case"], row["method"]) for row in data["measured"]}
        assert {("pair-001", "unedited"), ("pair-002", "cut-and-paste")} <= made
        assert {("pair-001", "full"), ("pair-002", "baseline")} <= made
        assert (out / "figures" / "worst.jpg").is_file()
        assert (out / "report.html").read_text().count("<table>") >= 5


def test_jobs_that_were_deleted_are_queued_again(
    engine: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    material = draw_material(0, Counts(images=4, pairs=2), 32)
    chosen = choose(("unedited",), StageParams())
    planned_jobs = planned(material, chosen, bundle=BUNDLE, noise=NoiseMode.ZERO, seed=0)
    system = Installation(
        settings=settings, engine=engine, console="", tend=lambda: None, ours=False
    )

    def ask() -> int:
        return submitted(system, material, planned_jobs, Console(width=200))

    first = ask()
    assert ask() == first
    with transaction(engine) as session:
        (job_id, *_) = [row.id for row in jobs.jobs(session, batch_id=first, limit=100)]
        jobs.cancel(session, job_id, by="ann")
        delete_job(session, job_id, by="ann")
    second = ask()
    assert second != first and ask() == second
    said = capsys.readouterr().out
    assert f"has {len(planned_jobs) - 1} of its {len(planned_jobs)} jobs left" in said
    with transaction(engine) as session:
        assert jobs.batch(session, second).total == len(planned_jobs)


def _batches(system: System) -> list[int]:
    with transaction(system.engine) as session:
        return [row.id for row in jobs.batches(session)]

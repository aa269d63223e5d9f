"""The verbs of a running system against a real catalogue; no worker is needed for these."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from barber import cli
from barber.artifacts import Portrait
from barber.catalogue import gallery, jobs, portraits, refusals, stages
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Wanted
from barber.catalogue.stages import Claim
from barber.catalogue.store import Store
from barber.models.bundle import ModelBundle
from barber.pipeline import run_stage
from barber.pixels import encode_png
from barber.plan import StageKind, plan
from barber.settings import Settings
from tests.support.builders import Crew, break_down
from tests.support.system import write_tiny_bundle

pytestmark = pytest.mark.integration


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def barber(
    settings: Settings, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    environ = replace(settings, bundle=str(bundle)).to_env()

    def run(*arguments: object) -> Said:
        # The tiny bundle's weights are random: its parser sees no face in anything.
        unparsed = ["--no-parse"] if arguments[0] in ("submit", "check") else []
        code = cli.run([*(str(argument) for argument in arguments), *unparsed], environ)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    return tmp_path


def write(folder: Path, *rows: str, header: str = "name,identity,hair,colour") -> Path:
    table = folder / "table.csv"
    table.write_text("\n".join([header, *rows]))
    return table


def test_submitted_rows_become_jobs_with_their_portraits(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    said = barber("submit", write(folder, "one,a.png,b.png,", "two,a.png,b.png,c.png"), "--json")
    assert said.code == 0
    assert said.json["accepted"] == 2
    rows = barber("jobs", "--batch", said.json["batch_id"], "--json").json
    assert [row["name"] for row in rows] == ["two", "one"]
    assert {row["status"] for row in rows} == {"queued"}
    with transaction(engine) as session:
        view = jobs.job(session, rows[0]["id"])
    for portrait in view.portraits.values():
        assert Store(settings.store_dir).contains(portrait.file_sha256)


def test_bad_rows_are_all_told_and_nothing_is_queued(
    barber: Callable[..., Said], folder: Path
) -> None:
    table = write(folder, "one,a.png,b.png,", "two,gone.png,b.png,", "three,a.png,broken.png,")
    said = barber("submit", table)
    assert said.code == 1
    assert "2 rows that cannot be used; nothing was queued" in said.err
    assert "line 3 (two)" in said.err
    assert "line 4 (three)" in said.err
    assert "--accept-valid" in said.err
    assert barber("jobs", "--json").json == []
    rows = json.loads(barber("submit", table, "--json").err)["error"]["rows"]
    assert [row["line"] for row in rows] == [3, 4]


def test_accept_valid_queues_the_rest_and_records_what_was_refused(
    barber: Callable[..., Said], folder: Path, engine: Engine
) -> None:
    table = write(folder, "one,a.png,b.png,", "two,gone.png,b.png,")
    said = barber("submit", table, "--accept-valid", "--json")
    assert said.code == 0
    with transaction(engine) as session:
        batch = jobs.batch(session, said.json["batch_id"])
    assert batch.total == 1
    assert [(row["line"], row["name"]) for row in batch.refused] == [(3, "two")]
    assert "gone.png" in batch.refused[0]["reason"]


def test_accept_valid_of_a_table_without_a_sound_row_is_refused(
    barber: Callable[..., Said], folder: Path
) -> None:
    said = barber("submit", write(folder, "two,gone.png,b.png,"), "--accept-valid")
    assert said.code == 1
    assert "1 row that cannot be used" in said.err
    assert barber("jobs", "--json").json == []


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("identity,hare", "a.png,b.png", "unknown column 'hare'"),
        ("identity,hair", "", "no rows"),
        ("hair", "b.png", "no column 'identity'"),
    ],
)
def test_unusable_table_is_one_sentence(
    barber: Callable[..., Said], folder: Path, header: str, row: str, words: str
) -> None:
    said = barber("submit", write(folder, row, header=header))
    assert said.code == 1
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.matrix(21)
def test_same_table_twice_names_the_first_batch_and_again_runs_it_anew(
    barber: Callable[..., Said], folder: Path
) -> None:
    table = write(folder, "one,a.png,b.png,")
    first = barber("submit", table, "--json").json["batch_id"]
    said = barber("submit", table)
    assert said.code == 1
    assert f"as batch {first}" in said.err
    assert "--again" in said.err
    assert len(barber("jobs", "--json").json) == 1
    assert barber("submit", table, "--again", "--json").json["batch_id"] > first


def test_preset_of_the_command_is_that_of_rows_which_name_none(
    barber: Callable[..., Said], folder: Path, engine: Engine
) -> None:
    table = write(
        folder, "one,a.png,b.png,paper", "two,a.png,c.png,", header="name,identity,hair,preset"
    )
    barber("submit", table, "--preset", "official")
    with transaction(engine) as session:
        steps = [
            jobs.job(session, row.id).spec.params.blend.steps
            for row in reversed(jobs.jobs(session))
        ]
    assert steps == [600, 400]
    said = barber("submit", table, "--preset", "swift")
    assert (said.code, "unknown preset 'swift'" in said.err) == (1, True)


def test_watch_ends_with_the_batch_and_tells_how(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    batch = barber("submit", write(folder, "one,a.png,b.png,"), "--json").json["batch_id"]
    Crew(engine, replace(settings, sweep_s=0)).work()
    said = barber("watch", batch)
    assert said.code == 0
    assert f"batch {batch}: 1 succeeded" in said.out
    told = barber("watch", batch, "--json").json
    assert told["counts"]["succeeded"] == 1


def test_failed_job_shows_its_error_and_is_retried(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    batch = barber("submit", write(folder, "one,a.png,b.png,"), "--json").json["batch_id"]
    crew = Crew(engine, replace(settings, sweep_s=0))
    crew.work({"align": break_down("the mask is empty")})
    (row,) = barber("jobs", "--status", "failed", "--json").json
    assert barber("watch", batch).code == 1
    shown = barber("show", row["id"])
    assert "the mask is empty" in shown.out
    assert "align 0" in shown.out
    said = barber("retry", row["id"], "--json")
    assert said.code == 0
    assert said.json == {"job_id": row["id"], "done": True, "outcome": "2 stages set back"}
    crew.work()
    told = barber("show", row["id"], "--json").json
    assert told["status"] == "succeeded"
    again = barber("retry", row["id"])
    assert (again.code, "nothing to retry" in again.err) == (1, True)


def test_cancelled_job_says_so_and_cannot_be_cancelled_twice(
    barber: Callable[..., Said], folder: Path
) -> None:
    barber("submit", write(folder, "[bold]one,a.png,b.png,"))
    assert "[bold]one" in barber("jobs").out
    (row,) = barber("jobs", "--json").json
    assert barber("cancel", row["id"], "--json").json["outcome"] == "cancelled"
    said = barber("cancel", row["id"])
    assert (said.code, "nothing to cancel" in said.err) == (1, True)


def test_jobs_are_retried_by_a_filter_counted_first(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    table = write(folder, "one,a.png,b.png,", "two,a.png,c.png,")
    batch = barber("submit", table, "--json").json["batch_id"]
    crew = Crew(engine, replace(settings, sweep_s=0))
    crew.work({"align": break_down("the mask is empty")})
    told = barber("retry", "--batch", batch, "--failed-in", "align", "--dry-run", "--json").json
    assert told == {"jobs": 2, "counts": {"failed": 2}}
    refused = barber("retry", "--batch", batch)
    assert (refused.code, "2 jobs would be changed: add --yes" in refused.err) == (1, True)
    assert barber("retry", "--text", "no such words", "--yes").out == ""
    done = barber("retry", "--batch", batch, "--error", "StageError", "--yes", "--json").json
    assert (done["done"], done["refused"]) == (2, 0)
    crew.work()
    assert {row["status"] for row in barber("jobs", "--json").json} == {"succeeded"}
    again = barber("retry", "--batch", batch, "--status", "succeeded", "--yes")
    assert (again.code, again.err.count("nothing to retry")) == (1, 2)


def test_one_job_can_be_tried_dry_and_takes_no_filter(
    barber: Callable[..., Said], folder: Path
) -> None:
    barber("submit", write(folder, "one,a.png,b.png,"))
    tried = barber("cancel", 1, "--dry-run")
    assert (tried.code, tried.out) == (0, "job 1: cancelled (not done: --dry-run)\n")
    assert barber("cancel", 1, "--dry-run", "--json").json["done"] is False
    assert barber("retry", 1, "--dry-run").code == 1, "refused as it would be"
    assert barber("show", 1, "--json").json["status"] == "queued"
    both = barber("cancel", 1, "--batch", 1)
    assert (both.code, "a filter such as --batch, not both" in both.err) == (1, True)
    assert barber("cancel", 1).out == "job 1: cancelled\n"


def test_a_job_runs_again_from_a_stage_or_with_other_params(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    barber("submit", write(folder, "one,a.png,b.png,"))
    crew = Crew(engine, replace(settings, sweep_s=0))
    crew.work()
    (row,) = barber("jobs", "--json").json
    assert (
        barber("retry", row["id"], "--from", "blend").out == f"job {row['id']}: 1 stage set back\n"
    )
    crew.work()
    params = '{"blend": {"steps": 7}}'
    assert "1 stage set back" in barber("retry", "--all", "--params", params, "--yes", "--json").out
    crew.work()
    with transaction(engine) as session:
        assert jobs.job(session, row["id"]).spec.params.blend.steps == 7


def test_work_is_held_and_let_go(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    batch = barber("submit", write(folder, "one,a.png,b.png,"), "--json").json["batch_id"]
    (row,) = barber("jobs", "--json").json
    crew = Crew(engine, replace(settings, sweep_s=0))
    for what, name in (
        (["--all"], "everything"),
        (["--batch", batch], f"batch {batch}"),
        ([row["id"]], f"job {row['id']}"),
    ):
        assert barber("pause", *what).out == f"{name} is paused\n"
        assert crew.tick() == 0
        assert barber("resume", *what).out == f"{name} goes on\n"
    assert barber("priority", row["id"], "7").out == f"job {row['id']} has priority 7\n"
    assert barber("jobs", "--json").json[0]["priority"] == 7
    assert crew.tick() > 0
    assert barber("cancel", "--all", "--yes").out == "1 job changed\n"
    for verb in ("pause", "resume"):
        said = barber(verb)
        assert (said.code, "give a job's number, or --batch" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["retry"], "which jobs?"),
        (["cancel"], "which jobs?"),
        (["retry", "--batch", "77", "--yes"], "no batch 77"),
        (["retry", "1", "--stage", "2", "--from", "align"], "exclude each other"),
        (["retry", "--stage", "2", "--all"], "a stage of one job"),
        (["retry", "1", "--params", "{"], "--params is no JSON"),
        (["retry", "1", "--params", "[]"], "--params is no object"),
        (["priority", "77", "5"], "no job 77"),
        (["pause", "--batch", "77"], "no batch 77"),
        (["pause", "77"], "no job 77"),
        (["deadline", "soon", "1"], "'soon' cannot be read: give a time such as 06:30"),
        (["deadline", "2h", "77"], "no job 77"),
        (["deadline", "2h"], "which jobs?"),
        (["retry", "1", "--from", "align", "--deadline", "2h"], "goes with a plain retry"),
    ],
)
def test_what_operators_cannot_mean_is_one_sentence(
    barber: Callable[..., Said], arguments: list[str], complaint: str
) -> None:
    said = barber(*arguments)
    assert said.code == 1
    assert complaint in said.err
    assert said.err.count("\n") == 1


def test_a_deadline_is_given_told_and_taken_away(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    table = write(folder, "one,a.png,b.png,", "two,a.png,b.png,c.png")
    assert barber("submit", table, "--deadline", "2h").code == 0
    one, two = (row["id"] for row in reversed(barber("jobs", "--json").json))
    assert all(row["deadline"] for row in barber("jobs", "--json").json)
    assert barber("deadline", "none", one).out == f"job {one}: may take its time\n"
    assert barber("show", one, "--json").json["deadline"] is None
    assert "job 2: ends by" in barber("deadline", "1d", two).out
    assert ", or fails" in barber("show", two).out
    with transaction(engine) as session:
        session.execute(text("UPDATE job SET deadline = now() - interval '1 s' WHERE id = 2"))
    crew = Crew(engine, replace(settings, sweep_s=0, backoff_s=0, window=50))
    crew.tick()
    shown = barber("show", two)
    assert "deadline" in shown.out and "passed before it had succeeded" in shown.out
    told = barber("dead")
    assert "1 job failed in target (deadline)" in told.out
    cause = re.search(r"barber retry --cause ([0-9a-f]{16})", told.out)
    assert cause
    said = barber("retry", "--cause", cause[1], "--deadline", "2h", "--yes")
    assert "1 job changed" in said.out
    assert barber("show", two, "--json").json["deadline"] is not None
    assert barber("dead").out == "nothing waits for you\n"


def test_what_is_dead_is_grouped_with_the_command_that_mends_it(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings
) -> None:
    rows = ["one,a.png,b.png,", "two,b.png,a.png,", "three,c.png,a.png,"]
    barber("submit", write(folder, *rows))
    crew = Crew(engine, replace(settings, sweep_s=0, backoff_s=0, window=50))
    numbers = iter(range(100, 200))

    def ending(session: Session, claim: Claim) -> object:
        return break_down(f"no face in portrait {next(numbers)} at 0.5")(session, claim)

    crew.work({"target": ending})
    with transaction(engine) as session:
        refusals.record(session, refusals.Source.BROKER, "no such stage", "stage 9, generation 1")
    barber("submit", write(folder, "four,c.png,b.png,"))
    barber("pause", "--batch", 2)
    found = barber("dead", "--json").json
    (group,) = found["groups"]
    assert (group["stage"], group["error_class"], group["jobs"]) == ("target", "StageError", 3)
    assert group["cause"] == "no face in portrait .. at .."
    assert group["latest_jobs"] == [3, 2, 1]
    assert found["held"] == [
        {
            "what": "batch 2",
            "jobs": 1,
            "command": "barber resume --batch 2",
            "batch_id": 2,
            "job_id": None,
        },
    ]
    told = barber("dead").out
    assert "3 jobs failed in target (StageError): no face in portrait" in told
    assert f"barber retry --cause {group['key']}" in told
    assert "message refused 1 times (broker): no such stage: stage 9, generation 1" in told
    assert found["unserved"] == []
    with transaction(engine) as session:
        session.execute(text("UPDATE worker SET alive_until = now()"))
    assert re.search(
        r"^1 job: waits for a worker that holds bundle \S+ \(", barber("dead").out, re.M
    )


def test_garbage_is_counted_then_deleted(
    barber: Callable[..., Said], folder: Path, settings: Settings
) -> None:
    barber("submit", write(folder, "one,a.png,b.png,"))
    store = Store(settings.store_dir)
    orphan = store.put(b"nobody names me")
    os.utime(store.path(orphan), (0, 0))
    counted = barber("gc", "--dry-run", "--json").json
    assert (counted["files"], counted["file_bytes"], counted["dry_run"]) == (1, 15, True)
    assert store.contains(orphan)
    assert "deleted: 1 files (15 bytes) that nothing names" in barber("gc").out
    assert not store.contains(orphan)
    assert barber("gc", "--json").json["files"] == 0


@pytest.mark.parametrize("verb", ["show", "retry", "cancel", "watch"])
def test_unknown_number_is_one_sentence(barber: Callable[..., Said], verb: str) -> None:
    said = barber(verb, 77)
    assert said.code == 1
    assert said.err in ("barber: no job 77\n", "barber: no batch 77\n")
    assert json.loads(barber(verb, 77, "--json").err)["error"]["code"] == "not_found"


def test_database_without_a_catalogue_is_said(
    server_url: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"BARBER_DATABASE_URL": server_url, "BARBER_BUNDLE": str(bundle)}
    assert cli.run(["jobs"], environ) == 1
    assert "is not this version's catalogue" in capsys.readouterr().err


def test_findings_of_preflight_are_told_kept_and_shown(
    barber: Callable[..., Said], folder: Path, engine: Engine
) -> None:
    with Image.open(folder / "b.png") as image:
        image.resize((16, 16)).resize((64, 64), Image.Resampling.BICUBIC).save(folder / "soft.png")
        image.point(lambda value: value // 12).save(folder / "night.png")
    rows = [
        "one,a.png,b.png,",
        "two,a.png,soft.png,",
        "three,night.png,b.png,",
        "four,a.png,b.png,",
    ]
    table = write(folder, *rows)
    said = barber("submit", table)
    assert said.code == 1
    assert "line 4 (three): the lightest parts of night.png" in said.err

    said = barber("submit", table, "--allow", "darkness")
    assert said.code == 0
    assert "warning darkness (allowed): the lightest parts of night.png" in said.err
    assert "warning blur: soft.png" in said.err
    assert "3 of 4 rows have warnings" in said.err
    found = {row["name"]: row["id"] for row in barber("jobs", "--json").json}
    shown = barber("show", found["three"], "--json").json
    dark = next(f for f in shown["findings"] if f["check"] == "darkness")
    assert (dark["verdict"], dark["allowed"]) == ("warn", True)
    assert dark["number"] < dark["threshold"]
    assert "warning blur: soft.png" in barber("show", found["two"]).out
    assert "asks for the same as line 2" in barber("show", found["four"]).out
    assert "pose was not checked" in barber("show", found["one"]).out

    told = barber("submit", table, "--accept-valid", "--again", "--json").json
    assert [row["name"] for row in told["refused"]] == ["three"]
    assert told["refused"][0]["findings"][0]["verdict"] in ("refuse", "not checked", "warn")
    with transaction(engine) as session:
        (refused,) = jobs.batch(session, told["batch_id"]).refused
    assert "darkness" in {finding["check"] for finding in refused["findings"]}


def test_results_made_before_there_were_numbers_are_measured_later(
    barber: Callable[..., Said], folder: Path, engine: Engine, settings: Settings, bundle: Path
) -> None:
    batch = barber("submit", write(folder, "one,a.png,b.png,", "two,b.png,a.png,"), "--json").json
    store, networks = Store(settings.store_dir), ModelBundle.load(bundle, torch.device("cpu"))
    made = {}  # target masks by key, before any stage is held
    with transaction(engine) as session:
        specs = [jobs.job(session, row.id).spec for row in jobs.jobs(session)]
        keys = specs[0].portraits
        faces = {
            key: Portrait(sha256=key, pixels=portraits.pixels(session, store, key)) for key in keys
        }
    for spec in specs:
        (target,) = (stage for stage in plan(spec) if stage.kind is StageKind.TARGET)
        found = run_stage(
            networks, spec, target, portraits=faces.__getitem__, artifacts=made.__getitem__
        )
        made[target.key] = store.store_file(found.to_bytes(), "application/x-safetensors")

    def mask(session: Session, claim: Claim) -> object:
        file = made[claim.planned.key]
        return stages.finish(session, claim, files={"artifact": file}, recipe={})

    def blend(session: Session, claim: Claim) -> object:
        file = store.store_file((folder / "c.png").read_bytes(), "image/png")
        return stages.finish(session, claim, files={"image.png": file}, recipe={})

    crew = Crew(engine, replace(settings, sweep_s=0))
    crew.work({"target": mask, "blend": blend})
    assert barber("measure", "--limit", 1).out == "1 result measured\n"
    assert barber("measure", "--batch", batch["batch_id"], "--json").json["measured"] == 1
    assert barber("measure").out == "0 results measured\n"
    with transaction(engine) as session:
        results, _ = gallery.page(session, Wanted(), limit=9)
    assert all(each.quality and each.quality.psnr_db for each in results)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM result_quality"))
        connection.execute(text("DELETE FROM artifact_file WHERE name = 'artifact'"))
    said = barber("measure")
    assert (said.code, said.out) == (1, "0 results measured, 2 could not be\n")
    assert "is not ready" in said.err

"""The verbs of a running system against a real catalogue; no worker is needed for these."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import Engine

from barber import cli
from barber.catalogue import jobs
from barber.catalogue.db import transaction
from barber.catalogue.store import Store
from barber.pixels import encode_png
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
        code = cli.run([str(argument) for argument in arguments], environ)
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
    assert said.json["stages_set_back"] >= 1
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
    assert barber("cancel", row["id"], "--json").json["status"] == "cancelled"
    said = barber("cancel", row["id"])
    assert (said.code, "nothing to cancel" in said.err) == (1, True)


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

"""The chaos run itself: that it is kept when all is well, and that its checker sees what is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from barber.catalogue import portraits
from barber.catalogue.db import transaction
from barber.catalogue.store import Store
from barber.chaos.checker import check_leftovers, check_records
from barber.settings import Settings
from tests.support.builders import SIDE, Crew, break_down, hair_spec, picture, submit

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]


def test_a_run_under_fire_loses_nothing(tmp_path: Path) -> None:
    command = ["chaos", "--jobs", "25", "--seed", "5", "--every", "3", "--limit", "240"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
    done = subprocess.run(
        [sys.executable, "-m", "barber.cli", *command, "--home", str(tmp_path / "home")],
        cwd=PROJECT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout
    assert re.search(r"^jobs +25 succeeded$", done.stdout, re.MULTILINE), done.stdout
    assert sum(map(int, re.findall(r"^fault .*: (\d+)$", done.stdout, re.MULTILINE))) >= 3
    assert "seed 5" in done.stdout


@pytest.fixture
def history(engine: Engine, settings: Settings) -> Crew:
    """Two jobs done and one failed; every file that the record names is there."""
    crew = Crew(engine, replace(settings, sweep_s=0, backoff_s=0, window=50))
    store = Store(settings.store_dir)
    with transaction(engine) as session:
        people = [
            portraits.register(session, store, picture(n), size=SIDE, name=f"{n}.png")
            for n in range(4)
        ]
    submit(engine, [hair_spec(people[0], people[1]), hair_spec(people[2], people[1])])
    crew.work()
    submit(engine, [hair_spec(people[3], people[0])])
    crew.work({"align": break_down()})
    with engine.begin() as connection:
        for key in connection.scalars(text("SELECT DISTINCT artifact_key FROM artifact_file")):
            sha = store.put(json.dumps(key).encode())
            change = text("UPDATE artifact_file SET sha256 = :sha WHERE artifact_key = :key")
            connection.execute(change, {"sha": sha, "key": key})
    return crew


def broken(crew: Crew) -> list[str]:
    findings = check_records(crew.engine, crew.settings.store_dir)
    return [finding.promise for finding in findings if not finding.kept]


def test_a_sound_history_keeps_every_promise(history: Crew) -> None:
    assert broken(history) == []


# Each forgery breaks its promise in the tables; the triggers must be out of the way for some.
FORGERIES = {
    "every job is final": "UPDATE job SET status = 'running', finished_at = NULL, error = NULL,"
    " error_class = NULL, started_at = now() WHERE status = 'failed'",
    "every failed job says why": "UPDATE job SET error = '' WHERE status = 'failed'",
    "every stage of a succeeded job was accepted exactly once": "INSERT INTO event (kind, job_id,"
    " stage_id, data) SELECT kind, job_id, stage_id, data FROM event WHERE kind = 'succeeded'"
    " LIMIT 1",
    "no attempt's result was accepted twice": "INSERT INTO attempt (stage_id, token, worker,"
    " device, outcome, ended_at) SELECT stage_id, token + 1, worker, device, outcome, ended_at"
    " FROM attempt WHERE outcome = 'succeeded' LIMIT 1",
    "there are as many blends as succeeded jobs": "UPDATE stage SET status = 'pending',"
    " finished_at = NULL WHERE kind = 'blend' AND id = (SELECT max(id) FROM stage"
    " WHERE kind = 'blend' AND status = 'succeeded')",
    "each artifact was built once, however many jobs share it": "INSERT INTO attempt (stage_id,"
    " token, worker, device, outcome, ended_at) SELECT other.id, 1, 'w', 'cpu', 'succeeded', now()"
    " FROM stage one JOIN stage other ON other.key = one.key AND other.id > one.id"
    " WHERE one.kind = 'reconstruct' AND other.status = 'succeeded' AND NOT EXISTS"
    " (SELECT FROM attempt WHERE stage_id = other.id) LIMIT 1",
    "the stages of one artifact agree that it is there": "UPDATE artifact SET status = 'missing',"
    " ready_at = NULL, recipe = NULL WHERE kind = 'target'",
    "no artifact is being built any more": "UPDATE artifact SET status = 'building',"
    " ready_at = NULL, recipe = NULL, builder_stage = (SELECT min(id) FROM stage) WHERE key ="
    " (SELECT min(key) FROM artifact WHERE kind = 'target')",
    "no lease is left": "UPDATE stage SET status = 'running', finished_at = NULL, dispatched_at ="
    " now(), lease_until = now(), worker = 'w' WHERE id = (SELECT min(id) FROM stage)",
    "no attempt is open": "UPDATE attempt SET outcome = NULL, ended_at = NULL"
    " WHERE id = (SELECT min(id) FROM attempt)",
    "the outbox is empty": "INSERT INTO outbox (topic, payload) VALUES ('stage', '{}')",
    "every file that a row names is there": "UPDATE artifact_file SET sha256 = repeat('a', 64)"
    " WHERE artifact_key = (SELECT min(artifact_key) FROM artifact_file)",
}


@pytest.mark.parametrize("promise", FORGERIES)
def test_the_checker_sees_what_is_broken(history: Crew, promise: str) -> None:
    with history.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text(FORGERIES[promise])).rowcount > 0
    assert promise in broken(history)


def test_a_file_of_nobody_is_seen(history: Crew) -> None:
    Store(history.settings.store_dir).put(b"nobody's")
    assert broken(history) == ["every file belongs to a row"]


def test_what_stays_behind_is_seen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "broker" / "messages").mkdir(parents=True)
    (home / "broker" / "messages" / "taken-1.part").touch()
    (home / "store" / "unfinished").mkdir(parents=True)
    (home / "store" / "unfinished" / "x").touch()
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, "BARBER_HOME": str(home)},
    )
    try:
        processes, files = check_leftovers(home)
        assert (processes.kept, processes.count) == (False, 1)
        assert files.count == 2
    finally:
        sleeper.kill()
        sleeper.wait()
    assert check_leftovers(home)[0].kept


def test_a_directory_in_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run: Callable[..., int]
) -> None:
    (tmp_path / "mine").touch()
    assert run(["chaos", "--home", str(tmp_path)]) == 1
    assert "a chaos run wants a directory of its own" in capsys.readouterr().err


@pytest.fixture
def run() -> Callable[[list[str]], int]:
    from barber import cli

    return lambda arguments: cli.run(arguments, {})

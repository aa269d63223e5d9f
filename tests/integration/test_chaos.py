"""The chaos run itself: that it is kept when all is well, and that its checker sees what is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis as RedisClient
from sqlalchemy import Engine, text

from barber.catalogue import dispatch, portraits
from barber.catalogue.db import transaction
from barber.catalogue.store import Store
from barber.chaos.brokers import RabbitMQ, Redis
from barber.chaos.checker import check_leftovers, check_records
from barber.chaos.guest import server_pid
from barber.chaos.rules import all_toy_steps
from barber.errors import SettingsError
from barber.settings import Settings
from tests.support.builders import (
    SIDE,
    Crew,
    break_down,
    hair_spec,
    known_portraits,
    picture,
    submit,
)

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]


def chaos(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `barber chaos` as a person does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
    kept["BARBER_GRACE_S"] = "3"  # few jobs: a lost message is soon missed
    # A catalogue that somebody works on: a run must not even look at it.
    kept["BARBER_DATABASE_URL"] = "postgresql+psycopg2://nobody:secret@127.0.0.1:1/none"
    return subprocess.run(
        [sys.executable, "-m", "barber.cli", "chaos", *map(str, arguments)],
        cwd=PROJECT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_a_run_under_fire_loses_nothing(tmp_path: Path) -> None:
    few = ["--jobs", "8", "--people", "5", "--workers", "2"]
    hard = ["--seed", "5", "--every", "2", "--limit", "500"]
    done = chaos(*few, *hard, "--home", tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout
    assert re.search(r"^jobs +8 succeeded$", done.stdout, re.MULTILINE), done.stdout
    assert sum(map(int, re.findall(r"^fault .*: (\d+)$", done.stdout, re.MULTILINE))) >= 1
    assert "seed 5" in done.stdout


@pytest.mark.slow
def test_a_run_on_somebodys_servers_leaves_no_trace(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    crew = Crew(engine, settings)
    submit(engine, [hair_spec(*known_portraits(engine, 2))])
    crew.tick()
    before = everything(engine)
    few = ["--jobs", "3", "--people", "4", "--workers", "1", "--every", "5", "--limit", "400"]
    with redis(tmp_path / "redis") as broker, RedisClient.from_url(broker) as client:
        client.lpush("cpu", "not for a run")  # where a system without a prefix has its messages
        places = ["--database-url", settings.database_url, "--broker", broker]
        done = chaos(*few, *places, "--fault", "kill-child", "--home", tmp_path / "home")
        assert done.returncode == 0, done.stdout + done.stderr
        assert client.keys("*") == [b"cpu"]
        assert client.lrange("cpu", 0, -1) == [b"not for a run"]
    assert everything(engine) == before
    faults = re.findall(r"^fault +(.*): ", done.stdout, re.MULTILINE)
    assert set(faults) <= {"pool child killed"}


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Somebody's Redis. Skips without the program, fails so in CI."""
    if shutil.which("redis-server") is None:
        assert os.environ.get("CI") != "true", "redis-server is not installed"
        pytest.skip("redis-server is not installed")
    with Redis(folder) as server:
        yield server.url


def everything(engine: Engine) -> dict[str, str]:
    """What a database holds, outside its system's own tables: each table as a digest."""
    names = text(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
        " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    counters = text("SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences")
    schemas = text("SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace")
    with engine.connect() as connection:
        found = {
            name: connection.scalar(
                text(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} AS t")
            )
            for name in connection.scalars(names).all()
        }
        found |= {row[0]: str(row[1]) for row in connection.execute(counters)}
        return found | {"schemas": str(connection.scalar(schemas))}


def test_each_schema_has_a_leader_of_its_own(engine: Engine) -> None:
    with transaction(engine) as one, transaction(engine) as two, transaction(engine) as guest:
        guest.execute(text("CREATE SCHEMA guest"))
        guest.execute(text("SET LOCAL search_path = guest"))
        assert [dispatch.lead(session) for session in (one, two, guest)] == [True, False, True]
        guest.rollback()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--database-url", "postgres://x/y"], "--database-url must name its driver"),
        (
            ["--database-url", "postgresql+psycopg2://nobody:secret@127.0.0.1:1/none"],
            "create of the run's schema failed",
        ),
        (["--broker", "rabbitmq"], "rabbitmq-server is not installed"),
    ],
)
def test_a_place_that_cannot_be_had_is_refused_and_leaves_nothing(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(RabbitMQ, "programs", ["/nowhere/rabbitmq-server"])
    assert run(["chaos", *arguments]) == 1
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert sentence in said
    assert "secret" not in said


def test_servers_of_other_machines_are_not_killed() -> None:
    with pytest.raises(SettingsError, match=r"studio\.example is another machine"):
        server_pid("amqp://studio.example//")


def test_a_server_of_this_machine_is_found_by_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert server_pid(f"redis://127.0.0.1:{port}/0") == os.getpid()
    assert server_pid(f"redis://127.0.0.1:{port}/0") is None


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
    _write_toys(engine, store)
    return crew


def _write_toys(engine: Engine, store: Store) -> None:
    """Gives each artifact the file that a toy stage writes, those that are needed first."""
    digests: dict[str, str] = {}
    change = text(
        "UPDATE artifact_file SET sha256 = :sha, name = 'artifact' WHERE artifact_key = :key"
    )
    query = text(
        "SELECT DISTINCT ON (key) key, needs FROM stage JOIN artifact_file ON key = artifact_key"
    )
    with engine.begin() as connection:
        waiting = {row.key: row.needs for row in connection.execute(query)}
        while waiting:
            key = next(key for key, needs in waiting.items() if not waiting.keys() & set(needs))
            read = [digests[need] for need in waiting.pop(key)]
            digests[key] = store.put(
                json.dumps({"key": key, "read": read, "steps": all_toy_steps(key)}).encode()
            )
            connection.execute(change, {"sha": digests[key], "key": key})


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
    "every artifact belongs to a stage": "INSERT INTO artifact (key, kind)"
    " VALUES (repeat('c', 64), 'target')",
    "no lease is left": "UPDATE stage SET status = 'running', finished_at = NULL, dispatched_at ="
    " now(), lease_until = now(), worker = 'w' WHERE id = (SELECT min(id) FROM stage)",
    "no attempt is open": "UPDATE attempt SET outcome = NULL, ended_at = NULL"
    " WHERE id = (SELECT min(id) FROM attempt)",
    "the outbox is empty": "INSERT INTO outbox (topic, payload) VALUES ('stage', '{}')",
    "every artifact was made from what it needs": "UPDATE artifact_file SET sha256 ="
    " (SELECT min(sha256) FROM artifact_file) WHERE artifact_key ="
    " (SELECT result_key FROM job WHERE status = 'succeeded' LIMIT 1)",
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


def test_a_snapshot_of_an_ended_stage_is_seen(history: Crew) -> None:
    folder = history.settings.store_dir / "snapshots"
    folder.mkdir(parents=True)
    (folder / f"{'a' * 64}.1.1").touch()
    assert broken(history) == ["no snapshot outlasts its stage"]


def test_what_stays_behind_is_seen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "broker" / "messages").mkdir(parents=True)
    (home / "broker" / "messages" / "taken-1.part").touch()
    (home / "store" / "unfinished").mkdir(parents=True)
    (home / "store" / "unfinished" / "x").touch()
    (home / "store" / "checkpoints").mkdir()
    (home / "store" / "checkpoints" / "stage-1").touch()
    (home / "store" / "ab" / "cd").mkdir(parents=True)
    (home / "store" / "ab" / "cd" / ("ab" * 32)).touch()  # no leftover, nor are these
    (home / "broker" / "messages" / "1_2.cpu.msg").touch()
    (home / "lock").touch()
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, "BARBER_HOME": str(home)},
    )
    try:
        processes, files = check_leftovers(home)
        assert (processes.kept, processes.count) == (False, 1)
        assert (files.count, files.looked_at) == (3, 6)
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

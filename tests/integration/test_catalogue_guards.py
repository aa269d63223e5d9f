"""What Postgres refuses by itself, whoever asks: illegal steps and impossible rows."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

import barber.catalogue
from barber.catalogue.status import TRANSITIONS, ArtifactStatus, JobStatus, StageStatus
from tests.support.builders import BUNDLE, JobSpec, known_portraits, submit

pytestmark = pytest.mark.integration

# All that a status demands of its row, so that only the trigger can object to a change of it.
ROWS = {
    "job": {
        "status": "'{status}'",
        "started_at": "now()",
        "finished_at": "CASE WHEN '{status}' IN ('succeeded', 'failed', 'cancelled') "
        "THEN now() END",
        "result_key": "CASE WHEN '{status}' = 'succeeded' THEN (SELECT min(key) FROM artifact) END",
        "cancel_requested": "true",
        "error": "CASE WHEN '{status}' = 'failed' THEN 'e' END",
        "error_class": "CASE WHEN '{status}' = 'failed' THEN 'E' END",
    },
    "stage": {
        "status": "'{status}'",
        "finished_at": "CASE WHEN '{status}' IN ('succeeded', 'failed', 'cancelled') "
        "THEN now() END",
        "lease_until": "CASE WHEN '{status}' = 'running' THEN now() END",
        "worker": "'w1'",
        "token": "1",
        "generation": "1",
        "dispatched_at": "now()",
        "error": "'e'",
        "error_class": "'E'",
    },
    "artifact": {
        "status": "'{status}'",
        "builder_stage": "CASE WHEN '{status}' = 'building' THEN 1 END",
        "ready_at": "CASE WHEN '{status}' = 'ready' THEN now() END",
        "recipe": "CASE WHEN '{status}' = 'ready' THEN '{{}}'::jsonb END",
    },
}
STATUSES = {"job": JobStatus, "stage": StageStatus, "artifact": ArtifactStatus}


@pytest.fixture
def one_job(engine: Engine) -> Engine:
    (portrait,) = known_portraits(engine, 1)
    submit(engine, [JobSpec(identity=portrait, bundle=BUNDLE)])
    return engine


def assignment(table: str, status: str) -> str:
    return ", ".join(f"{c} = {v.format(status=status)}" for c, v in ROWS[table].items())


def one_row(table: str) -> str:
    return "key = (SELECT min(key) FROM artifact)" if table == "artifact" else "id = 1"


@pytest.mark.parametrize("table", list(ROWS))
def test_raw_sql_can_take_exactly_the_legal_steps(one_job: Engine, table: str) -> None:
    legal, refusals = set(), set()
    for before, after in itertools.permutations(STATUSES[table], 2):
        with one_job.connect() as connection:
            # The way to `before` is not the question: skip the trigger.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(
                text(f"UPDATE {table} SET {assignment(table, before)} WHERE {one_row(table)}")
            )
            connection.execute(text("SET LOCAL session_replication_role = origin"))
            try:
                connection.execute(
                    text(f"UPDATE {table} SET {assignment(table, after)} WHERE {one_row(table)}")
                )
                legal.add((before, after))
            except IntegrityError as error:
                refusals.add(str(error.orig).splitlines()[0])
            connection.rollback()
    assert legal == TRANSITIONS[table]
    assert refusals == {
        f"{table} cannot go from {before} to {after}"
        for before, after in set(itertools.permutations(STATUSES[table], 2)) - legal
    }


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE stage SET status = 'dispatched' WHERE id = 1", "ck_stage_dispatched"),
        ("UPDATE stage SET lease_until = now() WHERE id = 1", "ck_stage_lease"),
        ("UPDATE stage SET finished_at = now() WHERE id = 1", "ck_stage_finished"),
        ("UPDATE stage SET status = 'waiting' WHERE id = 1", "transition"),
        ("UPDATE stage SET progress = 1.5 WHERE id = 1", "ck_stage_progress"),
        ("UPDATE stage SET errors = 4 WHERE id = 1", "ck_stage_budgets"),
        ("UPDATE stage SET portrait = NULL WHERE id = 1", "ck_stage_portrait"),
        ("UPDATE stage SET slot = 1 WHERE kind = 'blend'", "ck_stage_slot"),
        ("UPDATE job SET status = 'running'", "ck_job_started"),
        ("UPDATE job SET status = 'cancelled', finished_at = now()", "ck_job_cancel"),
        ("UPDATE job SET finished_at = now()", "ck_job_finished"),
        ("UPDATE job SET error = 'e', error_class = 'E'", "ck_job_cause"),
        ("UPDATE job SET priority = 2000", "ck_job_priority"),
        ("UPDATE artifact SET status = 'building'", "ck_artifact_builder"),
        ("UPDATE artifact SET builder_stage = 1", "ck_artifact_builder"),
        ("UPDATE artifact SET ready_at = now()", "ck_artifact_ready"),
        ("INSERT INTO artifact (key, kind) VALUES ('../etc', 'blend')", "ck_artifact_key_hex"),
        (
            "INSERT INTO stage (job_id, kind, slot, key) "
            "SELECT job_id, kind, slot, key FROM stage WHERE kind = 'blend'",
            "uq_stage_job_id_kind_slot",
        ),
        (
            "INSERT INTO attempt (stage_id, token, worker, device, outcome) "
            "VALUES (1, 1, 'w', 'cpu', 'lost')",
            "ck_attempt_ended",
        ),
    ],
)
def test_impossible_rows_are_refused(one_job: Engine, statement: str, constraint: str) -> None:
    with one_job.connect() as connection, pytest.raises(IntegrityError, match=constraint):
        connection.execute(text(statement))


@pytest.mark.matrix(22)
def test_no_clock_but_the_database_decides() -> None:
    folder = Path(barber.catalogue.__file__).parent
    durations = {"store.py", "bulk_actions.py"}  # the age of a file; how long a slice may take
    clocks = re.compile(r"datetime\.(now|utcnow|today)|utcnow|time\.time|monotonic|clock_timestamp")
    found = {path.name for path in folder.glob("*.py") if clocks.search(path.read_text())}
    assert found == durations, "and nothing about leases"

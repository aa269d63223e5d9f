"""A catalogue with a long past: a million jobs that have ended, and a queue that waits.

The past is written by INSERT .. SELECT with triggers and foreign keys off, so that a million jobs
take minutes; the queue goes through `jobs.submit` like everybody's. What differs from a real past:
recipes are empty, and each job has the same shape, one reference (six stages).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from barber.catalogue import jobs
from barber.catalogue.db import transaction
from barber.catalogue.jobs import NewJob
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST
from barber.labels import Region
from barber.spec import JobSpec, PortraitKey, RegionEdit
from tests.support.builders import known_portraits

CHUNK = 50_000  # jobs per statement
FAILED, CANCELLED = 0.02, 0.01  # of the jobs that have ended
PER_BATCH = 2_500
USERS = 20
PAST_DAYS, EVENT_DAYS = 90, 30  # how far back jobs go, and events, which are pruned
PEOPLE = 2_000

# What the failed ones failed of, by the last digit of their ids: three causes.
CLASSES = ["StageError"] * 6 + ["oom"] * 3 + ["WorkerLost"]
ERRORS = (
    ["align: the loss is not finite at step "] * 6
    + ["align: the device is out of memory, MB short: "] * 3
    + ["its worker was lost, times: "]
)

# One row per job of a chunk, with all that the tables derive from it. The first jobs of each chunk
# build the reconstructions of everybody; later ones reuse them.
CHUNK_TABLE = f"""
CREATE TEMPORARY TABLE past ON COMMIT DROP AS
SELECT id, batch_id, identity, reference, ended_at,
       CASE WHEN draw < {FAILED} THEN 'failed' WHEN draw < {FAILED + CANCELLED} THEN 'cancelled'
            ELSE 'succeeded' END AS status,
       (ARRAY{list(CLASSES)})[1 + id % 10] AS error_class,
       (ARRAY{list(ERRORS)})[1 + id % 10] || id % 300 AS error,
       encode(sha256(('r' || identity)::bytea), 'hex') AS r0,
       encode(sha256(('r' || reference)::bytea), 'hex') AS r1,
       encode(sha256(('t' || id)::bytea), 'hex') AS t,
       encode(sha256(('a' || id)::bytea), 'hex') AS a0,
       encode(sha256(('b' || id)::bytea), 'hex') AS a1,
       encode(sha256(('c' || id)::bytea), 'hex') AS b
  FROM (SELECT id, :first_batch + (id - :first) / :per_batch AS batch_id,
               encode(sha256((id % :people)::text::bytea), 'hex') AS identity,
               encode(sha256(((id * 7 + 1 + id / :people) % :people)::text::bytea), 'hex')
                   AS reference,
               now() - interval '1 hour'
                   - interval '1 day' * ({PAST_DAYS} * (1 - (id - :first)::real / :total))
                   AS ended_at,
               random() AS draw
          FROM generate_series(CAST(:start AS bigint), :stop) AS id) AS drawn
"""

FILL_JOB = """
INSERT INTO job (id, batch_id, name, spec, bundle_name, status, priority, cancel_requested,
                 generation, result_key, error_class, error, cause, created_at, started_at,
                 finished_at)
SELECT id, batch_id, 'job-' || id,
       replace(replace(:spec, 'IDENTITY', identity), 'REFERENCE', reference)::jsonb, :bundle,
       status, (id % 3)::smallint, status = 'cancelled', 1,
       CASE WHEN status = 'succeeded' THEN b END,
       CASE WHEN status = 'failed' THEN error_class END,
       CASE WHEN status = 'failed' THEN error END,
       CASE WHEN status = 'failed' THEN job_cause('align', error_class, error) END,
       ended_at - interval '20 minutes', ended_at - interval '10 minutes', ended_at
  FROM past
"""

FILL_ARTIFACT = """
INSERT INTO artifact (key, kind, status, recipe, created_at, ready_at, last_used_at)
SELECT key, kind, CASE WHEN ready THEN 'ready' ELSE 'missing' END,
       CASE WHEN ready THEN '{}'::jsonb END, ended_at - interval '20 minutes',
       CASE WHEN ready THEN ended_at END, CASE WHEN ready THEN ended_at END
  FROM (SELECT b AS key, 'blend' AS kind, status = 'succeeded' AS ready, ended_at FROM past
        UNION ALL SELECT t, 'target', status <> 'cancelled', ended_at FROM past
        UNION ALL SELECT a0, 'align', status <> 'cancelled', ended_at FROM past
        UNION ALL SELECT a1, 'align', status = 'succeeded', ended_at FROM past
        UNION ALL SELECT DISTINCT ON (r0) r0, 'reconstruct', true, ended_at FROM past
        UNION ALL SELECT DISTINCT ON (r1) r1, 'reconstruct', true, ended_at FROM past) AS made
 ORDER BY ended_at
ON CONFLICT (key) DO NOTHING
"""

# Six stages a job; ids follow the job's, so that attempts and events find them.
FILL_STAGE = """
INSERT INTO stage (id, job_id, kind, slot, key, needs, portrait, status, generation, token, errors,
                   dispatched_at, ready_at, progress, error_class, error, finished_at)
SELECT (past.id - 1) * 6 + n, past.id, kind, slot, key, needs, portrait, stage_status,
       CASE WHEN stage_status = 'cancelled' THEN 0 ELSE 1 END,
       CASE WHEN stage_status = 'cancelled' THEN 0 ELSE 1 END,
       CASE WHEN stage_status = 'failed' THEN 1 ELSE 0 END,
       ended_at - interval '9 minutes', CASE WHEN stage_status = 'pending' THEN NULL ELSE
       ended_at - interval '8 minutes' END, CASE WHEN stage_status = 'succeeded' THEN 1.0 END,
       CASE WHEN stage_status = 'failed' THEN error_class END,
       CASE WHEN stage_status = 'failed' THEN error END,
       CASE WHEN stage_status <> 'pending' THEN ended_at END
  FROM past CROSS JOIN LATERAL (VALUES
       (1, 'target', 0, t, '{}'::text[], NULL),
       (2, 'reconstruct', 0, r0, '{}', identity),
       (3, 'reconstruct', 1, r1, '{}', reference),
       (4, 'align', 0, a0, ARRAY[t, r0], identity),
       (5, 'align', 1, a1, ARRAY[t, r1], reference),
       (6, 'blend', 0, b, ARRAY[t, r0, r1, a0, a1], NULL)
     ) AS planned (n, kind, slot, key, needs, portrait)
 CROSS JOIN LATERAL (
       SELECT CASE WHEN past.status = 'cancelled' THEN 'cancelled'
                   WHEN past.status = 'failed' AND n = 5 THEN 'failed'
                   WHEN past.status = 'failed' AND n = 6 THEN 'pending'
                   ELSE 'succeeded' END) AS ended (stage_status)
"""

FILL_ATTEMPT = """
INSERT INTO attempt (stage_id, token, worker, device, started_at, ended_at, outcome)
SELECT (id - 1) * 6 + n, 1, 'worker-' || id % 8, 'cuda:0', ended_at - interval '1 minute' * (8 - n),
       ended_at - interval '1 minute' * (7 - n),
       CASE WHEN status = 'failed' AND n = 5 THEN 'error' ELSE 'succeeded' END
  FROM past CROSS JOIN generate_series(1, 6) AS n
 WHERE status <> 'cancelled' AND NOT (status = 'failed' AND n = 6)
   AND (n NOT IN (2, 3) OR id - :first < :people)
 ORDER BY id, n
"""

FILL_FILE = """
INSERT INTO artifact_file (artifact_key, name, sha256, size_bytes, media_type)
SELECT key, name, encode(sha256((name || key)::bytea), 'hex'), 1000000, media_type
  FROM (SELECT b AS key, 'artifact' AS name, 'application/x-safetensors' AS media_type FROM past
         WHERE status = 'succeeded'
        UNION ALL SELECT b, 'image.png', 'image/png' FROM past WHERE status = 'succeeded'
        UNION ALL SELECT t, 'artifact', 'application/x-safetensors' FROM past
        UNION ALL SELECT a0, 'artifact', 'application/x-safetensors' FROM past) AS made
"""

# Nine in ten results were measured where they were made; half of them were looked at.
FILL_QUALITY = """
INSERT INTO result_quality (artifact_key, psnr_db, ssim, distance, distance_name, iou, ious, spread,
                            flags)
SELECT b, 16 + 20 * random(), random(), random(), 'LPIPS', 0.4 + 0.6 * random(), '{}',
       30 + 40 * random(), CASE WHEN id % 20 = 1 THEN ARRAY['shape'] ELSE '{}' END
  FROM past WHERE status = 'succeeded' AND id % 10 <> 0
"""

FILL_VERDICT = """
INSERT INTO result_verdict (job_id, result_key, decision, who, audit_id)
SELECT id, b, CASE WHEN id % 7 = 0 THEN 'rejected' ELSE 'accepted' END, 'user-1', 1
  FROM past WHERE status = 'succeeded' AND id % 2 = 0
"""

FILL_EVENT = f"""
INSERT INTO event (at, job_id, stage_id, kind)
SELECT ended_at - interval '1 minute' * (8 - n), id, (id - 1) * 6 + n, kind
  FROM past CROSS JOIN generate_series(1, 6) AS n
 CROSS JOIN (VALUES ('dispatched'), ('claimed'), ('succeeded')) AS told (kind)
 WHERE ended_at > now() - interval '{EVENT_DAYS} days' AND status <> 'cancelled'
 ORDER BY id, n
"""

# What the triggers would have noted.
COUNT_PAST = """
INSERT INTO job_change (batch_id, status, jobs)
SELECT batch_id, status, count(*) FROM job WHERE batch_id >= :first GROUP BY batch_id, status
"""

GREAT = ("job", "stage", "attempt", "event")
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
 WHERE tablename = ANY(:tables) AND schemaname = current_schema()
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
 ORDER BY indexname
"""

FILLS = (
    *(FILL_JOB, FILL_ARTIFACT, FILL_STAGE, FILL_ATTEMPT, FILL_FILE, FILL_EVENT),
    *(FILL_QUALITY, FILL_VERDICT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """What a catalogue was given."""

    past: int  # jobs that have ended
    queued: list[int]  # ids of the jobs that wait, in order


def seed(engine: Engine, *, past: int, queued: int, chosen: int = 1) -> Seeded:
    """Writes `past` ended jobs and `queued` waiting ones behind what the catalogue has.

    Args:
        engine: The role must be a superuser: foreign keys are not checked here.
        past: Jobs that have ended: 2 % failed, 1 % cancelled, spread over 90 days.
        queued: Jobs that wait, in batches of 2,500 by several users.
        chosen: Seed of who is in which job of the queue.
    """
    with engine.connect() as connection:
        known = connection.scalar(text("SELECT count(*) FROM portrait"))
    if not known:
        known_portraits(engine, PEOPLE)
    with engine.connect() as connection:
        _write_past(connection, past)
    ids = list(_write_queue(engine, queued, chosen))
    with engine.connect() as connection:
        vacuum = connection.execution_options(isolation_level="AUTOCOMMIT")
        vacuum.execute(text("SET statement_timeout = 0"))
        vacuum.execute(text("VACUUM (ANALYZE)"))
        vacuum.execute(text("RESET statement_timeout"))
    return Seeded(past=past, queued=ids)


def _write_past(connection: Connection, count: int) -> None:
    first = 1 + (connection.scalar(text("SELECT max(id) FROM job")) or 0)
    first_batch = 1 + (connection.scalar(text("SELECT max(id) FROM batch")) or 0)
    facts: dict[str, Any] = {
        "first": first,
        "first_batch": first_batch,
        "total": max(1, count),
        "per_batch": PER_BATCH,
        "people": PEOPLE,
        "spec": json.dumps(_template()),
        "bundle": TOY_BUNDLE,
    }
    connection.rollback()
    with _indexed_later(connection) if count > CHUNK else nullcontext():
        for start in range(first, first + count, CHUNK):
            stop = min(start + CHUNK, first + count) - 1
            with connection.begin():
                _write_chunk(connection, {**facts, "start": start, "stop": stop})
    with connection.begin():
        _close(connection, first_batch, -(-count // PER_BATCH))


@contextmanager
def _indexed_later(connection: Connection) -> Iterator[None]:
    """Takes the great tables' indexes away but for the keys', and makes them again at the end: to
    sort a million rows once is far cheaper than to find a place for each.
    """
    with connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        made = connection.execute(text(INDEXES), {"tables": list(GREAT)}).all()
        for index in made:
            connection.execute(text(f'DROP INDEX "{index.indexname}"'))
    try:
        yield
    finally:
        for index in made:
            with connection.begin():
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
                connection.execute(text(index.indexdef))


def _write_chunk(connection: Connection, facts: Mapping[str, Any]) -> None:
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(text(CHUNK_TABLE), facts)
    for statement in FILLS:
        connection.execute(text(statement), facts)


def _close(connection: Connection, first_batch: int, batches: int) -> None:
    """The batches themselves, and counters that go on behind what was written."""
    connection.execute(
        text(
            "INSERT INTO batch (id, name, submitted_by, created_at)"
            " SELECT id, 'batch-' || id, 'user-' || id % :users, now() - interval '1 day'"
            " FROM generate_series(CAST(:first AS bigint), :last) AS id"
        ),
        {"first": first_batch, "last": first_batch + batches - 1, "users": USERS},
    )
    connection.execute(text(COUNT_PAST), {"first": first_batch})
    for table in ("batch", "job", "stage"):
        query = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
        connection.execute(text(query))


def _write_queue(engine: Engine, count: int, chosen: int) -> Iterator[int]:
    dice = random.Random(chosen)
    with engine.connect() as connection:
        people = list(connection.scalars(text("SELECT sha256 FROM portrait ORDER BY sha256")))
    for start in range(0, count, PER_BATCH):
        number = start // PER_BATCH
        new = [
            NewJob(name=f"queued-{n}", spec=toy_spec(*dice.sample(people, 2)), priority=n % 3)
            for n in range(start, min(start + PER_BATCH, count))
        ]
        with transaction(engine) as session:
            batch_id = jobs.submit(
                session,
                name=f"queue-{number}",
                jobs=new,
                bundle_name=TOY_BUNDLE,
                submitted_by=f"user-{number % USERS}",
            )
        with engine.connect() as connection:
            query = text("SELECT id FROM job WHERE batch_id = :batch_id ORDER BY id")
            yield from connection.scalars(query, {"batch_id": batch_id})


def toy_spec(identity: PortraitKey, reference: PortraitKey) -> JobSpec:
    """A job of one reference for toy workers: a target, two branches, a blend."""
    region = RegionEdit(labels=(Region.HAIR,), structure=reference, appearance=reference)
    return JobSpec(identity=identity, regions=(region,), bundle=TOY_DIGEST)


def _template() -> dict[str, Any]:
    """A spec as JSON with words in the place of its portraits."""
    spec = toy_spec(PortraitKey("1" * 64), PortraitKey("2" * 64)).to_json()
    filled = json.dumps(spec).replace("1" * 64, "IDENTITY").replace("2" * 64, "REFERENCE")
    return json.loads(filled)  # type: ignore[no-any-return]

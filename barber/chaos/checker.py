"""Whether a chaos run broke a promise: read from the history by logic of its own.

Nothing of the catalogue's own code is asked here: a mistake there must not hide itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import Engine, text

from barber.chaos.rules import all_toy_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One promise, and what speaks against it."""

    promise: str
    offences: tuple[str, ...]  # the first few, in words
    count: int  # of all offences
    looked_at: int  # how many things the promise was held against

    @property
    def kept(self) -> bool:
        return self.count == 0

    def __str__(self) -> str:
        if self.kept:
            return f"kept    {self.promise} ({self.looked_at})"
        return (
            f"BROKEN  {self.promise}: {self.count} of {self.looked_at}, {'; '.join(self.offences)}"
        )


# Each query gives offenders as text, and stands beside a query that counts what was looked at.
PROMISES: tuple[tuple[str, str, str], ...] = (
    (
        "every job is final",
        "SELECT 'job ' || id || ' is ' || status FROM job"
        " WHERE status NOT IN ('succeeded', 'failed', 'cancelled')",
        "SELECT count(*) FROM job",
    ),
    (
        "every failed job says why",
        "SELECT 'job ' || id FROM job WHERE status = 'failed' AND coalesce(error, '') = ''",
        "SELECT count(*) FROM job WHERE status = 'failed'",
    ),
    (
        "every stage of a succeeded job was accepted exactly once",
        "SELECT 'stage ' || stage.id || ' ' || count(event.id) || ' times' FROM stage"
        " JOIN job ON job.id = stage.job_id LEFT JOIN event ON event.stage_id = stage.id"
        "  AND event.kind IN ('succeeded', 'reused')"
        " WHERE job.status = 'succeeded' AND NOT EXISTS ("
        "   SELECT FROM event q WHERE q.kind = 'quarantined' AND q.job_id = job.id)"
        " GROUP BY stage.id HAVING count(event.id) <> 1",
        "SELECT count(*) FROM stage JOIN job ON job.id = job_id WHERE job.status = 'succeeded'",
    ),
    (
        "no attempt's result was accepted twice",
        "SELECT 'stage ' || stage_id FROM attempt WHERE outcome = 'succeeded'"
        " GROUP BY stage_id HAVING count(*) > 1",
        "SELECT count(*) FROM attempt WHERE outcome = 'succeeded'",
    ),
    (
        "there are as many blends as succeeded jobs",
        "SELECT b.n || ' blends, ' || j.n || ' jobs' FROM"
        " (SELECT count(*) AS n FROM stage WHERE kind = 'blend' AND status = 'succeeded') b,"
        " (SELECT count(*) AS n FROM job WHERE status = 'succeeded') j WHERE b.n <> j.n",
        "SELECT count(*) FROM job WHERE status = 'succeeded'",
    ),
    (
        "each artifact was built once, however many jobs share it",
        "SELECT stage.kind || ' ' || left(stage.key, 12) || ' ' || count(*) || ' times'"
        " FROM attempt JOIN stage ON stage.id = attempt.stage_id"
        " WHERE outcome = 'succeeded' AND NOT EXISTS (SELECT FROM event"
        "   WHERE kind = 'quarantined' AND data->>'key' = stage.key)"
        " GROUP BY stage.kind, stage.key HAVING count(*) > 1",
        "SELECT count(*) FROM artifact WHERE status = 'ready'",
    ),
    (
        "the stages of one artifact agree that it is there",
        "SELECT 'stage ' || stage.id FROM stage JOIN artifact ON artifact.key = stage.key"
        " JOIN job ON job.id = stage.job_id"
        " WHERE stage.status = 'succeeded' AND job.status = 'succeeded'"
        "   AND artifact.status <> 'ready'",
        "SELECT count(*) FROM stage WHERE status = 'succeeded'",
    ),
    (
        "no artifact is being built any more",
        "SELECT left(key, 12) FROM artifact WHERE status = 'building'",
        "SELECT count(*) FROM artifact",
    ),
    (
        "every artifact belongs to a stage",
        "SELECT left(key, 12) FROM artifact"
        " WHERE NOT EXISTS (SELECT FROM stage WHERE stage.key = artifact.key)",
        "SELECT count(*) FROM artifact",
    ),
    (
        "no lease is left",
        "SELECT 'stage ' || id || ' ' || status FROM stage"
        " WHERE lease_until IS NOT NULL OR status IN ('dispatched', 'running')",
        "SELECT count(*) FROM stage",
    ),
    (
        "no attempt is open",
        "SELECT 'attempt ' || id FROM attempt WHERE outcome IS NULL",
        "SELECT count(*) FROM attempt",
    ),
    (
        "the outbox is empty",
        "SELECT topic || ' ' || id FROM outbox",
        "SELECT coalesce(max(id), 0) FROM outbox",
    ),
)

# A toy artifact names the digests of what it read, in the order of its stage's needs.
MADE_FROM = text(
    "SELECT DISTINCT ON (stage.key) stage.key, own.sha256, ARRAY("
    "   SELECT file.sha256 FROM unnest(stage.needs) WITH ORDINALITY AS need (key, place)"
    "   JOIN artifact_file AS file ON file.artifact_key = need.key AND file.name = 'artifact'"
    "   ORDER BY need.place)"
    " FROM stage JOIN artifact_file AS own ON own.artifact_key = stage.key"
    "  AND own.name = 'artifact' WHERE stage.status = 'succeeded'"
)
FILES = "SELECT sha256 FROM artifact_file UNION SELECT file_sha256 FROM portrait"
SHOWN = 5

EXPECTED = re.compile(
    r"lock|console\.secret|logs/[^/]*\.log|postgres/.*|broker-server/.*|broker/(messages|control)/[^/]*"
    r"(?<!\.part)|store/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}"
)


def check_records(engine: Engine, store: Path) -> list[Finding]:
    """Holds the promises against the tables, and the tables against the files."""
    with engine.connect() as connection:
        findings = [
            _finding(
                promise,
                [str(row) for row in connection.scalars(text(offenders))],
                int(connection.scalar(text(looked_at)) or 0),
            )
            for promise, offenders, looked_at in PROMISES
        ]
        known = set(connection.scalars(text(FILES)))
        made = connection.execute(MADE_FROM).all()
    present = {path.name for path in store.glob("*/*/*")}
    findings.append(
        _finding("every file that a row names is there", sorted(known - present), len(known))
    )
    findings.append(_finding("every file belongs to a row", sorted(present - known), len(present)))
    wrong = [key[:12] for key, sha256, read in made if not _says(store, sha256, key, read)]
    findings.append(_finding("every artifact was made from what it needs", wrong, len(made)))
    left = sorted(path.name for path in store.glob("snapshots/*"))
    findings.append(_finding("no snapshot outlasts its stage", left, len(left)))
    return findings


def _says(store: Path, sha256: str, key: str, read: list[str]) -> bool:
    """Whether a toy artifact's file says that it is this one, made from these, in all its steps."""
    try:
        data = (store / sha256[:2] / sha256[2:4] / sha256).read_bytes()
        told = {"key": key, "read": list(read), "steps": all_toy_steps(key)}
        return bool(json.loads(data) == told)
    except (OSError, ValueError):
        return False


def check_leftovers(home: Path) -> list[Finding]:
    """What must not remain once the system has stopped: processes, and half-written files."""
    processes = [f"{p.pid} {' '.join(p.cmdline())[:80]}" for p in _of_home(home)]
    # Whatever is no log, no database, no message and no file of the store was left half-done.
    left = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    files = [name for name in left if not EXPECTED.fullmatch(name)]
    return [
        _finding("no process is left", processes, len(processes)),
        _finding("no temporary or half-written file is left", files, len(left)),
    ]


def _of_home(home: Path) -> list[psutil.Process]:
    """Processes, other than this one, that were started for this home."""
    mark, found = str(home), []
    for process in psutil.process_iter():
        try:
            if process.pid != psutil.Process().pid and mark == process.environ().get("BARBER_HOME"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _finding(promise: str, offences: list[str], looked_at: int) -> Finding:
    return Finding(
        promise=promise,
        offences=tuple(offences[:SHOWN]),
        count=len(offences),
        looked_at=max(looked_at, len(offences)),
    )

"""Whose turn it is: by priority, then what lost its worker, then by person and by batch.

A stage that lost its worker has waited for a lease already. So its job goes first among those of
its priority, and once its message is out, it does not wait behind the window either: the next
worker that comes for another stage takes it first (`lost_stage`).
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from barber.catalogue.status import JobStatus, StageStatus
from barber.catalogue.tables import Job, Stage


class LostStage(NamedTuple):
    """A stage that lost its worker and is out again, as its message tells of it."""

    stage_id: int
    generation: int


# Per batch the first jobs that have something to hand out or to reuse; then, at equal priority, in
# turn: a person's turn comes later the more of their jobs are out, and so does a batch's among
# those of one person.
CANDIDATES = text("""
WITH RECURSIVE
-- The batches with open jobs, one look into the index for each: those that have ended cost nothing.
opened AS (
    SELECT min(batch_id) AS id FROM job
     WHERE bundle = :bundle AND status IN ('queued', 'running')
     UNION ALL
    SELECT (SELECT min(batch_id) FROM job
             WHERE bundle = :bundle AND status IN ('queued', 'running') AND batch_id > opened.id)
      FROM opened WHERE opened.id IS NOT NULL
), active AS (
    SELECT job.batch_id, count(DISTINCT job.id) AS jobs
      FROM stage JOIN job ON job.id = stage.job_id
     WHERE stage.status IN ('dispatched', 'running')
     GROUP BY job.batch_id
), busy AS (
    SELECT coalesce(batch.submitted_by, '') AS person, sum(active.jobs) AS jobs
      FROM active JOIN batch ON batch.id = active.batch_id
     GROUP BY 1
), candidate AS (
    SELECT picked.id, picked.priority, coalesce(batch.submitted_by, '') AS person,
           coalesce(active.jobs, 0) + row_number() OVER (
               PARTITION BY batch.id ORDER BY picked.priority DESC, picked.id) AS turn
      FROM opened
      JOIN batch ON batch.id = opened.id
      LEFT JOIN active ON active.batch_id = batch.id
     CROSS JOIN LATERAL (
        SELECT job.id, job.priority FROM job
         WHERE job.batch_id = batch.id AND job.bundle = :bundle
           AND job.status IN ('queued', 'running')
           AND NOT job.paused AND NOT job.cancel_requested
           AND (job.deadline IS NULL OR job.deadline > now())
           AND EXISTS (
               SELECT FROM stage JOIN artifact ON artifact.key = stage.key
                WHERE stage.job_id = job.id AND stage.status = 'pending' AND stage.kind <> 'blend'
                  AND (stage.not_before IS NULL OR stage.not_before <= now())
                  AND (artifact.status = 'ready' OR artifact.status = 'missing'
                       AND NOT EXISTS (
                           SELECT FROM artifact AS need
                            WHERE need.key = ANY (stage.needs) AND need.status <> 'ready')
                       AND (stage.kind = 'target' OR NOT EXISTS (
                           SELECT FROM stage AS target
                            WHERE target.job_id = job.id AND target.kind = 'target'
                              AND target.status <> 'succeeded'))))
         ORDER BY job.priority DESC, job.id
         LIMIT :most
      ) AS picked
     WHERE NOT batch.paused AND NOT batch.filling
), ranked AS (
    SELECT candidate.*, coalesce(busy.jobs, 0) + row_number() OVER (
               PARTITION BY person ORDER BY priority DESC, turn, id) AS persons_turn
      FROM candidate LEFT JOIN busy USING (person)
)
SELECT id, priority FROM ranked ORDER BY priority DESC, persons_turn, turn, id LIMIT :most
""")

# The jobs of stages that lost their worker. Few at a time, and in an index of their own.
ORPHANED = text("""
SELECT DISTINCT job.id, job.priority
  FROM stage JOIN job ON job.id = stage.job_id
             JOIN batch ON batch.id = job.batch_id
             JOIN artifact ON artifact.key = stage.key
 WHERE stage.status = 'pending' AND stage.losses > 0 AND stage.kind <> 'blend'
   AND (stage.not_before IS NULL OR stage.not_before <= now())
   AND artifact.status = 'missing'
   AND NOT EXISTS (SELECT FROM artifact AS need
                    WHERE need.key = ANY (stage.needs) AND need.status <> 'ready')
   AND job.bundle = :bundle AND job.status IN ('queued', 'running')
   AND NOT job.paused AND NOT batch.paused AND NOT batch.filling AND NOT job.cancel_requested
   AND (job.deadline IS NULL OR job.deadline > now())
 ORDER BY job.priority DESC, job.id LIMIT :most
""")


def jobs_in_turn(session: Session, bundle: str, most: int) -> list[int]:
    """The jobs on a bundle that may have something to hand out, in the order of their turns."""
    chosen = {"bundle": bundle, "most": most}
    found = [row for query in (ORPHANED, CANDIDATES) for row in session.execute(query, chosen)]
    found.sort(key=lambda row: -row.priority)
    return list(dict.fromkeys(row.id for row in found))


def lost_stage(session: Session, bundle: str) -> LostStage | None:
    """The stage that a worker of this bundle should take before any other; mostly there is none."""
    query = (
        select(Stage.id, Stage.generation)
        .join(Job, Job.id == Stage.job_id)
        .where(
            Stage.status == StageStatus.DISPATCHED,
            Stage.losses > 0,
            Stage.ready_at.is_not(None),  # else it follows another stage of its branch
            Job.bundle == bundle,
            Job.status == JobStatus.RUNNING,
        )
        .order_by(Job.priority.desc(), Stage.ready_at)
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    return LostStage(row.id, row.generation) if row else None

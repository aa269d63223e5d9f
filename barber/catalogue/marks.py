"""Whether jobs have changed since somebody looked: one cheap question for all that are watched."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

# Of every row that a job's page shows, the transaction that wrote it last.
MARKS = text("""
SELECT job.id, concat_ws('/', job.xmin, seen.rows, (
         SELECT max(event.id) FROM event WHERE event.job_id = job.id)) AS mark
  FROM job
 CROSS JOIN LATERAL (
       SELECT string_agg(concat_ws(',', stage.xmin, preview.xmin, (
                SELECT string_agg(curve.xmin::text, ';' ORDER BY curve.token)
                  FROM stage_curve AS curve WHERE curve.stage_id = stage.id)),
              '/' ORDER BY stage.id) AS rows
         FROM stage
         LEFT JOIN stage_preview AS preview ON preview.stage_id = stage.id
        WHERE stage.job_id = job.id) AS seen
 WHERE job.id = ANY (:job_ids)
""")


def of_jobs(session: Session, job_ids: Collection[int]) -> dict[int, str]:
    """A text for each job that is there; it is another one whenever something of it was written."""
    if not job_ids:
        return {}
    rows = session.execute(MARKS, {"job_ids": sorted(job_ids)})
    return {row.id: row.mark for row in rows}

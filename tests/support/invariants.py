"""What must hold in the catalogue after any history, however it was interrupted."""

from __future__ import annotations

from sqlalchemy import Engine, text

# Each query finds offenders; constraints and triggers guard single rows, these guard several.
OFFENCES = {
    "an artifact is being built by a stage that is not out": """
        SELECT artifact.key FROM artifact JOIN stage ON stage.id = artifact.builder_stage
         WHERE stage.status NOT IN ('dispatched', 'running') OR stage.key <> artifact.key""",
    "a stage is out and builds nothing": """
        SELECT stage.id FROM stage
         WHERE status IN ('dispatched', 'running')
           AND NOT EXISTS (SELECT FROM artifact WHERE builder_stage = stage.id)""",
    "a running job has a succeeded stage without its artifact": """
        SELECT stage.id FROM stage JOIN job ON job.id = stage.job_id
          JOIN artifact ON artifact.key = stage.key
         WHERE job.status = 'running' AND stage.status = 'succeeded'
           AND artifact.status <> 'ready'""",
    "an ended job has a stage that is out": """
        SELECT job.id FROM job JOIN stage ON stage.job_id = job.id
         WHERE job.finished_at IS NOT NULL AND stage.status IN ('dispatched', 'running')""",
    "a queued job has a stage that is not pending": """
        SELECT job.id FROM job JOIN stage ON stage.job_id = job.id
         WHERE job.status = 'queued' AND stage.status <> 'pending'""",
    "a succeeded job has a stage that did not succeed": """
        SELECT job.id FROM job JOIN stage ON stage.job_id = job.id
         WHERE job.status = 'succeeded' AND stage.status <> 'succeeded'""",
    "a failed job has no failed stage": """
        SELECT job.id FROM job WHERE status = 'failed' AND NOT EXISTS (
            SELECT FROM stage WHERE stage.job_id = job.id AND stage.status = 'failed')""",
    "an attempt is open and its stage is not running with that token": """
        SELECT attempt.id FROM attempt JOIN stage ON stage.id = attempt.stage_id
         WHERE attempt.outcome IS NULL
           AND (stage.status <> 'running' OR stage.token <> attempt.token)""",
    "a running stage has no open attempt": """
        SELECT stage.id FROM stage WHERE status = 'running' AND NOT EXISTS (
            SELECT FROM attempt WHERE attempt.stage_id = stage.id
               AND attempt.token = stage.token AND attempt.outcome IS NULL)""",
    "a batch has not as many jobs of a status as its counters say": """
        SELECT batch_id, status FROM (
            SELECT batch_id, status, jobs FROM job_count WHERE batch_id <> 0
             UNION ALL SELECT batch_id, status, jobs FROM job_change
             UNION ALL SELECT batch_id, status, -count(*) FROM job GROUP BY batch_id, status
        ) AS counted GROUP BY batch_id, status HAVING sum(jobs) <> 0""",
    "a ready artifact has no file": """
        SELECT key FROM artifact WHERE status = 'ready'
           AND NOT EXISTS (SELECT FROM artifact_file WHERE artifact_key = artifact.key)""",
    "an artifact that is not ready has files": """
        SELECT key FROM artifact JOIN artifact_file ON artifact_key = key
         WHERE status <> 'ready'""",
}


def offences(engine: Engine) -> list[str]:
    """What is wrong with the catalogue, in words; empty when all is well."""
    with engine.connect() as connection:
        return [
            f"{what}: {found}"
            for what, query in OFFENCES.items()
            if (found := connection.scalars(text(query)).all())
        ]

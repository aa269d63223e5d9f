"""Index what the list of jobs is searched and sorted by; name the cause of each failure."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UPGRADE = (
    # Substrings without pg_trgm, which not every Postgres has: the three letters at each place.
    """
CREATE FUNCTION trigrams(phrase text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT coalesce(array_agg(DISTINCT substr(lower(phrase), place, 3)), '{}')
      FROM generate_series(1, length(phrase) - 2) AS place
$$
    """,
    """
CREATE FUNCTION job_trigrams(name text, error text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
    SELECT coalesce(array_agg(DISTINCT substr(lower(phrase), place, 3)), '{}')
      FROM (VALUES (left(name, 400)), (left(error, 400))) AS told (phrase)
     CROSS JOIN LATERAL generate_series(1, length(phrase) - 2) AS place
$$
    """,
    # A short name for what failures have in common; numbers, digests and quoted names differ.
    """
CREATE FUNCTION job_cause(stage text, error_class text, error text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(substring(sha256(
           convert_to(coalesce(stage, ''), 'UTF8') || '\\x00'::bytea ||
           convert_to(coalesce(error_class, ''), 'UTF8') || '\\x00'::bytea ||
           convert_to(coalesce(regexp_replace(
               error, '[0-9a-f]{12,}|[0-9]+([.:][0-9]+)*|''[^'']*''', '..', 'g'), ''), 'UTF8')
           ) FROM 1 FOR 8), 'hex')
$$
    """,
    "ALTER TABLE job ADD COLUMN cause TEXT",
    """
UPDATE job SET cause = job_cause((
           SELECT kind FROM stage WHERE stage.job_id = job.id AND stage.status = 'failed'
            ORDER BY stage.finished_at, stage.id LIMIT 1), error_class, error)
 WHERE status = 'failed'
    """,
    """
CREATE FUNCTION note_job_cause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.cause := CASE WHEN NEW.status = 'failed' THEN job_cause((
        SELECT kind FROM stage WHERE stage.job_id = NEW.id AND stage.status = 'failed'
         ORDER BY stage.finished_at, stage.id LIMIT 1), NEW.error_class, NEW.error) END;
    RETURN NEW;
END $$
    """,
    """
CREATE TRIGGER note_cause BEFORE UPDATE OF status ON job FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION note_job_cause()
    """,
    "CREATE INDEX ix_job_cause_newest ON job (cause, (- id)) WHERE cause IS NOT NULL",
    """
CREATE INDEX ix_job_error_newest ON job (error_class, (- id)) WHERE error_class IS NOT NULL
    """,
    "CREATE INDEX ix_job_bundle_newest ON job (bundle_name, (- id))",
    "CREATE INDEX ix_job_priority ON job (priority, id)",
    "CREATE INDEX ix_job_created_at ON job (created_at)",
    """
CREATE INDEX ix_job_ended ON job (finished_at, status) WHERE finished_at IS NOT NULL
    """,
    "CREATE INDEX ix_job_updated ON job (COALESCE(finished_at, started_at, created_at), id)",
    "CREATE INDEX ix_job_words ON job USING gin (job_trigrams(name, error))",
    "CREATE INDEX ix_stage_failed ON stage (kind, job_id) WHERE status = 'failed'",
)

DOWNGRADE = (
    "DROP INDEX ix_stage_failed",
    "DROP INDEX ix_job_words",
    "DROP INDEX ix_job_updated",
    "DROP INDEX ix_job_ended",
    "DROP INDEX ix_job_created_at",
    "DROP INDEX ix_job_priority",
    "DROP INDEX ix_job_bundle_newest",
    "DROP INDEX ix_job_error_newest",
    "DROP INDEX ix_job_cause_newest",
    "DROP TRIGGER note_cause ON job",
    "DROP FUNCTION note_job_cause",
    "ALTER TABLE job DROP COLUMN cause",
    "DROP FUNCTION job_cause",
    "DROP FUNCTION job_trigrams",
    "DROP FUNCTION trigrams",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

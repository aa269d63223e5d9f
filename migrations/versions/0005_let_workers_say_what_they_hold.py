"""Let workers say which bundle they hold, on what machine, and until when they count as alive."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OLD = "status IN ('ready', 'busy', 'stopped')"
NEW = "status IN ('ready', 'busy', 'draining', 'stopped', 'lost')"

UPGRADE = (
    f"""
ALTER TABLE worker
    ADD COLUMN alive_until TIMESTAMPTZ DEFAULT now() NOT NULL,
    ADD COLUMN bundle TEXT,
    ADD COLUMN bundle_name TEXT,
    ADD COLUMN host TEXT DEFAULT '' NOT NULL,
    ADD COLUMN memory JSONB DEFAULT '{{}}'::jsonb NOT NULL,
    ADD COLUMN warm_up_s REAL,
    DROP CONSTRAINT ck_worker_status,
    ADD CONSTRAINT ck_worker_status CHECK ({NEW}),
    ADD CONSTRAINT ck_worker_bundle CHECK ((bundle IS NULL) = (bundle_name IS NULL))
    """,
    "ALTER TABLE job ADD COLUMN bundle TEXT GENERATED ALWAYS AS (spec ->> 'bundle') STORED",
    "DROP INDEX ix_job_open",
    """
CREATE INDEX ix_job_open ON job (bundle, batch_id, priority DESC, id)
 WHERE status IN ('queued', 'running')
    """,
)

DOWNGRADE = (
    "DROP INDEX ix_job_open",
    """
CREATE INDEX ix_job_open ON job (batch_id, priority DESC, id)
 WHERE status IN ('queued', 'running')
    """,
    "ALTER TABLE job DROP COLUMN bundle",
    "UPDATE worker SET status = 'stopped' WHERE status IN ('draining', 'lost')",
    f"""
ALTER TABLE worker
    DROP CONSTRAINT ck_worker_bundle,
    DROP CONSTRAINT ck_worker_status,
    ADD CONSTRAINT ck_worker_status CHECK ({OLD}),
    DROP COLUMN warm_up_s,
    DROP COLUMN memory,
    DROP COLUMN host,
    DROP COLUMN bundle_name,
    DROP COLUMN bundle,
    DROP COLUMN alive_until
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

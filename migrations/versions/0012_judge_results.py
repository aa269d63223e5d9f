"""Keep the numbers of results, and what people decided about them."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = (
    """
CREATE TABLE result_quality (
    artifact_key TEXT NOT NULL,
    psnr_db REAL,
    ssim REAL,
    distance REAL,
    distance_name TEXT NOT NULL,
    iou REAL,
    ious JSONB NOT NULL,
    spread REAL NOT NULL,
    flags TEXT[] NOT NULL,
    measured_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_result_quality PRIMARY KEY (artifact_key),
    CONSTRAINT fk_result_quality_artifact_key_artifact
        FOREIGN KEY (artifact_key) REFERENCES artifact (key) ON DELETE CASCADE
)
    """,
    """
CREATE TABLE result_verdict (
    job_id BIGINT NOT NULL,
    result_key TEXT NOT NULL,
    decision TEXT NOT NULL,
    who TEXT NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    audit_id BIGINT NOT NULL,
    CONSTRAINT pk_result_verdict PRIMARY KEY (job_id),
    CONSTRAINT fk_result_verdict_job_id_job
        FOREIGN KEY (job_id) REFERENCES job (id) ON DELETE CASCADE,
    CONSTRAINT ck_result_verdict_decision CHECK (decision IN ('accepted', 'rejected'))
)
    """,
    "CREATE INDEX ix_result_verdict_audit_id ON result_verdict (audit_id)",
    """
CREATE TABLE verdict_change (
    audit_id BIGINT NOT NULL,
    job_id BIGINT NOT NULL,
    result_key TEXT NOT NULL,
    decision TEXT,
    before TEXT,
    before_who TEXT,
    before_at timestamptz,
    undone BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_verdict_change PRIMARY KEY (audit_id, job_id),
    CONSTRAINT fk_verdict_change_job_id_job
        FOREIGN KEY (job_id) REFERENCES job (id) ON DELETE CASCADE,
    CONSTRAINT ck_verdict_change_decision CHECK (decision IN ('accepted', 'rejected')),
    CONSTRAINT ck_verdict_change_before CHECK (before IN ('accepted', 'rejected')),
    CONSTRAINT ck_verdict_change_before_who CHECK ((before IS NULL) = (before_who IS NULL))
)
    """,
    "CREATE INDEX ix_verdict_change_job_id ON verdict_change (job_id)",
)

DOWNGRADE = (
    "DROP TABLE verdict_change",
    "DROP TABLE result_verdict",
    "DROP TABLE result_quality",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

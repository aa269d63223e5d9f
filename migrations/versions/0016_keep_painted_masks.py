"""Keep the target masks that people painted, version by version."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = (
    """
CREATE TABLE mask_version (
    job_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    mask JSONB NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_mask_version PRIMARY KEY (job_id, number),
    CONSTRAINT fk_mask_version_job_id_job
        FOREIGN KEY (job_id) REFERENCES job (id) ON DELETE CASCADE,
    CONSTRAINT uq_mask_version_job_id_digest UNIQUE (job_id, digest),
    CONSTRAINT ck_mask_version_number CHECK (number > 0),
    CONSTRAINT ck_mask_version_digest_hex CHECK (digest ~ '^[0-9a-f]{64}$')
)
    """,
)

DOWNGRADE = ("DROP TABLE mask_version",)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

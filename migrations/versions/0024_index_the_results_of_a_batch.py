"""Let the results of a batch be counted and sorted without reading its jobs."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_job_results ON job (batch_id, id, result_key) WHERE status = 'succeeded'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_job_results")

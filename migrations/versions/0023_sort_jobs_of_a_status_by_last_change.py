"""Let jobs of some statuses be walked in the order of their last change from the index alone."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UPDATED = "COALESCE(finished_at, started_at, created_at)"


def upgrade() -> None:
    op.execute("DROP INDEX ix_job_updated")
    op.execute(f"CREATE INDEX ix_job_updated ON job ({UPDATED}, id, status)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_job_updated")
    op.execute(f"CREATE INDEX ix_job_updated ON job ({UPDATED}, id)")

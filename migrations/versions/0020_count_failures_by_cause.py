"""Index failures so that they are counted by cause from the index alone."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # By id and not by -id: an index over an expression cannot answer by itself.
    op.execute("CREATE INDEX ix_job_cause_id ON job (cause, id) WHERE cause IS NOT NULL")
    op.execute("DROP INDEX ix_job_cause_newest")


def downgrade() -> None:
    op.execute("CREATE INDEX ix_job_cause_newest ON job (cause, (- id)) WHERE cause IS NOT NULL")
    op.execute("DROP INDEX ix_job_cause_id")

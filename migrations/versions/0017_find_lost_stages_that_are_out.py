"""Find the stages that lost their worker and are out again, too."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX ix_stage_lost")
    op.execute(
        "CREATE INDEX ix_stage_lost ON stage (job_id)"
        " WHERE status IN ('pending', 'dispatched') AND losses > 0"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_stage_lost")
    op.execute(
        "CREATE INDEX ix_stage_lost ON stage (job_id) WHERE status = 'pending' AND losses > 0"
    )

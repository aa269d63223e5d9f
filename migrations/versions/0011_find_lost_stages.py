"""Find the stages that lost their worker and wait to be repeated."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_stage_lost ON stage (job_id) WHERE status = 'pending' AND losses > 0"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_stage_lost")

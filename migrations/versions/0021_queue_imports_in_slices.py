"""Let a batch be written in slices: until the last of them nothing of it is handed out."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE batch ADD COLUMN filling BOOLEAN DEFAULT false NOT NULL")
    op.execute("CREATE INDEX ix_batch_submitted_by ON batch (submitted_by)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_batch_submitted_by")
    op.execute("ALTER TABLE batch DROP COLUMN filling")

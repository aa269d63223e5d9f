"""Keep from which step an attempt went on."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE attempt ADD COLUMN from_step INTEGER,"
        " ADD CONSTRAINT ck_attempt_from_step CHECK (from_step > 0)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE attempt DROP COLUMN from_step")

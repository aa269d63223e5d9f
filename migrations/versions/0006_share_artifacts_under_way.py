"""Let jobs be submitted that share an artifact under way: its builder is no key of the row.

A column of a full unique index counts as a key, so each change of the builder shut out the
foreign-key check of every new stage of the same artifact, and long submissions ended in deadlocks
with the dispatcher. A partial index holds the same promise and is none.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE artifact DROP CONSTRAINT uq_artifact_builder_stage")
    op.execute(
        "CREATE UNIQUE INDEX uq_artifact_builder_stage ON artifact (builder_stage) "
        "WHERE builder_stage IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX uq_artifact_builder_stage")
    op.execute(
        "ALTER TABLE artifact ADD CONSTRAINT uq_artifact_builder_stage UNIQUE (builder_stage)"
    )

"""Keep how the losses of an attempt fell, and the traceback of one that failed."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN trace TEXT")
    op.execute(
        """
        CREATE TABLE stage_curve (
            stage_id BIGINT NOT NULL,
            token BIGINT NOT NULL,
            phases JSONB NOT NULL,
            at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_stage_curve PRIMARY KEY (stage_id, token),
            CONSTRAINT fk_stage_curve_stage_id_stage
                FOREIGN KEY (stage_id) REFERENCES stage (id) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX ix_stage_curve_at ON stage_curve USING brin (at)")


def downgrade() -> None:
    op.execute("DROP TABLE stage_curve")
    op.execute("ALTER TABLE attempt DROP COLUMN trace")

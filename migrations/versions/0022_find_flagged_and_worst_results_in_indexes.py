"""Find flagged results, and the worst ones of a batch, without reading their rows."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_result_quality_flagged ON result_quality (artifact_key)"
        " WHERE cardinality(flags) > 0"
    )
    _key_by("(artifact_key) INCLUDE (iou, psnr_db, ssim, distance)")


def downgrade() -> None:
    _key_by("(artifact_key)")
    op.execute("DROP INDEX ix_result_quality_flagged")


def _key_by(columns: str) -> None:
    op.execute(
        "ALTER TABLE result_quality DROP CONSTRAINT pk_result_quality,"
        f" ADD CONSTRAINT pk_result_quality PRIMARY KEY {columns}"
    )

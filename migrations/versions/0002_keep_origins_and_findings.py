"""Keep the origins of portraits, their own label maps, and what was found before queueing."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HEX = "~ '^[0-9a-f]{64}$'"

UPGRADE = (
    f"""
ALTER TABLE portrait
    ADD COLUMN labels_file_sha256 TEXT,
    ADD COLUMN photo_file_sha256 TEXT,
    ADD COLUMN crop JSONB,
    ADD CONSTRAINT ck_portrait_labels_hex CHECK (labels_file_sha256 {HEX}),
    ADD CONSTRAINT ck_portrait_photo_hex CHECK (photo_file_sha256 {HEX}),
    ADD CONSTRAINT ck_portrait_origin CHECK ((photo_file_sha256 IS NULL) = (crop IS NULL))
    """,
    "ALTER TABLE job ADD COLUMN findings JSONB DEFAULT '[]'::jsonb NOT NULL",
)

DOWNGRADE = (
    "ALTER TABLE job DROP COLUMN findings",
    """
ALTER TABLE portrait
    DROP CONSTRAINT ck_portrait_origin,
    DROP CONSTRAINT ck_portrait_photo_hex,
    DROP CONSTRAINT ck_portrait_labels_hex,
    DROP COLUMN crop,
    DROP COLUMN photo_file_sha256,
    DROP COLUMN labels_file_sha256
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

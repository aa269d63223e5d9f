"""Keep answers by idempotency key: a repeated request is answered as it was before."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UPGRADE = (
    """
CREATE TABLE reply (
    person_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    status SMALLINT,
    body TEXT,
    begun_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_reply PRIMARY KEY (person_id, key),
    CONSTRAINT fk_reply_person_id_person FOREIGN KEY (person_id) REFERENCES person (id),
    CONSTRAINT ck_reply_whole CHECK ((status IS NULL) = (body IS NULL))
)
    """,
)

DOWNGRADE = ("DROP TABLE reply",)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)

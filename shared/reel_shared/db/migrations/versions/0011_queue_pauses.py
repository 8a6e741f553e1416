"""when which queue was paused, by whom and why"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
IN_FORCE = sa.text("resumed_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "queue_pauses",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("queue", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("resumed_at", TIME),
        sa.Column("resumed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_pauses")),
    )
    op.create_index("ix_queue_pauses_created", "queue_pauses", ["created_at", "id"])
    op.create_index(
        "uq_queue_pauses_queue",
        "queue_pauses",
        ["queue"],
        unique=True,
        sqlite_where=IN_FORCE,
        postgresql_where=IN_FORCE,
    )


def downgrade() -> None:
    op.drop_table("queue_pauses")

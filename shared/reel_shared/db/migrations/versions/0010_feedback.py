"""what people say of answers: right or wrong, for review"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=500), nullable=False),
        sa.Column("model_id", sa.String(length=40), nullable=False),
        sa.Column("predicted", sa.String(length=64), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("done_at", TIME),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_feedback_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index("uq_feedback_key", "feedback", ["key", "model_id"], unique=True)
    op.create_index("ix_feedback_created", "feedback", ["created_at", "id"])


def downgrade() -> None:
    op.drop_table("feedback")

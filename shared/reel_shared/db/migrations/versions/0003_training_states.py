"""how far trainings have come"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "training_states",
        sa.Column("job_id", sa.String(length=40), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("checkpoint", sa.JSON(none_as_null=True)),
        sa.Column("stop_after_epoch", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("training_states")

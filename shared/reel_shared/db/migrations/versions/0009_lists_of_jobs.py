"""indexes for lists of jobs: of a state and queue, of a kind, of an owner"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_jobs_state_queue", "jobs")
    op.create_index("ix_jobs_state_queue", "jobs", ["state", "queue", "created_at", "id"])
    op.create_index("ix_jobs_kind", "jobs", ["kind", "created_at", "id"])
    op.create_index("ix_jobs_owner", "jobs", ["owner", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_owner", "jobs")
    op.drop_index("ix_jobs_kind", "jobs")
    op.drop_index("ix_jobs_state_queue", "jobs")
    op.create_index("ix_jobs_state_queue", "jobs", ["state", "queue"])

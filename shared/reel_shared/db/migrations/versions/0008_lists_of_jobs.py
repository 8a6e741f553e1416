"""indexes for lists of jobs: of a state and queue, a kind, an owner; parts are not counted beside their jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_jobs_state_queue", "jobs")
    op.create_index("ix_jobs_state_queue", "jobs", ["state", "queue", "created_at", "id"])
    op.create_index("ix_jobs_kind", "jobs", ["kind", "created_at", "id"])
    op.create_index("ix_jobs_owner", "jobs", ["owner", "created_at", "id"])
    parts = sa.text("part IS NOT NULL")
    op.create_index("ix_jobs_parts", "jobs", ["state", "queue"], sqlite_where=parts, postgresql_where=parts)


def downgrade() -> None:
    op.drop_index("ix_jobs_parts", "jobs")
    op.drop_index("ix_jobs_owner", "jobs")
    op.drop_index("ix_jobs_kind", "jobs")
    op.drop_index("ix_jobs_state_queue", "jobs")
    op.create_index("ix_jobs_state_queue", "jobs", ["state", "queue"])

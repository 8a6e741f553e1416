"""secrets of webhooks that are being replaced, and until when they sign too"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("old_secrets", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("webhook_endpoints", "old_secrets")

"""limits that an API key has of its own"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = ("api_keys", "key_changes")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("limits", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "limits")

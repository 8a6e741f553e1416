"""numbers, tags and remarks of models; every change of an alias"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("tags", "remarks"):
        op.add_column("models", sa.Column(name, JSON, nullable=False, server_default="[]"))
    op.add_column("models", sa.Column("forced", JSON))
    op.add_column("models", sa.Column("number", sa.Integer(), nullable=False, server_default="0"))
    numbered = "SELECT id, row_number() OVER (ORDER BY created_at, id) AS place FROM models"
    op.execute(
        f"UPDATE models SET number = (SELECT place FROM ({numbered}) AS n WHERE n.id = models.id)"  # noqa: S608  # nosec B608
    )
    op.create_index("uq_models_number", "models", ["number"], unique=True)
    op.create_table(
        "alias_changes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("alias", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("from_model_id", sa.String(length=40), nullable=True),
        sa.Column("to_model_id", sa.String(length=40), nullable=True),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("failed_gates", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["from_model_id"], ["models.id"], name=op.f("fk_alias_changes_from_model_id")
        ),
        sa.ForeignKeyConstraint(["to_model_id"], ["models.id"], name=op.f("fk_alias_changes_to_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_changes")),
    )
    op.create_index("ix_alias_changes_created", "alias_changes", ["created_at", "id"])
    op.create_index("ix_alias_changes_alias", "alias_changes", ["alias", "created_at"])


def downgrade() -> None:
    op.drop_table("alias_changes")
    op.drop_index("uq_models_number", "models")
    for name in ("number", "forced", "remarks", "tags"):
        op.drop_column("models", name)

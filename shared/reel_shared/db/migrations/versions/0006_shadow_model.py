"""a shadow model beside the active one, and how the two compare"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("model_aliases", sa.Column("share", sa.Double()))
    op.create_table(
        "shadow_comparisons",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("active_id", sa.String(length=40), nullable=False),
        sa.Column("shadow_id", sa.String(length=40), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("pairs", JSON, nullable=False),
        sa.Column("other_pairs", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["active_id"], ["models.id"], name=op.f("fk_shadow_comparisons_active_id")),
        sa.ForeignKeyConstraint(["shadow_id"], ["models.id"], name=op.f("fk_shadow_comparisons_shadow_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_comparisons")),
    )


def downgrade() -> None:
    op.drop_table("shadow_comparisons")
    op.execute("DELETE FROM model_aliases WHERE name = 'shadow'")
    op.drop_column("model_aliases", "share")

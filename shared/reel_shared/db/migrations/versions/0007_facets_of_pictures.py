"""indexes that answer the data set page: counts of every facet, and one page of the grid, without reading pictures"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FACETS = ["dataset", "variant", "state", "state_reason", "label", "source", "movie_id"]
GRID = ["dataset", "id", "variant", "state", "state_reason", "label", "source", "movie_id", "phash"]


def upgrade() -> None:
    op.create_index("ix_images_facets", "images", FACETS)
    op.create_index("ix_images_grid", "images", GRID)


def downgrade() -> None:
    op.drop_index("ix_images_grid", "images")
    op.drop_index("ix_images_facets", "images")

"""states, evidence and people's decisions about pictures"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
TIME = sa.DateTime(timezone=True)
ORIGINAL = "variant = 'original'"
ACTIVE_ORIGINAL = "variant = 'original' AND state = 'active'"
PART_IN_USE = sa.text("part IS NOT NULL AND state NOT IN ('failed', 'canceled')")


def added() -> dict[str, list[sa.Column]]:
    """New columns by table; rows that stand already get the server's defaults."""

    def text(name: str, length: int, default: str = "") -> sa.Column:
        return sa.Column(name, sa.String(length=length), nullable=False, server_default=default)

    def json(name: str, default: str) -> sa.Column:
        return sa.Column(name, JSON, nullable=False, server_default=default)

    return {
        "jobs": [sa.Column("part", sa.Integer())],
        "movies": [sa.Column("borders", JSON), json("sampling", "{}"), json("counts", "{}")],
        "collections": [
            json("styles", "[]"),
            sa.Column("since", TIME),
            sa.Column("until", TIME),
            text("probe", 64),
            json("counts", "{}"),
        ],
        "images": [
            text("state", 16, "active"),
            text("state_reason", 64),
            sa.Column("duplicate_of", sa.String(length=40)),
            sa.Column("quality", JSON),
            text("probe", 64),
            sa.Column("taken_at", TIME),
            sa.Column("phash_with_bars", sa.String(length=16)),
            sa.Column("impossible_variants", JSON),
        ],
        "dataset_versions": [
            sa.Column("certificate_file", JSON),
            json("left_out", "{}"),
            json("excluded", "{}"),
            json("takedowns", "[]"),
        ],
        "models": [json("takedowns", "[]")],
    }


IMAGE_INDEXES = {
    "ix_images_dataset_state": ["dataset", "state", "label"],
    "ix_images_movie": ["movie_id", "frame_index"],
    "ix_images_collection": ["collection_id"],
    "ix_images_duplicate_of": ["duplicate_of"],
    "ix_images_sha256": ["sha256"],
}


def originals(condition: str) -> None:
    op.drop_index("uq_images_original", "images")
    where = sa.text(condition)
    op.create_index(
        "uq_images_original",
        "images",
        ["dataset", "sha256"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    originals(ACTIVE_ORIGINAL)
    op.create_index(
        "uq_jobs_part",
        "jobs",
        ["parent_id", "kind", "part"],
        unique=True,
        sqlite_where=PART_IN_USE,
        postgresql_where=PART_IN_USE,
    )
    for name, columns in IMAGE_INDEXES.items():
        op.create_index(name, "images", columns)
    op.create_table(
        "candidates",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("transient", sa.Boolean(), nullable=False),
        sa.Column("picture", JSON, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_candidates_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidates")),
    )
    op.create_index("uq_candidates_job_url", "candidates", ["job_id", "url_sha256"], unique=True)
    op.create_table(
        "image_changes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("batch_id", sa.String(length=40), nullable=False),
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=False),
        sa.Column("after", sa.String(length=64), nullable=False),
        sa.Column("reason_before", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_image_changes_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_changes")),
    )
    op.create_index("ix_image_changes_batch", "image_changes", ["batch_id"])
    op.create_index("ix_image_changes_image", "image_changes", ["image_id", "id"])
    op.create_table(
        "subject_marks",
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("mark", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_subject_marks_image_id")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_subject_marks")),
    )
    op.create_table(
        "split_pins",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.Column("movie_id", sa.String(length=40), nullable=True),
        sa.Column("scene", sa.Integer(), nullable=True),
        sa.Column("start_seconds", sa.Double(), nullable=True),
        sa.Column("end_seconds", sa.Double(), nullable=True),
        sa.Column("image_id", sa.String(length=40), nullable=True),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_split_pins_image_id")),
        sa.ForeignKeyConstraint(["movie_id"], ["movies.id"], name=op.f("fk_split_pins_movie_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_split_pins")),
    )
    op.create_index(op.f("ix_split_pins_dataset"), "split_pins", ["dataset"])
    op.create_table(
        "takedowns",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("image_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("phash", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("page_url", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_takedowns_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_takedowns")),
    )
    op.create_index(op.f("ix_takedowns_sha256"), "takedowns", ["sha256"])
    op.create_index("ix_takedowns_created", "takedowns", ["created_at", "id"])


def downgrade() -> None:
    for table in ("takedowns", "split_pins", "subject_marks", "image_changes", "candidates"):
        op.drop_table(table)
    for name in IMAGE_INDEXES:
        op.drop_index(name, "images")
    # What revision 0001 cannot say must go: it knows one original a content, and no states.
    op.execute("DELETE FROM images WHERE parent_id IN (SELECT id FROM images WHERE state <> 'active')")
    op.execute("DELETE FROM images WHERE state <> 'active'")
    originals(ORIGINAL)
    op.drop_index("uq_jobs_part", "jobs")
    for table, columns in added().items():
        for column in columns:
            op.drop_column(table, column.name)

"""Collections, persons, faces, templates, the change log and idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _created(name: str = "created_at") -> sa.Column:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("model", sa.Text()),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _created(),
    )
    op.create_table(
        "collection_models",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        _created("bound_at"),
        sa.PrimaryKeyConstraint("collection_id", "model"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "persons",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("external_id", sa.Text()),
        sa.Column(
            "metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        _created(),
        _created("updated_at"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("collection_id", "external_id"),
        sa.UniqueConstraint("collection_id", "id"),
    )
    op.create_index("persons_collection_id_sequence_idx", "persons", ["collection_id", "sequence"])
    op.create_table(
        "faces",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("bounding_box", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("landmarks", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("detection_score", sa.REAL(), nullable=False),
        sa.Column("quality", postgresql.JSONB(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["collection_id", "person_id"],
            ["persons.collection_id", "persons.id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        sa.UniqueConstraint("id", "person_id"),
    )
    op.create_index("faces_person_id_sequence_idx", "faces", ["person_id", "sequence"])
    op.create_index("faces_collection_id_person_id_idx", "faces", ["collection_id", "person_id"])
    op.create_table(
        "templates",
        sa.Column("face_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("face_id", "model"),
        sa.ForeignKeyConstraint(
            ["face_id", "person_id"],
            ["faces.id", "faces.person_id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["collection_id", "model"],
            ["collection_models.collection_id", "collection_models.model"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("templates_collection_id_model_idx", "templates", ["collection_id", "model"])
    op.create_index("templates_face_id_person_id_idx", "templates", ["face_id", "person_id"])
    # A vector is above the size from which PostgreSQL moves values into a side table.
    op.execute("ALTER TABLE templates ALTER COLUMN vector SET STORAGE PLAIN")
    op.create_table(
        "changes",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("added", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("removed", sa.ARRAY(sa.Uuid()), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("collection_id", "revision"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", postgresql.JSONB()),
        sa.Column("person_id", sa.Uuid()),
        _created(),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], ondelete="CASCADE"),
    )
    op.create_index("idempotency_person_id_idx", "idempotency", ["person_id"])
    op.create_index("idempotency_created_at_idx", "idempotency", ["created_at"])


def downgrade() -> None:
    for table in (
        "idempotency",
        "changes",
        "templates",
        "faces",
        "persons",
        "collection_models",
        "collections",
    ):
        op.drop_table(table)

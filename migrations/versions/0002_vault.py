"""Keys for what is sealed: wrapped data keys, the key version of a template, and kept crops."""

import sqlalchemy as sa
from alembic import op

from app.errors import CannotStart

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Uuid()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("collection_id", "version"),
    )
    op.create_index(
        "vault_keys_purpose_idx",
        "vault_keys",
        ["purpose"],
        unique=True,
        postgresql_where=sa.text("collection_id IS NULL"),
    )
    # NULL is a template that an older version stored in plain; the service seals it.
    op.add_column("templates", sa.Column("key_version", sa.Integer()))
    op.create_foreign_key(
        "templates_collection_id_key_version_fkey",
        "templates",
        "vault_keys",
        ["collection_id", "key_version"],
        ["collection_id", "version"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_index(
        "templates_collection_id_key_version_idx", "templates", ["collection_id", "key_version"]
    )
    op.create_table(
        "crops",
        sa.Column("face_id", sa.Uuid(), primary_key=True),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["collection_id", "key_version"],
            ["vault_keys.collection_id", "vault_keys.version"],
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index(
        "crops_collection_id_key_version_idx", "crops", ["collection_id", "key_version"]
    )


def downgrade() -> None:
    query = "SELECT count(*) FROM templates WHERE key_version IS NOT NULL"
    sealed = op.get_bind().execute(sa.text(query)).scalar_one()
    if sealed:
        raise CannotStart(
            f"{sealed} templates are encrypted, and the older schema has no place for their keys: "
            "they would be lost. Restore a backup from before the upgrade, or delete the "
            "collections first."
        )
    op.drop_table("crops")
    op.drop_constraint("templates_collection_id_key_version_fkey", "templates")
    op.drop_index("templates_collection_id_key_version_idx", "templates")
    op.drop_column("templates", "key_version")
    op.drop_table("vault_keys")

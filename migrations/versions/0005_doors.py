"""What doors for callers of other services need: signatures that were used, and, of a face, the
picture that it was found in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "used_signatures",
        sa.Column("signature", sa.LargeBinary(), primary_key=True),
        sa.Column("attempt", sa.Text()),
        sa.Column(
            "used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.add_column("faces", sa.Column("image_id", sa.Uuid()))
    op.add_column("faces", sa.Column("image_size", sa.ARRAY(sa.Integer())))


def downgrade() -> None:
    op.drop_column("faces", "image_size")
    op.drop_column("faces", "image_id")
    op.drop_table("used_signatures")

"""The caller's own word for the photo that a face came from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("faces", sa.Column("reference", sa.Text()))


def downgrade() -> None:
    op.drop_column("faces", "reference")

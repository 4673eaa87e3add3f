"""API keys, their limits, the audit record, consent and expiry of persons."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The setting is for `python -m app audit prune`, which the role of a hardened service may not run.
_REFUSE = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('rollcall.prune', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit record is append-only';
END $$
"""


def _time(name: str, **given: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **given)


def upgrade() -> None:
    op.add_column("persons", sa.Column("consent", sa.Text()))
    op.add_column("persons", _time("expires_at"))
    op.create_index(
        "persons_expires_at_idx",
        "persons",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("previous_digest", sa.LargeBinary()),
        _time("previous_until"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("collections", sa.ARRAY(sa.Text())),
        sa.Column("requests_a_minute", sa.Integer()),
        sa.Column("concurrency", sa.Integer()),
        _time("created_at", server_default=sa.text("now()"), nullable=False),
        _time("expires_at"),
        _time("revoked_at"),
        _time("last_used_at"),
    )
    op.create_table(
        "key_limits",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        _time("spent_until", nullable=False),
        sa.PrimaryKeyConstraint("key_id", "bucket"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.Uuid(), nullable=False, unique=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
    )
    op.execute(_REFUSE)
    op.execute(
        "CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_table BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def downgrade() -> None:
    for table in ("audit", "key_limits", "api_keys"):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_is_append_only()")
    op.drop_index("persons_expires_at_idx", "persons")
    op.drop_column("persons", "expires_at")
    op.drop_column("persons", "consent")

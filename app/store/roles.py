"""What the database's role may do: the service's own may read and write rows, and no more.

docker/db-init.sh makes two roles: one owns the tables and migrates, the other serves. Here is
what tells them apart, and what takes back rights that a single table must not give.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Tables on which others than their owner have less than default privileges give them. Laid down
# anew after every migration, and so after a restore too.
LIMITED: Final[Mapping[str, Collection[str]]] = {
    "alembic_version": ("SELECT",),
    "audit": ("SELECT", "INSERT"),
}

# Rights on a table beyond reading it that somebody may have been given.
_RIGHTS: Final = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

_SUPERUSER: Final = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
_OWNS: Final = (
    "SELECT count(*) > 0 FROM pg_class "
    "WHERE relnamespace = to_regnamespace(current_schema()::text) "
    "AND relkind IN ('r', 'p', 'S', 'v') AND pg_has_role(current_user, relowner, 'USAGE')"
)
_CREATES: Final = "SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')"
_CREATES_SCHEMAS: Final = (
    "SELECT has_database_privilege(current_user, current_database(), 'CREATE')"
)


async def ways_to_change_schema(connection: AsyncConnection) -> Sequence[str]:
    """By what right this connection's role could change the schema; empty where it cannot."""
    ways = {
        "superuser": _SUPERUSER,
        "owns tables": _OWNS,
        "may create in the schema": _CREATES,
        "may create schemas": _CREATES_SCHEMAS,
    }
    return [
        way for way, query in ways.items() if (await connection.execute(text(query))).scalar_one()
    ]


def leaving_only(table: str, rights: Collection[str]) -> str:
    """The statement after which everybody but the owner of `table` has no more than `rights`.

    The code knows tables and not the names of roles, so whoever was given something (by default
    privileges, or by hand) is read from the table itself. `rights` are SELECT, INSERT and the
    like; who had less is given nothing. Run by another than the owner it does nothing.
    """
    gone = ", ".join(right for right in _RIGHTS if right not in rights)
    return f"""
DO $$
DECLARE
    somebody text;
BEGIN
    FOR somebody IN
        SELECT DISTINCT
            CASE WHEN given.grantee = 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END
        FROM pg_class, aclexplode(relacl) AS given
        WHERE pg_class.oid = '{table}'::regclass AND given.grantee <> relowner
          AND pg_has_role(relowner, 'USAGE')
    LOOP
        EXECUTE format('REVOKE {gone} ON {table} FROM %s', somebody);
    END LOOP;
END
$$
"""  # noqa: S608 (names of our own tables and rights)

#!/bin/sh
# Two roles and their database. Run by the postgres image when its volume is empty; run it again
# after a password in .env changed, or on a volume of a version that had one role:
#   docker compose exec db sh /docker-entrypoint-initdb.d/10-rollcall.sh
#
# rollcall_owner  owns the database and its tables; only `python -m app migrate` uses it
# rollcall        the service: reads and writes rows, and cannot change the schema
set -eu

fail() { echo "$1" >&2; exit 1; }

check() {  # name, password
    case "$2" in
        '') fail "$1 is empty: run make env, or write it into .env" ;;
        *[!A-Za-z0-9._~-]*)
            fail "$1 becomes part of a URL: use letters, digits and . _ ~ - only" ;;
    esac
}
check ROLLCALL_DB_PASSWORD "${ROLLCALL_DB_PASSWORD:-}"
check ROLLCALL_DB_OWNER_PASSWORD "${ROLLCALL_DB_OWNER_PASSWORD:-}"
[ "$ROLLCALL_DB_PASSWORD" != "$ROLLCALL_DB_OWNER_PASSWORD" ] \
    && [ "$ROLLCALL_DB_PASSWORD" != "${POSTGRES_PASSWORD:-}" ] \
    && [ "$ROLLCALL_DB_OWNER_PASSWORD" != "${POSTGRES_PASSWORD:-}" ] \
    || fail 'POSTGRES_PASSWORD, ROLLCALL_DB_OWNER_PASSWORD and ROLLCALL_DB_PASSWORD must differ'

# psql reads the passwords itself: they are on no command line.
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet \
     --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password ROLLCALL_DB_PASSWORD
\getenv owner_password ROLLCALL_DB_OWNER_PASSWORD
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['rollcall_owner', 'rollcall']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE rollcall_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'owner_password';
ALTER ROLE rollcall LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'password';
SELECT $$CREATE DATABASE rollcall OWNER rollcall_owner ENCODING 'UTF8' TEMPLATE template0$$
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'rollcall') \gexec
ALTER DATABASE rollcall OWNER TO rollcall_owner;
REVOKE ALL ON DATABASE rollcall FROM PUBLIC;
GRANT CONNECT ON DATABASE rollcall TO rollcall;

\connect rollcall
-- A volume of a version whose service owned its tables: nothing to do on a new one.
REASSIGN OWNED BY rollcall TO rollcall_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO rollcall;
-- For every table that a migration will make; migrations take away what a table must not allow.
ALTER DEFAULT PRIVILEGES FOR ROLE rollcall_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rollcall;
-- SELECT besides, so that the service's role can dump the database (docs/backup.md).
ALTER DEFAULT PRIVILEGES FOR ROLE rollcall_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO rollcall;
-- And for tables that are there already and that the role cannot even read.
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO rollcall', oid::regclass) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
  AND NOT has_table_privilege('rollcall', oid, 'SELECT') \gexec
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO rollcall;
SQL

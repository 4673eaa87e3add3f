#!/bin/sh
# Run once by the postgres image, when its volume is empty: the service gets a database that it
# owns and a role that is nobody's superuser.
set -eu

case "${ROLLCALL_DB_PASSWORD:-}" in
    '')
        echo 'ROLLCALL_DB_PASSWORD is empty: run make env, or write it into .env' >&2
        exit 1 ;;
    *[!A-Za-z0-9._~-]*)
        echo 'ROLLCALL_DB_PASSWORD becomes part of a URL: use letters, digits and . _ ~ - only' >&2
        exit 1 ;;
    "${POSTGRES_PASSWORD:-}")
        echo 'ROLLCALL_DB_PASSWORD and POSTGRES_PASSWORD must differ' >&2
        exit 1 ;;
esac

# psql reads the password itself: it is on no command line.
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet \
     --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password ROLLCALL_DB_PASSWORD
CREATE ROLE rollcall LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
CREATE DATABASE rollcall OWNER rollcall ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE rollcall FROM PUBLIC;
SQL

#!/bin/sh
# Write .env from .env.example with random secrets, readable by its owner alone.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo '.env is there already and is left alone: its secrets open your database volume' >&2
    exit 1
fi

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

umask 077
set -C  # two at once: the second fails instead of overwriting
sed -e "s/^ROLLCALL_SECRET=\$/ROLLCALL_SECRET=$(random 32)/" \
    -e "s/^POSTGRES_PASSWORD=\$/POSTGRES_PASSWORD=$(random 24)/" \
    -e "s/^ROLLCALL_DB_OWNER_PASSWORD=\$/ROLLCALL_DB_OWNER_PASSWORD=$(random 24)/" \
    -e "s/^ROLLCALL_DB_PASSWORD=\$/ROLLCALL_DB_PASSWORD=$(random 24)/" .env.example > .env
echo 'wrote .env with fresh secrets: keep a copy where you keep secrets, without it the database'
echo 'cannot be read'

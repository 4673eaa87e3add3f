#!/bin/sh
# Write .env from .env.example with random passwords, readable by its owner alone.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo '.env is there already and is left alone: its passwords open your database volume' >&2
    exit 1
fi

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

umask 077
set -C  # two at once: the second fails instead of overwriting
sed -e "s/^POSTGRES_PASSWORD=\$/POSTGRES_PASSWORD=$(random)/" \
    -e "s/^ROLLCALL_DB_PASSWORD=\$/ROLLCALL_DB_PASSWORD=$(random)/" .env.example > .env
echo 'wrote .env with fresh passwords: keep a copy where you keep secrets'

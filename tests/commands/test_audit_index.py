"""`rollcall audit index`: what an operator runs to see that nothing differs."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tests.commands.typed import Done, typed
from tests.service import SECRET, Service
from tests.sync.people import enrol, index_of, sql, with_database

KEY = "rc_0123_secret"


def run(*arguments: str, **settings: str) -> Done:
    return typed("audit", "index", *arguments, **settings)


@contextmanager
def imposter(pages: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Something that answers like a service that we do not have; what it was asked, and by whom."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        served: ClassVar = pages

        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            status, body = self.served.get(self.path, (404, {"code": "no", "detail": "none"}))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_replicas_that_are_equal_are_said_to_be_and_a_face_that_differs_is_named(
    serve: Callable[..., Service], database_url: str, hanks: bytes, astronaut: bytes
) -> None:
    services = [serve(), serve()]
    with services[0].client() as client:
        for name in ("crew", "guests"):
            for image in (hanks, astronaut):
                answer = client.post("/enroll", files={"images": image}, data={"collection": name})
                assert answer.status_code == 201, answer.text
        [face] = answer.json()["faces"]
    urls = [part for service in services for part in ("--url", service.url)]

    equal = run(*urls, "--json")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    rows = json.loads(equal.stdout)
    assert [(row["replica"], row["collection"]) for row in rows] == [
        (service.url, name) for service in services for name in ("crew", "guests")
    ]
    assert all(row["equal"] and row["templates"] == row["revision"] == 2 for row in rows)
    assert [row["checksum"] for row in rows[:2]] == [row["checksum"] for row in rows[2:]]

    asyncio.run(sql(database_url, "DELETE FROM templates WHERE face_id = $1::uuid", face["id"]))
    differs = run(*urls)
    assert differs.returncode == 1
    lines = differs.stdout.splitlines()
    assert lines[0].split() == [
        "replica",
        "collection",
        "revision",
        "templates",
        "checksum",
        "equal",
    ]
    assert [line.split()[-1] for line in lines[1:5]] == ["yes", "NO", "yes", "NO"]
    assert lines[5:] == [f"{service.url} guests: 1 extra: {face['id']}" for service in services]

    one = run(*urls[:2], "--collection", "crew")
    assert (one.returncode, len(one.stdout.splitlines())) == (0, 2)
    missing = run(*urls[:2], "--collection", "nobody")
    assert missing.returncode == 1
    assert "collection_not_found" in missing.stdout


def test_snapshots_are_compared_with_what_the_next_start_would_find(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    settings = {
        "ROLLCALL_DATABASE_URL": database_url,
        "ROLLCALL_DATA_DIR": str(tmp_path),
        "ROLLCALL_SECRET": SECRET,
    }
    paths: list[Path] = []

    async def fill(database: Any) -> None:
        for name in ("crew", "guests"):
            await enrol(database, 1, 4, name)
            index = await index_of(database, folder, name)
            await index.catch_up()
            await index.save()
            paths.append(index.snapshot)

    with_database(database_url, fill)
    whole = run("--json", **settings)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert [(row["equal"], row["fault"]) for row in json.loads(whole.stdout)] == [(True, None)] * 2

    body = bytearray(paths[1].read_bytes())
    body[-1] ^= 1
    paths[1].write_bytes(body)
    spoilt = run(**settings)
    assert spoilt.returncode == 1
    assert f"{folder} guests: {paths[1].name} cannot be used" in spoilt.stdout
    assert f"{folder} crew:" not in spoilt.stdout

    paths[1].unlink(missing_ok=True)
    none = run(**settings)
    assert none.returncode == 0, "without a snapshot a start reads PostgreSQL"


def page_of(name: str, after: str | None = None) -> dict[str, Any]:
    """A page with one collection, as a service has it."""
    collection = {
        "name": name,
        "person_count": 1,
        "face_count": 1,
        "model": "0123456789abcdef",
        "revision": 1,
        "created_at": "2026-11-23T00:00:00Z",
    }
    return {"collections": [collection], "next_cursor": after, "request_id": "x"}


def test_a_replica_that_does_not_answer_is_named_and_nothing_is_called_equal() -> None:
    asked = run("--url", "http://127.0.0.1:1", "--url", "ftp://127.0.0.1", "--url", "nonsense")
    assert asked.returncode == 1
    lines = asked.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["NO", "NO", "NO"]
    assert "http://127.0.0.1:1: unreachable" in lines[4]
    assert all("begins with http://" in line for line in lines[5:7])


def test_the_key_is_sent_and_to_nobody_else() -> None:
    collections = page_of("crew")
    with imposter({}) as (elsewhere, never):
        pages = {
            "/base/collections": (200, collections),
            "/base/collections/crew/audit": (302, f"{elsewhere}/steal"),
        }
        with imposter(pages) as (url, seen):
            asked = run("--url", f"{url}/base/", ROLLCALL_KEY=KEY)
            assert asked.returncode == 1
            assert "redirects (302)" in asked.stdout
            assert seen == [(path, f"Bearer {KEY}") for path in pages]
            assert KEY not in asked.stdout + asked.stderr
            run("--url", f"{url}/base")
            assert seen[2:] == [(path, None) for path in pages]
    assert never == []


def test_every_page_of_collections_is_asked_for() -> None:
    answer = {
        "collection": "b",
        "model": "0123456789abcdef",
        "revision": 1,
        "digest": "0" * 64,
        "index": {"templates": 1, "checksum": "0" * 32},
        "database": {"templates": 1, "checksum": "0" * 32},
        "equal": True,
        "request_id": "x",
        **{kind: {"count": 0, "face_ids": []} for kind in ("missing", "extra", "different")},
    }
    pages = {
        "/collections": (200, page_of("a", "a")),
        "/collections?cursor=a": (200, page_of("b")),
        "/collections/a/audit": (200, answer),
        "/collections/b/audit": (200, answer),
    }
    with imposter(pages) as (url, seen):
        assert run("--url", url).returncode == 0
        assert [path for path, _ in seen] == [
            "/collections",
            "/collections?cursor=a",
            "/collections/a/audit",
            "/collections/b/audit",
        ]

"""What is logged, counted and recorded, and what never is: canaries through every way in."""

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.store.embedded import EmbeddedPostgres
from app.types import SCOPES
from tests.api.test_access import Place, Sample, ask, samples
from tests.command_line import make_on_command_line
from tests.raw import connect, read_to_end
from tests.service import ROOT, SECRET, Service, environment
from tests.waiting import wait_until

CANARY = "Kanarienvogel"
# Collections are named in metrics and in the audit record, never in a log.
HOME = "Voliere"
PASSWORD = "Papageienkuchen"  # noqa: S105
HEADERS = {
    "User-Agent": CANARY,
    "X-Request-Id": f"{CANARY} {CANARY}",
    "Idempotency-Key": f"{CANARY}-1",
    "Cookie": f"session={CANARY}",
    "Referer": f"http://{CANARY}/",
    "X-Forwarded-For": CANARY,
}


def with_canary(image: bytes, kind: str) -> bytes:
    """The picture with a canary inside, in a text chunk or a comment."""
    written = io.BytesIO()
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    if kind == "png":
        text = PngInfo()
        text.add_text("Comment", CANARY)
        picture.save(written, "PNG", pnginfo=text)
    else:
        picture.save(written, "JPEG", comment=CANARY.encode())
    assert CANARY.encode() in written.getvalue()
    return written.getvalue()


@dataclass
class Aviary:
    """A service, its PostgreSQL, and all that must never be read anywhere."""

    server: EmbeddedPostgres
    url: str
    service: Service
    folder: Path
    image: bytes
    secrets: set[str] = field(default_factory=lambda: {CANARY, PASSWORD, SECRET})
    persons: set[str] = field(default_factory=set)
    answered: set[tuple[int, str]] = field(default_factory=set)
    clients: ExitStack = field(default_factory=ExitStack)

    def key(self, *scopes: str, rate: int | None = None) -> httpx.Client:
        options = [f"--scope={scope}" for scope in scopes]
        if rate is not None:
            options += ["--requests-a-minute", str(rate)]
        text = make_on_command_line(self.service, *options)
        self.secrets |= {text, text.split("_", 2)[2]}
        client = self.client(Authorization=f"Bearer {text}")
        wait_until(lambda: client.get("/models").status_code != 401)
        return client

    def client(self, **headers: str) -> httpx.Client:
        client = httpx.Client(
            base_url=self.service.url,
            timeout=60,
            headers={**HEADERS, **headers},
            event_hooks={"response": [self._note]},
        )
        return self.clients.enter_context(client)

    def every_operation(self, client: httpx.Client, place: Place) -> list[int]:
        """What each says, asked with a canary in its query too; those that end things last."""
        found = sorted(samples(self.image).items(), key=lambda item: item[0][0] == "delete")
        return [self._ask(client, method, sample, place) for (method, _), sample in found]

    def execute(self, statement: str) -> list[Any]:
        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return await connection.fetch(statement)
            finally:
                await connection.close()

        return asyncio.run(work())

    def _ask(self, client: httpx.Client, method: str, sample: Sample, place: Place) -> int:
        path = f"{sample.path}?{CANARY}={CANARY}"
        given = {**sample.given, "headers": {"Idempotency-Key": f"{CANARY}-{time.monotonic()}"}}
        asked = Sample(sample.scope, path, given)
        return ask(client, method, asked, place).status_code

    def _note(self, answer: httpx.Response) -> None:
        answer.read()
        code = ""
        if answer.headers.get("content-type") == "application/problem+json":
            code = answer.json()["code"]
        self.answered.add((answer.status_code, code))


@pytest.fixture
def aviary(tiny_pack: Path, tmp_path: Path, hanks: bytes) -> Iterator[Aviary]:
    server = EmbeddedPostgres(tmp_path / "pg")
    url = asyncio.run(server.start())
    settings = {
        "ROLLCALL_DATABASE_URL": url.replace("postgres@", f"postgres:{PASSWORD}@"),
        "ROLLCALL_SECRET": SECRET,
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
        "ROLLCALL_REQUIRE_KEYS": "true",
        "ROLLCALL_BODY_SECONDS": "1",
        "ROLLCALL_WORKERS": "1",
        "ROLLCALL_LOG_LEVEL": "debug",
    }
    assert PASSWORD in settings["ROLLCALL_DATABASE_URL"]
    service = Service(settings)
    try:
        service.wait_until_ready()
        aviary = Aviary(server, url, service, tmp_path, with_canary(hanks, "png"))
        with aviary.clients:
            yield aviary
    finally:
        service.kill()
        asyncio.run(server.stop())


def test_no_canary_is_read_in_any_log_metric_or_record(aviary: Aviary, faceless: bytes) -> None:
    all_scopes = aviary.key(*SCOPES)
    place = enrol(aviary, all_scopes, faceless)
    aviary.every_operation(all_scopes, place)
    refused(aviary)
    broken_requests(aviary, all_scopes)
    a_worker_dies(aviary, all_scopes)
    the_database_fails(aviary, all_scopes)

    said = {
        "metrics": all_scopes.get("/metrics").text,
        "audit": all_scopes.get("/audit", params={"limit": 1000}).text,
        "journal": "".join(
            path.read_text() for path in (aviary.folder / "data" / "audit").rglob("*.jsonl")
        ),
    }
    aviary.persons |= {str(row["id"]) for row in aviary.execute("SELECT id FROM persons")}
    # So many digits that no duration has them by chance.
    embeddings = all_scopes.post("/embeddings", files={"image": aviary.image}).json()["faces"]
    aviary.secrets |= {repr(number)[:14] for number in embeddings[0]["embedding"][:50]}
    encoded = base64.b64encode(aviary.image).decode()
    aviary.secrets |= {encoded[:60], encoded[900:960]}
    assert aviary.service.terminate() == 0
    said["service"] = aviary.service.output()
    said["PostgreSQL"] = (aviary.folder / "pg" / "log").read_text()

    # All of this was provoked, or the canaries prove nothing.
    assert {status for status, _ in aviary.answered} >= {
        *(200, 201, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503)
    }
    assert {code for _, code in aviary.answered} >= {
        *("internal", "database_unavailable", "image_broken", "external_id_taken"),
        *(
            "idempotency_key_reused",
            "nothing_enrolled",
            "rate_limited",
            "scope_missing",
            "key_invalid",
        ),
    }
    assert "request.failed" in said["service"] and "decoder.lost" in said["service"]
    assert "violates check constraint" in said["PostgreSQL"]
    for where, text in said.items():
        for secret in aviary.secrets:
            assert secret.lower() not in text.lower(), f"{secret[:20]} in {where}"
    for private in (*aviary.persons, HOME):
        assert private not in said["service"]
    for line in said["service"].splitlines():
        if not line.startswith("Rollcall "):
            assert {"event", "level", "timestamp"} <= set(json.loads(line)), line


def enrol(aviary: Aviary, client: httpx.Client, faceless: bytes) -> Place:
    """Somebody with a canary in every field, and what goes wrong with it."""
    words = {
        **{"name": CANARY, "external_id": CANARY, "consent": CANARY, "collection": HOME},
        "metadata": json.dumps({CANARY: CANARY}),
    }
    jpeg = with_canary(aviary.image, "jpeg")
    for number, image in enumerate((aviary.image, jpeg, faceless, CANARY.encode(), jpeg[:4000])):
        key = {"Idempotency-Key": f"{CANARY}{number}"}
        files = {"images": (f"{CANARY}.jpg", image)}
        client.post("/enroll", files=files, data=words, headers=key)
        client.post("/enroll", files=files, data={**words, "name": "other"}, headers=key)
    client.post("/collections", json={"name": HOME})
    search = {"name": CANARY, "external_id": CANARY}
    found = client.get(f"/collections/{HOME}/persons", params=search).json()["persons"]
    person = found[0]["id"]
    assert found[0]["consent"] == CANARY
    aviary.persons |= {person}
    face = client.get(f"/persons/{person}/faces").json()["faces"][0]["id"]
    client.patch(f"/persons/{person}", json={"metadata": {"y": CANARY}, "name": f"{CANARY} 2"})
    client.post("/keys", json={"name": CANARY, "scopes": ["read"]})
    return Place(HOME, person, face)


def refused(aviary: Aviary) -> None:
    """Without a key, with a wrong one, without the scope, too often; and what is not there."""
    nowhere = Place(CANARY, "00000000-0000-4000-8000-000000000000", CANARY)
    wrong = f"Bearer rc_0123456789abcdef_{CANARY}"
    for client in (
        aviary.client(),
        aviary.client(Authorization=wrong),
        aviary.client(Authorization=f"Basic {CANARY}"),
        aviary.key("metrics"),
        aviary.key("read", rate=2),
        aviary.key(*SCOPES),
    ):
        aviary.every_operation(client, nowhere)


def broken_requests(aviary: Aviary, client: httpx.Client) -> None:
    odd = f"{CANARY}!"
    for path in (f"/{CANARY}", f"/persons/{odd}", f"/faces/{odd}/crop", f"/collections/{odd}"):
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            client.request(method, path)
    for name in ("cursor", "limit", "external_id", "name"):
        client.get(f"/collections/{HOME}/persons", params={name: f"{odd}\0"})
        client.get("/audit", params={name: odd})
    client.delete(f"/keys/{odd}")
    client.post(f"/keys/{odd}/rotate", json={})
    for path in ("/enroll", "/identify", "/verify", "/detect", "/embeddings", "/keys"):
        for body in (
            f'{{"{CANARY}": "{CANARY}"',
            f'{{"{CANARY}": "{CANARY}"}}',
            f'{{"image": "{CANARY}!", "name": ["{CANARY}"], "threshold": "{CANARY}"}}',
            json.dumps({"image": base64.b64encode(aviary.image).decode(), CANARY: 1}),
            '{"name": "' + CANARY * 100_000 + '"}',
            f'{{"metadata": {{"{CANARY}": {"1" * 5000}}}}}',
        ):
            client.post(path, content=body, headers={"Content-Type": "application/json"})
        client.post(path, content=CANARY, headers={"Content-Type": f"text/{CANARY}"})
        for form in ("multipart/form-data", f"multipart/form-data; boundary={CANARY}"):
            for body in (CANARY, f"--{CANARY}\r\nContent-Disposition: {CANARY}\r\n\r\n{CANARY}"):
                client.post(path, content=body, headers={"Content-Type": form})
        client.post(path, files=[(CANARY, (CANARY, aviary.image))] * 2, data={CANARY: CANARY})
        client.post(path, files={"image": (CANARY, b"GIF89a" + CANARY.encode(), CANARY)})
    client.post("/detect", files={"image": aviary.image + CANARY.encode() * 1_000_000})
    for content in (
        f"{CANARY} / HTTP/1.1\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\nHost: x\r\n{CANARY}\r\n\r\n",
        f"POST /detect?{CANARY} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
        f"Authorization: {client.headers['Authorization']}\r\n"
        f"Content-Type: application/json\r\n\r\n{{{CANARY}",
    ):
        with connect(aviary.service.url) as raw:
            raw.sendall(content.encode())
            heard = read_to_end(raw)  # the last is cut off: its body never comes
        aviary.answered.add((int(heard.split(b" ")[1]), ""))
        assert CANARY.encode() not in heard


def a_worker_dies(aviary: Aviary, client: httpx.Client) -> None:
    """Over a picture with a canary."""
    children = psutil.Process(aviary.service.process.pid).children()
    [host] = [each for each in children if "app.vision.worker_process" in each.cmdline()]
    [worker] = host.children()
    worker.suspend()
    asking = threading.Thread(target=client.post, args=("/detect",), kwargs={
        "files": {"image": aviary.image}
    })  # fmt: skip
    asking.start()
    time.sleep(1)  # by then the request has come to the worker
    worker.kill()
    asking.join(60)


def the_database_fails(aviary: Aviary, client: httpx.Client) -> None:
    """In a way that nobody foresaw, whose message quotes the row; then altogether."""
    words = {"name": CANARY, "external_id": f"{CANARY}-9", "collection": "new", "consent": CANARY}
    place = Place("new", "00000000-0000-4000-8000-000000000000", CANARY)

    def ask_all() -> None:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(client.post, "/enroll", files={"images": aviary.image}, data=words)
        aviary.every_operation(client, place)

    odd = "ALTER TABLE persons {} CONSTRAINT nobody"
    aviary.execute(odd.format("ADD") + " CHECK (consent IS NULL) NOT VALID")
    ask_all()
    aviary.execute(odd.format("DROP"))
    aviary.execute("ALTER TABLE persons RENAME TO gone")
    ask_all()
    aviary.execute("ALTER TABLE gone RENAME TO persons")
    asyncio.run(aviary.server.stop())
    client.post("/enroll", files={"images": aviary.image}, data=words)
    client.get(f"/collections/{HOME}/persons", params={"name": CANARY})
    client.get("/keys")
    aviary.url = asyncio.run(aviary.server.start())
    wait_until(lambda: client.get("/collections").status_code == 200)


def test_a_template_that_does_not_open_says_nothing_of_its_person(aviary: Aviary) -> None:
    client = aviary.key(*SCOPES)
    files, words = {"images": aviary.image}, {"name": CANARY, "collection": HOME}
    person = client.post("/enroll", files=files, data=words).json()["person"]["id"]
    assert aviary.service.terminate() == 0
    for snapshot in (aviary.folder / "data" / "snapshots").glob("*.snapshot"):
        snapshot.unlink()
    aviary.execute("UPDATE templates SET vector = set_byte(vector, 20, get_byte(vector, 20) # 1)")
    again = Service(aviary.service.settings)
    try:
        again.wait_until_listening()
        with again.client() as other:
            other.headers["Authorization"] = client.headers["Authorization"]
            wish = {"files": {"image": aviary.image}, "data": {"collection": HOME}}
            wait_until(lambda: other.post("/identify", **wish).status_code == 503)
            assert other.post("/identify", **wish).json()["code"] == "template_unreadable"
        assert "template.unreadable" in again.output()
        for private in (*aviary.secrets, person, HOME):
            assert private not in again.output()
    finally:
        again.kill()


@pytest.mark.parametrize(
    "settings",
    [
        {"ROLLCALL_DATABASE_URL": f"mysql://rollcall:{PASSWORD}@localhost/x"},
        {"ROLLCALL_DATABASE_URL": f"postgresql://localhost:{PASSWORD}/x"},
        {"ROLLCALL_DATABASE_URL": f"postgresql://rollcall:{PASSWORD}@localhost:99999/x"},
        {"ROLLCALL_DATABASE_URL": f"postgresql://rollcall:{PASSWORD}@127.0.0.1:1/x"},
        {"ROLLCALL_DATABASE_URL": f"postgresql://localhost/x?{PASSWORD}={PASSWORD}"},
        {"ROLLCALL_SECRET": PASSWORD},
        {"ROLLCALL_OTHER_SECRETS": PASSWORD},
        {"ROLLCALL_OTHER_SECRETS": f'["{PASSWORD}"]'},
        {"ROLLCALL_OTHER_SECRETS": f'{{"{PASSWORD}": 1}}'},
        {"ROLLCALL_SECRTE": PASSWORD},
    ],
    ids=lambda settings: "".join(settings).removeprefix("ROLLCALL_").lower(),
)
def test_a_refused_start_prints_no_password_and_no_secret(
    tmp_path: Path, tiny_pack: Path, settings: dict[str, str]
) -> None:
    base = {
        "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATABASE_WAIT": "0.5",
        "ROLLCALL_SECRET": SECRET,
        "ROLLCALL_PORT": "0",
    }
    told = run(*("serve",), **{**base, **settings})
    assert told.returncode == 1
    assert told.stderr
    for secret in (PASSWORD, SECRET):
        assert secret not in told.stdout + told.stderr


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

"""A collection goes from one installation to another, and answers there as it did here."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from app import parcel
from app.commands import import_
from tests.commands.typed import typed
from tests.service import SECRET, Service

PHRASE = "correct horse battery staple"
PEOPLE, SEARCHES, AT_ONCE = 400, 1024, 64


def unit(rows: int, dimension: int, seed: int) -> Any:
    raw = np.random.default_rng(seed).normal(size=(rows, dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype("<f4")


def fill(client: httpx.Client, collection: str, model: str, dimension: int) -> None:
    """Persons with one to three templates each, some with what a careless reader trips over."""
    vectors = unit(PEOPLE * 2, dimension, seed=3)
    persons = [
        {
            "id": str(uuid4()),
            "name": f"Person {n} \u2028\x1b[1m<b>",
            "external_id": f"x{n}",
            "metadata": {"n": n, "text": "ü\u202e" * 20},
        }
        for n in range(PEOPLE)
    ]
    faces = [
        {
            "id": str(uuid4()),
            "person_id": persons[n % 3 if n >= PEOPLE else n]["id"],
            "template": base64.b64encode(vector.tobytes()).decode(),
            "reference": f"photo {n}.jpg",
        }
        for n, vector in enumerate(vectors)
    ]
    for part in ({"persons": persons, "faces": faces[:PEOPLE]}, {"faces": faces[PEOPLE:]}):
        answer = client.post(f"/collections/{collection}/import", json={"model": model, **part})
        assert answer.status_code == 200, answer.text


def searched(client: httpx.Client, collection: str, model: str, dimension: int) -> list[Any]:
    answers = []
    for seed in range(SEARCHES // AT_ONCE):
        answer = client.post(
            "/search",
            json={
                "embeddings": unit(AT_ONCE, dimension, seed=100 + seed).tolist(),
                "model": model,
                "collection": collection,
                "threshold": -1,
                "top_k": 7,
            },
        )
        assert answer.status_code == 200, answer.text
        answers += answer.json()["results"]
    return answers


def audited(client: httpx.Client, collection: str) -> Any:
    told = client.get(f"/collections/{collection}/audit").json()
    assert told["equal"]
    return told["database"], told["index"]


def test_another_installation_is_equal_to_the_last_bit_and_answers_the_same(
    client: httpx.Client,
    shared_service: Service,
    serve: Callable[..., Service],
    collection: str,
    tmp_path: Path,
) -> None:
    [loaded] = client.get("/models").json()["models"]
    model, dimension = loaded["model"], loaded["dimension"]
    fill(client, collection, model, dimension)
    file = tmp_path / "people.rollcall"
    out = typed(
        *("export", collection, file, "--url", shared_service.url), ROLLCALL_PASSPHRASE=PHRASE
    )
    assert out.returncode == 0, out.stderr
    assert f"{PEOPLE} persons and {2 * PEOPLE} faces" in out.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.half"))

    other = serve(ROLLCALL_SECRET=SECRET[::-1])  # nothing but the file is shared
    wrong = typed(*("import", file, "--url", other.url), ROLLCALL_PASSPHRASE=PHRASE + "?")
    assert wrong.returncode == 1
    assert "parcel_unusable" in wrong.stderr
    with other.client() as there:
        assert there.get("/collections").json()["collections"] == []
        taken = typed("import", file, "--url", other.url, ROLLCALL_PASSPHRASE=PHRASE)
        assert taken.returncode == 0, taken.stderr
        assert "just what the file says" in taken.stdout
        assert audited(there, collection) == audited(client, collection)
        here = searched(client, collection, model, dimension)
        assert len(here) == SEARCHES
        assert searched(there, collection, model, dimension) == here
        page = f"/collections/{collection}/persons?limit=1000"
        assert there.get(page).json()["persons"] == client.get(page).json()["persons"]
        revision = there.get(f"/collections/{collection}").json()["revision"]
        again = typed("import", file, "--url", other.url, ROLLCALL_PASSPHRASE=PHRASE)
        assert "0 persons and 0 faces are new" in again.stdout
        assert there.get(f"/collections/{collection}").json()["revision"] == revision
        # Whoever is erased there is missed, and said so.
        [first, *_] = there.get(page).json()["persons"]
        there.delete(f"/persons/{first['id']}")
        there.post("/collections", json={"name": "other"})
    kept = typed("export", collection, file, "--url", other.url, ROLLCALL_PASSPHRASE=PHRASE)
    assert (kept.returncode, "file_there" in kept.stderr) == (1, True)


def test_a_passphrase_is_long_and_never_an_option(
    shared_service: Service, collection: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.rollcall"
    short = typed(
        *("export", collection, file, "--url", shared_service.url), ROLLCALL_PASSPHRASE=PHRASE[:5]
    )
    assert (short.returncode, "12 at least" in short.stderr) == (1, True)
    told = typed("export", "--help").stdout
    assert "--passphrase-file" in told
    assert "--passphrase" not in told.replace("--passphrase-file", "")
    none = typed("export", collection, file, "--url", shared_service.url)
    assert (none.returncode, "passphrase" in none.stderr) == (2, True)


def test_an_export_of_nothing_leaves_no_file(
    shared_service: Service, collection: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.rollcall"
    out = typed(
        *("export", collection, file, "--url", shared_service.url), ROLLCALL_PASSPHRASE=PHRASE
    )
    assert (out.returncode, "collection_not_found" in out.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10, 400_000, 899_990])
def test_a_request_of_an_import_stays_within_what_the_service_takes(size: int) -> None:
    lines = [("face" if n % 2 else "person", n, size) for n in range(1500)]
    cut = list(import_.parts(lines))
    assert [n for part in cut for n in sorted([*part.persons, *part.faces])] == list(range(1500))
    assert all(part.size <= 1_000_000 and len(part.faces) <= 1000 for part in cut)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"person": {}}\n',
        b'{"collection": {"name": "x", "model": "m", "persons": 0, "faces": 0}}\n',
        b'{"collection": {"name": "x", "model": "m", "persons": 2, "faces": 0}}\n'
        b'{"end": {"persons": 1, "faces": 0}}\n',
        b"not json\n",
        b'{"collection"',
    ],
)
def test_a_file_that_opens_and_is_no_export_is_refused(
    shared_service: Service, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "x.rollcall"
    with file.open("wb") as out:
        writer = parcel.Writer(out, PHRASE)
        writer.write(content)
        writer.finish()
    done = typed("import", file, "--url", shared_service.url, ROLLCALL_PASSPHRASE=PHRASE)
    assert (done.returncode, "parcel_unusable" in done.stderr) == (1, True), done.stderr

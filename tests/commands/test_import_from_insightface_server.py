"""`rollcall import-from insightface-server`: its file, by templates or by cut-outs."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.__main__ import main
from app.commands.bulk import Unusable
from app.commands.exits import DONE, FAILED, PARTLY, WRONG, Failed
from app.commands.sources.insightface_server import InsightFaceServer
from app.commands.sources.same_model import digest_of
from app.types import Face, Floats
from app.vision.faces import Vision
from app.vision.pack import read_pack
from tests.commands.insightface_file import PREPROCESSING, ServerFile, cut_out
from tests.seeing import in_threads
from tests.service import Service

Import = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def vision(tiny_pack: Path) -> Iterator[Vision]:
    with in_threads(tiny_pack) as made:
        yield made


@pytest.fixture(scope="module")
def seen(vision: Vision) -> Callable[[bytes], tuple[Face, Floats]]:
    def look(photo: bytes) -> tuple[Face, Floats]:
        found = asyncio.run(vision.recognise(photo, most=1))
        return found.faces[0], found.embeddings[0]

    return look


@pytest.fixture
def imported(
    shared_service: Service,
    tiny_pack: Path,
    collection: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Import:
    """Runs the command towards `collection`; answers with its status and its JSON."""
    monkeypatch.setenv("ROLLCALL_URL", shared_service.url)
    monkeypatch.setenv("ROLLCALL_PACK", str(tiny_pack))

    def run(file: Path, *options: str) -> tuple[int, Any]:
        command = ["import-from", "insightface-server", str(file), "--collection", collection]
        status = main([*command, "--json", *options])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else said.err

    return run


def who(client: httpx.Client, photo: bytes, collection: str) -> tuple[Any, float]:
    data = {"collection": collection, "threshold": "-1"}
    [face] = client.post("/identify", files={"image": photo}, data=data).json()["faces"]
    best = face["candidates"][0]
    return best["person"], best["similarity"]


def test_the_digest_is_the_one_that_server_makes(tiny_pack: Path) -> None:
    pack = read_pack(tiny_pack)
    text = (
        '[{"input_mean":127.5,"input_size":[640,640],"input_std":128.0,"preprocessing_version":'
        f'"insightface-scrfd-1","sha256":"{pack.detector.sha256}"}},{{"input_mean":127.5,'
        '"input_size":[112,112],"input_std":127.5,"preprocessing_version":"theirs",'
        f'"sha256":"{pack.recognizer.sha256}"}}]'
    )
    assert digest_of(pack, "theirs") == sha256(text.encode()).hexdigest()


def test_templates_of_the_same_model_come_as_they_are_once(
    imported: Import,
    seen: Callable[[bytes], tuple[Face, Floats]],
    client: httpx.Client,
    collection: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    source = ServerFile(tmp_path / "a.db", digest_of(read_pack(tiny_pack), PREPROCESSING))
    source.collection("staff", 32)
    said = {"name": "Tom Hanks", "external_id": "t-1", "metadata": {"team": ["a", "ü"]}}
    source.person("staff", "p1", **said)
    source.person("staff", "p2", name="Eileen Collins")
    source.person("staff", "p3", name="nobody yet")
    tom, tom_template = seen(hanks)
    eileen, eileen_template = seen(astronaut)
    source.face("staff", "p1", "f1", tom, tom_template)
    source.face("staff", "p2", "f2", eileen, eileen_template)
    source.face("staff", "p2", "f3", eileen, eileen_template * 3)
    source.face("staff", "p2", "f4", eileen, eileen_template, embedding_source="external_trusted")
    source.face("staff", "p2", "f5", eileen, eileen_template, model_digest="1" * 64)
    file, report = source.done(), tmp_path / "report.csv"
    before = file.read_bytes()

    status, looked = imported(file, "--dry-run")
    assert (status, looked["take"], looked["persons"], looked["faces"]) == (DONE, "templates", 3, 5)
    status, done = imported(file, "--report", str(report))
    assert (status, done["enrolled"], done["persons_created"]) == (PARTLY, 2, 3)
    refused = {
        row["path"]: row["reasons"] for row in csv.DictReader(report.read_text().splitlines())
    }
    assert refused == {
        "insightface-server:f3": "template_invalid",
        "insightface-server:f4": "template_of_elsewhere",
        "insightface-server:f5": "model_differs",
    }
    person, similarity = who(client, hanks, collection)
    assert similarity > 0.9999
    assert (person["name"], person["external_id"], person["metadata"]) == (
        "Tom Hanks", "t-1", {"team": ["a", "ü"]},
    )  # fmt: skip
    person, similarity = who(client, astronaut, collection)
    assert similarity > 0.9999
    assert (person["name"], person["external_id"]) == ("Eileen Collins", "p2")
    [face] = client.get(f"/persons/{person['id']}/faces").json()["faces"]
    assert face["reference"] == "insightface-server:f2"
    assert face["detection_score"] == pytest.approx(eileen.score, abs=1e-3)

    status, again = imported(file)
    assert (status, again["enrolled"], again["persons_created"]) == (PARTLY, 0, 0)
    assert again["already_there"] == 2
    found = client.get(f"/collections/{collection}").json()
    assert (found["person_count"], found["face_count"]) == (3, 2)
    assert file.read_bytes() == before


def test_cut_outs_are_enrolled_where_the_model_is_another(
    imported: Import,
    seen: Callable[[bytes], tuple[Face, Floats]],
    client: httpx.Client,
    collection: str,
    tmp_path: Path,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    source = ServerFile(tmp_path / "a.db")
    source.collection("staff", 512)
    source.collection("others", 512)
    source.person("staff", "p1", name="Tom Hanks", external_id="t-1", metadata={"a": 1})
    source.person("staff", "p2", name="Eileen Collins")
    template = np.full(512, 512**-0.5)
    for face_id, person_id, photo in (("f1", "p1", hanks), ("f2", "p2", astronaut)):
        face, _ = seen(photo)
        picture = cut_out(photo, face)
        source.face("staff", person_id, face_id, face, template, crop_image=picture)
    source.face("staff", "p2", "f3", face, template)
    file = source.done()

    status, said = imported(file)
    assert status == WRONG
    assert "staff (3 faces)" in said and "others (0 faces)" in said
    status, said = imported(file, "--from", "staff", "--take", "templates")
    assert status == FAILED and "model_differs" in said
    status, done = imported(file, "--from", "staff")
    assert (status, done["enrolled"], done["persons_created"]) == (PARTLY, 2, 2), done
    assert [row["reasons"] for row in done["refused"]] == [["image_not_kept"]]
    person, similarity = who(client, hanks, collection)
    assert (person["external_id"], person["metadata"]) == ("t-1", {"a": 1})
    assert similarity > 0.7
    assert who(client, astronaut, collection)[0]["name"] == "Eileen Collins"
    status, again = imported(file, "--from", "The staff")
    assert (again["enrolled"], again["already_there"]) == (0, 2)


def test_cut_outs_of_old_versions_are_files_beside_the_database_and_nowhere_else(
    tmp_path: Path, seen: Callable[[bytes], tuple[Face, Floats]], hanks: bytes
) -> None:
    face, _ = seen(hanks)
    (tmp_path / "data" / "face-crops").mkdir(parents=True)
    (tmp_path / "data" / "face-crops" / "f1.jpg").write_bytes(cut_out(hanks, face))
    (tmp_path / "outside.jpg").write_bytes(cut_out(hanks, face))
    source = ServerFile(tmp_path / "data" / "insightface-server.db", old=True)
    source.collection("staff", 4)
    source.person("staff", "p1")
    for face_id, path in (
        ("f1", "face-crops/f1.jpg"),
        ("f2", "../outside.jpg"),
        ("f3", str(tmp_path / "outside.jpg")),
        ("f4", None),
    ):
        source.face("staff", "p1", face_id, face, [1.0, 0, 0, 0], crop_path=path)
    server = InsightFaceServer(source.done())
    [home] = server.homes()
    assert (home.persons, home.faces, home.crops) == (1, 4, 3)
    first, *others = server.photos(home)
    assert (first.person.external_id, first.person.name) == ("p1", None)
    framed, _ = seen(first.load())
    assert framed.box.height / framed.box.width == pytest.approx(
        face.box.height / face.box.width, rel=0.2
    )
    for photo in others:
        with pytest.raises(Unusable, match="no cut-out"):
            photo.load()
    server.close()


def test_a_person_whom_the_service_refuses_keeps_nobody_else_out(
    imported: Import,
    seen: Callable[[bytes], tuple[Face, Floats]],
    client: httpx.Client,
    collection: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
) -> None:
    client.post(
        "/enroll", files={"images": hanks}, data={"collection": collection, "external_id": "p3"}
    )
    source = ServerFile(tmp_path / "a.db", digest_of(read_pack(tiny_pack), PREPROCESSING))
    source.collection("staff", 32)
    face, template = seen(hanks)
    for number in range(8):
        source.person("staff", f"p{number}")
        source.face("staff", f"p{number}", f"f{number}", face, template)
    status, done = imported(source.done())
    assert (status, done["enrolled"], done["persons_created"]) == (PARTLY, 7, 7), done
    assert [(row["person"], row["reasons"]) for row in done["refused"]] == [
        ("p3", ["external_id_taken"])
    ]


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, None])
def test_a_file_that_is_none_of_its_is_said_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Failed) as caught:
        InsightFaceServer(path)
    assert caught.value.code == "source_unknown"

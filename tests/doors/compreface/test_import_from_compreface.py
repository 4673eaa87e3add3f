"""`rollcall import-from compreface`: our own door of that name is a real peer to fetch from."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.__main__ import main
from app.commands.bulk import Unusable
from app.commands.exits import DONE, FAILED, PARTLY, UNAVAILABLE, WRONG, Failed, NotNow
from app.commands.sources.compreface import PAGE, CompreFace, Example
from tests.doors.compreface.test_door import add
from tests.service import Service

Import = Callable[..., Any]


@pytest.fixture
def target() -> str:
    return f"c-{uuid4().hex[:12]}"


@pytest.fixture
def imported(
    house: Service,
    key: Callable[..., str],
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Import:
    """Runs the command towards a collection; answers with its status and its JSON."""
    monkeypatch.setenv("ROLLCALL_KEY", key("enroll", "read", collections=[target]))
    monkeypatch.setenv("ROLLCALL_URL", house.url)

    def run(source_key: str, *options: str) -> tuple[int, Any]:
        monkeypatch.setenv("COMPREFACE_KEY", source_key)
        status = main(
            ["import-from", "compreface", house.url, "--collection", target, "--json", *options]
        )
        said = capsys.readouterr()
        assert not source_key or source_key not in said.out + said.err
        return status, json.loads(said.out) if said.out else said.err

    return run


def persons(house: Service, token: str, collection: str) -> dict[str, tuple[str, int]]:
    with house.client() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        found = client.get(f"/collections/{collection}/persons").json()["persons"]
    return {one["external_id"]: (one["name"], one["face_count"]) for one in found}


def test_a_face_collection_comes_over_once_however_often_it_is_fetched(
    house: Service,
    visitor: Callable[..., httpx.Client],
    key: Callable[..., str],
    imported: Import,
    target: str,
    tmp_path: Path,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    source = visitor()
    for subject, picture in (("Tom Hanks", hanks), ("Tom Hanks", hanks), ("Ünï/cödé", astronaut)):
        add(source, subject, picture)
    source.post("/recognition/subjects", json={"subject": "nobody yet"})
    token = source.headers["x-api-key"]

    status, looked = imported(token, "--dry-run")
    assert (status, looked["subjects"], looked["faces"]) == (DONE, 3, 3)
    assert looked["without_faces"] == ["nobody yet"]

    status, done = imported(token, "--report", str(tmp_path / "report.csv"))
    assert (status, done["enrolled"], done["persons_created"]) == (DONE, 3, 2)
    reader = key("read", "identify", "delete", collections=[target])
    expected = {"Tom Hanks": ("Tom Hanks", 2), "Ünï/cödé": ("Ünï/cödé", 1)}
    assert persons(house, reader, target) == expected

    status, again = imported(token)
    assert (status, again["enrolled"], again["already_there"]) == (DONE, 0, 3)
    with house.client() as client:
        client.headers["Authorization"] = f"Bearer {reader}"
        found = client.post(
            "/identify", files={"image": astronaut}, data={"collection": target, "threshold": "-1"}
        ).json()
        assert found["faces"][0]["candidates"][0]["person"]["name"] == "Ünï/cödé"
        faces = client.get(f"/collections/{target}/faces").json()["faces"]
        assert all(face["reference"].startswith("compreface:") for face in faces)
        client.delete(f"/faces/{faces[0]['id']}")
    status, healed = imported(token)
    assert (status, healed["enrolled"], healed["already_there"]) == (DONE, 1, 2)
    assert persons(house, reader, target) == expected


def test_what_cannot_be_taken_is_reported_and_the_rest_is_taken(
    visitor: Callable[..., httpx.Client],
    imported: Import,
    tmp_path: Path,
    hanks: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = visitor()
    gone, _ = add(source, "Tom", hanks), add(source, "Tom", hanks)
    real = CompreFace._image

    def sometimes(self: CompreFace, image_id: Any) -> bytes:
        if str(image_id) == gone:
            source.delete(f"/recognition/faces/{gone}")  # between the list and its turn
        return real(self, image_id)

    monkeypatch.setattr(CompreFace, "_image", sometimes)
    report = tmp_path / "report.csv"
    status, done = imported(source.headers["x-api-key"], "--report", str(report))
    assert (status, done["enrolled"], len(done["refused"])) == (PARTLY, 1, 1)
    [row] = list(csv.DictReader(report.read_text().splitlines()))
    assert (row["path"], row["person"]) == (f"compreface:{gone}", "Tom")
    assert row["reasons"] == "image_not_kept"


def test_a_run_that_the_source_ended_goes_on_with_nothing_doubled(
    visitor: Callable[..., httpx.Client],
    imported: Import,
    hanks: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = visitor()
    for number in range(4):
        add(source, f"subject {number}", hanks)
    token, real, fetched = source.headers["x-api-key"], CompreFace._image, []

    def until_it_ends(self: CompreFace, image_id: Any) -> bytes:
        if len(fetched) == 2:
            raise NotNow("source_silent", "nobody answers")
        fetched.append(image_id)
        return real(self, image_id)

    with monkeypatch.context() as ending:
        ending.setattr(CompreFace, "_image", until_it_ends)
        status, said = imported(token, "--concurrency", "1")
    assert (status, "goes on from here" in said) == (UNAVAILABLE, True)
    status, done = imported(token)
    assert (status, done["enrolled"], done["already_there"]) == (DONE, 2, 2)


def test_a_wrong_key_and_no_key_end_with_a_sentence(
    imported: Import, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = imported(str(uuid4()))
    assert status == FAILED
    assert "source_refused: The source answered 404" in said
    status, said = imported("")
    assert status == WRONG
    assert "COMPREFACE_KEY" in said


# -- the source by itself -------------------------------------------------------------------------


def source(answer: Callable[[httpx.Request], httpx.Response]) -> tuple[CompreFace, list[float]]:
    slept: list[float] = []
    transport = httpx.MockTransport(answer)
    return CompreFace("http://there:8000/", "k", transport=transport, sleep=slept.append), slept


def test_pages_are_walked_to_the_end_and_subjects_stand_together() -> None:
    ids = [uuid4() for _ in range(2 * PAGE + 1)]
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/recognition/faces"
        assert request.headers["x-api-key"] == "k"
        page, size = int(request.url.params["page"]), int(request.url.params["size"])
        asked.append(page)
        shown = ids[page * size : (page + 1) * size]
        faces = [{"image_id": str(one), "subject": f"s{one.int % 3}"} for one in shown]
        return httpx.Response(200, json={"faces": faces, "total_pages": -(-len(ids) // size)})

    found = source(answer)[0].examples()
    assert asked == [0, 1, 2]
    assert {one.image_id for one in found} == set(ids)
    assert [one.subject for one in found] == sorted(one.subject for one in found)


def test_a_source_that_is_away_for_a_while_is_waited_for() -> None:
    answers = iter(
        [
            httpx.ConnectError("no"),
            httpx.Response(503, headers={"Retry-After": "7"}),
            httpx.Response(429),
            httpx.Response(200, content=b"picture"),
        ]
    )

    def answer(request: httpx.Request) -> httpx.Response:
        come = next(answers)
        if isinstance(come, Exception):
            raise come
        return come

    there, slept = source(answer)
    [photo] = there.photos([Example("s", uuid4())])
    assert photo.load() == b"picture"
    assert slept == [0.5, 7.0, 2.0]


def test_a_source_that_stays_away_stops_the_run_and_blames_no_photo() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    there, slept = source(answer)
    with pytest.raises(NotNow):
        there.subjects()
    assert len(slept) == 5 and sorted(slept) == slept
    assert NotNow.status == UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"faces": [{"name": "x"}], "total_pages": 1}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="<html>"),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.Response(403, json={"message": "no", "code": 1}),
    ],
)
def test_what_is_no_compreface_is_said_so(answer: httpx.Response) -> None:
    with pytest.raises(Failed) as caught:
        source(lambda _: answer)[0].examples()
    assert caught.value.code in ("source_unknown", "source_refused")


def test_an_image_that_is_not_kept_there_is_no_photo() -> None:
    there, _ = source(lambda _: httpx.Response(200, content=b""))
    [photo] = there.photos([Example("s", uuid4())])
    with pytest.raises(Unusable, match="save_images_to_db"):
        photo.load()

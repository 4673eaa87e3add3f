"""Commands that ask a service: one elsewhere, the one of a data directory, or one for now."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.commands.running import announced, running
from tests.commands.typed import Done, typed
from tests.service import SECRET, Service

HOSTILE = "\x1b]0;owned\x07<img onerror=x>\u202e"


@pytest.fixture
def ask(shared_service: Service, tmp_path: Path) -> Callable[..., Done]:
    def ask(*words: object, **settings: str) -> Done:
        return typed(*words, "--url", shared_service.url, **settings)

    return ask


@pytest.fixture
def photos(tmp_path: Path, hanks: bytes, astronaut: bytes, group: bytes, faceless: bytes) -> Path:
    for name, photo in (
        ("hanks.png", hanks),
        ("astronaut.png", astronaut),
        ("group.jpg", group),
        ("coffee.png", faceless),
    ):
        (tmp_path / name).write_bytes(photo)
    return tmp_path


@pytest.fixture
def enrolled(client: httpx.Client, collection: str, astronaut: bytes, hanks: bytes) -> Any:
    """Two persons, one of them with a name that means ill."""
    return [
        client.post(
            "/enroll",
            files={"images": photo},
            data={"collection": collection, "name": name, "external_id": name[:1]},
        ).json()["person"]
        for photo, name in ((astronaut, "Eileen"), (hanks, HOSTILE))
    ]


def test_a_photo_is_identified_and_a_stranger_is_status_4(
    ask: Callable[..., Done], photos: Path, collection: str, enrolled: Any
) -> None:
    known = ask("identify", photos / "astronaut.png", "--collection", collection, "--json")
    assert known.returncode == 0
    [line] = known.lines
    assert line["faces"][0]["candidates"][0]["person"]["name"] == "Eileen"
    table = ask("identify", photos / "astronaut.png", "--collection", collection)
    assert "Eileen" in table.stdout
    strange = ask(
        "identify", photos / "group.jpg", "--collection", collection, "--threshold", "0.9999"
    )
    assert strange.returncode == 4
    assert "nobody known" in strange.stdout


def test_what_cannot_be_looked_at_is_status_3_and_the_rest_is_answered(
    ask: Callable[..., Done], photos: Path, collection: str, enrolled: Any
) -> None:
    done = ask(
        "identify",
        photos / "coffee.png",
        photos / "absent.png",
        photos / "astronaut.png",
        "--collection",
        collection,
        "--json",
    )
    assert done.returncode == 3
    codes = [line.get("error", {}).get("code") for line in done.lines]
    assert codes == ["face_not_found", "file_unreadable", None]


def test_verify_tells_yes_no_and_cannot_say_apart(ask: Callable[..., Done], photos: Path) -> None:
    face, other, nobody = (photos / n for n in ("astronaut.png", "hanks.png", "coffee.png"))
    assert ask("verify", face, face).returncode == 0
    assert ask("verify", face, other, "--threshold", "0.9999").returncode == 4
    refused = ask("verify", face, nobody)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "face_not_found" in refused.stderr
    assert ask("verify", face, photos / "absent.png").returncode == 1
    assert ask("verify", face).returncode == 2


def test_verify_takes_an_enrolled_person_in_place_of_a_photo(
    ask: Callable[..., Done], photos: Path, collection: str, enrolled: Any
) -> None:
    done = ask(
        "verify", photos / "astronaut.png", "--person", enrolled[0]["id"],
        "--collection", collection, "--json",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.json["verified"]


def test_faces_are_listed_as_a_table_json_or_csv_and_drawn(
    ask: Callable[..., Done], photos: Path
) -> None:
    from PIL import Image

    picture = photos / "group.jpg"
    drawn = photos / "drawn.png"
    [line] = ask("detect", picture, "--json", "--draw", drawn).lines
    assert len(line["faces"]) == 6
    rows = list(csv.DictReader(io.StringIO(ask("detect", picture, "--csv").stdout)))
    assert [row["face"] for row in rows] == list("123456")
    assert float(rows[0]["x"]) == pytest.approx(line["faces"][0]["bounding_box"]["x"], abs=0.05)
    assert len(ask("detect", picture).stdout.splitlines()) == 7
    assert ask("detect", photos / "coffee.png").returncode == 4
    with Image.open(picture) as before, Image.open(drawn) as after:
        assert after.size == before.size
        box = line["faces"][0]["bounding_box"]
        corner = (round(box["x"]) + 1, round(box["y"]) + 1)
        assert after.convert("RGB").getpixel(corner) != before.convert("RGB").getpixel(corner)


def test_collections_are_made_shown_listed_and_erased(
    ask: Callable[..., Done], collection: str
) -> None:
    assert ask("collections", "make", collection, "--json").json["name"] == collection
    assert ask("collections", "make", collection).returncode == 1
    assert ask("collections", "show", collection, "--json").json["person_count"] == 0
    assert collection in ask("collections", "list").stdout
    unsure = ask("collections", "delete", collection)
    assert unsure.returncode == 2
    assert f"erase collection '{collection}' with 0 persons" in unsure.stderr
    assert ask("collections", "delete", collection, "--yes").returncode == 0
    gone = ask("collections", "show", collection)
    assert gone.returncode == 1
    assert "collection_not_found" in gone.stderr


def test_persons_are_listed_edited_merged_and_erased(
    ask: Callable[..., Done], collection: str, enrolled: Any
) -> None:
    first, second = (each["id"] for each in enrolled)
    listed = ask("persons", "list", "--collection", collection, "--json").json
    assert [each["id"] for each in listed] == [first, second]
    found = ask("persons", "list", "--collection", collection, "--external-id", "E", "--json")
    assert [each["id"] for each in found.json] == [first]
    edited = ask(
        "persons", "edit", first, "--name", "Ann", "--metadata", '{"n": 1}',
        "--clear", "external_id", "--json",
    ).json  # fmt: skip
    assert (edited["name"], edited["metadata"], edited["external_id"]) == ("Ann", {"n": 1}, None)
    assert ask("persons", "edit", first).returncode == 2
    assert ask("persons", "edit", first, "--name", "A", "--clear", "name").returncode == 2
    assert "move 1 faces to 'Ann'" in ask("persons", "merge", first, second).stderr
    merged = ask("persons", "merge", first, second, "--yes", "--json").json
    assert (merged["merged"], merged["person"]["face_count"]) == (1, 2)
    shown = ask("persons", "show", first, "--json").json
    assert len(shown["faces"]) == 2
    assert ask("persons", "delete", first, "--yes", "--json").json["persons"] == 1
    assert ask("persons", "show", first).returncode == 1


def test_faces_are_listed_moved_and_erased(
    ask: Callable[..., Done], collection: str, enrolled: Any, tmp_path: Path
) -> None:
    first, second = (each["id"] for each in enrolled)
    faces = ask("faces", "list", "--collection", collection, "--json").json
    assert [face["person_id"] for face in faces] == [first, second]
    mine = ask("faces", "list", "--person", first, "--json").json
    assert [face["id"] for face in mine] == [faces[0]["id"]]
    assert ask("faces", "move", faces[0]["id"], "--to", second).returncode == 0
    assert len(ask("faces", "list", "--person", second, "--json").json) == 2
    assert f"erase face {faces[0]['id']}" in ask("faces", "delete", faces[0]["id"]).stderr
    assert ask("faces", "delete", faces[0]["id"], "--yes").returncode == 0
    crop = ask("faces", "crop", faces[1]["id"], "--out", tmp_path / "crop.png")
    assert "crop_not_kept" in crop.stderr


def test_a_hostile_name_reaches_the_terminal_as_text(
    ask: Callable[..., Done], collection: str, enrolled: Any, photos: Path
) -> None:
    shown = [
        ask("persons", "list", "--collection", collection),
        ask("persons", "show", enrolled[1]["id"]),
        ask("persons", "delete", enrolled[1]["id"]),
        ask("identify", photos / "hanks.png", "--collection", collection),
        ask("persons", "list", "--collection", collection, "--json"),
    ]
    for done in shown:
        for text in (done.stdout, done.stderr):
            assert text.replace("\n", "").isprintable()
        assert "owned" in done.stdout + done.stderr


def test_keys_and_the_record_are_asked_of_a_service_that_is_named(
    ask: Callable[..., Done],
) -> None:
    made = ask("keys", "create", "--name", "door", "--scope", "identify", "--json").json
    assert made["secret"].startswith("rc_")
    rotated = ask("keys", "rotate", made["id"], "--grace-hours", "0").stdout.strip()
    assert rotated.startswith("rc_") and rotated != made["secret"]
    assert ask("keys", "revoke", made["id"]).returncode == 0
    told = next(key for key in ask("keys", "list", "--json").json if key["id"] == made["id"])
    assert told["revoked_at"] is not None and "secret" not in told
    record = ask("audit", "list", "--limit", "3", "--json").json
    assert len(record) == 3
    assert any(each["record"]["action"].startswith("key.") for each in record)
    assert ask("packs", "loaded", "--json").json[0]["default"]


def test_a_key_comes_from_the_environment_or_a_file_and_never_from_an_option(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    service = serve(ROLLCALL_REQUIRE_KEYS="true")
    local = {**service.settings, "ROLLCALL_LOG_LEVEL": "error"}
    key = typed("keys", "create", "--name", "me", "--scope", "read", **local).stdout.strip()
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    words = ("collections", "list", "--url", service.url)
    without = typed(*words)
    assert without.returncode == 1
    assert "ROLLCALL_KEY" in without.stderr
    assert typed(*words, ROLLCALL_KEY=key).returncode == 0
    assert typed(*words, "--key-file", file).stderr == ""
    assert typed(*words, "--key", key).returncode == 2
    file.chmod(0o644)
    assert "others may read" in typed(*words, "--key-file", file).stderr
    file.write_text("two words")
    assert "key_file_unusable" in typed(*words, "--key-file", file).stderr
    # Found by its data directory, it asks for a key all the same.
    assert "key_invalid" in typed("collections", "list", **local).stderr
    assert typed("collections", "list", ROLLCALL_KEY=key, **local).returncode == 0


def test_nobody_answering_is_status_5(tmp_path: Path) -> None:
    done = typed("collections", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode == 5
    assert "unreachable" in done.stderr
    assert typed("collections", "list", "--url", "ftp://x").returncode == 1


def test_the_service_of_a_data_directory_is_found_until_it_stops_or_is_killed(
    serve: Callable[..., Service],
) -> None:
    service = serve()
    folder = Path(service.settings["ROLLCALL_DATA_DIR"])
    found = running(folder)
    assert found is not None
    assert (found.url, found.pid) == (service.url, service.process.pid)
    assert (folder / "service.json").stat().st_mode & 0o777 == 0o600
    service.process.kill()
    service.process.wait()
    assert (folder / "service.json").exists()
    assert running(folder) is None
    again = serve(ROLLCALL_DATA_DIR=str(folder))
    assert running(folder) is not None
    assert again.terminate() == 0
    assert not (folder / "service.json").exists()


def test_a_service_that_listens_everywhere_is_asked_on_loopback(tmp_path: Path) -> None:
    with announced(tmp_path, "0.0.0.0", 8000):  # noqa: S104 (not bound)
        found = running(tmp_path)
    assert found is not None and found.url == "http://127.0.0.1:8000"
    with announced(tmp_path, "::1", 8000):
        found = running(tmp_path)
    assert found is not None and found.url == "http://[::1]:8000"
    assert running(tmp_path) is None


def test_without_a_service_the_application_answers_for_itself_and_needs_no_key(
    tiny_pack: Path, database_url: str, photos: Path
) -> None:
    settings = {
        "ROLLCALL_DATABASE_URL": database_url,
        "ROLLCALL_SECRET": SECRET,
        "ROLLCALL_PACK": str(tiny_pack),
        "ROLLCALL_DATA_DIR": str(photos / "data"),
        "ROLLCALL_HOST": "0.0.0.0",  # noqa: S104 (a service would ask for keys)
    }
    done = typed("detect", photos / "group.jpg", "--json", **settings)
    assert done.returncode == 0, done.stderr
    assert len(done.lines[0]["faces"]) == 6
    assert done.stderr == ""
    [record] = typed("audit", "list", "--json", **settings).json
    assert record["record"]["action"] == "detect"
    assert record["record"]["request_id"].startswith("command-line-")
    del settings["ROLLCALL_SECRET"]
    assert "ROLLCALL_SECRET is not set" in typed("collections", "list", **settings).stderr

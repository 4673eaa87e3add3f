"""Bulk enrolment: what is listed is enrolled, once, whatever happens on the way."""

import asyncio
import csv
import io
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageOps
from rollcall_client import AsyncRollcall, models

from app.commands import already
from app.commands.bulk import PersonKey, Photo, Way, enroll_all
from app.commands.ledger import Ledger
from app.commands.photo_files import plan_of_folder
from tests.commands.test_showing import Terminal
from tests.commands.typed import Done, typed
from tests.service import ROOT, Service, environment

VARIANTS = 3


@pytest.fixture(scope="module")
def people(
    shared_service: Service,
    tmp_path_factory: pytest.TempPathFactory,
    group: bytes,
    astronaut: bytes,
    hanks: bytes,
) -> Path:
    """A folder of eight persons, three photos each: the six of the group, cut out, and two."""
    root = tmp_path_factory.mktemp("people")
    with shared_service.client() as client:
        found = client.post("/detect", files={"image": group}).json()["faces"]
    pictures = {"eileen": Image.open(io.BytesIO(astronaut)), "hanks": Image.open(io.BytesIO(hanks))}
    whole = Image.open(io.BytesIO(group))
    for number, face in enumerate(found):
        box = face["bounding_box"]
        x, y, side = box["x"], box["y"], 0.5 * box["height"]
        pictures[f"guest {number}"] = whole.crop(
            (int(x - side), int(y - side), int(x + box["width"] + side), int(y + 3 * side))
        )
    for name, picture in pictures.items():
        (root / name).mkdir()
        plain = picture.convert("RGB")
        for variant, seen in enumerate(
            (plain, ImageOps.mirror(plain), ImageOps.autocontrast(plain))
        ):
            seen.save(root / name / f"{variant}.png")
    return root


def enroll(service: Service, source: Path, collection: str, *words: object) -> Done:
    return typed(
        "enroll", source, "--collection", collection, "--face", "largest",
        "--url", service.url, *words,
    )  # fmt: skip


def check_exactly(client: httpx.Client, collection: str, source: Path) -> None:
    """Every folder is one person, every photo one face of theirs, and there is nothing else."""
    wanted = Counter(
        (path.parent.name, path.relative_to(source).as_posix()) for path in source.glob("*/*.png")
    )
    persons = client.get(f"/collections/{collection}/persons", params={"limit": 1000}).json()
    names = {each["id"]: each["external_id"] for each in persons["persons"]}
    faces = client.get(f"/collections/{collection}/faces", params={"limit": 1000}).json()["faces"]
    assert len(names) == len(set(names.values())) == len({person for person, _ in wanted})
    assert Counter((names[face["person_id"]], face["reference"]) for face in faces) == wanted


@pytest.mark.parametrize("read", ["at once", "person by person"])
def test_a_folder_is_enrolled_and_a_second_run_finds_nothing_to_do(
    shared_service: Service,
    client: httpx.Client,
    people: Path,
    collection: str,
    read: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if read == "person by person":  # as in a collection that is far larger than what is enrolled
        monkeypatch.setattr(already, "_LITTLE", -1)
        monkeypatch.setattr(already, "_WORTH", -1)
    done = enroll(shared_service, people, collection, "--json")
    assert done.returncode == 0, done.stderr
    assert (done.json["enrolled"], done.json["persons_created"]) == (24, 8)
    assert done.json["revision"] == 24
    check_exactly(client, collection, people)
    again = enroll(shared_service, people, collection)
    assert again.returncode == 0
    assert "already there  24" in again.stdout
    check_exactly(client, collection, people)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where tests run in the background SIGINT is ignored, and what they start would inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_run_that_is_stopped_or_killed_goes_on_where_it_was_and_doubles_nothing(
    shared_service: Service, client: httpx.Client, people: Path, collection: str
) -> None:
    for least, by in ((5, signal.SIGINT), (14, signal.SIGKILL)):
        run = subprocess.Popen(
            [
                sys.executable, "-m", "app", "enroll", people, "--collection", collection,
                "--face", "largest", "--url", shared_service.url, "--concurrency", "3",
            ],
            cwd=ROOT,
            env=environment({}),
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        while count(client, collection) < least:
            assert run.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        run.send_signal(by)
        said = run.communicate()[1]
        if by == signal.SIGINT:
            assert run.returncode == 130
            assert "the same command goes on from here" in said
        assert count(client, collection) < 24
    done = enroll(shared_service, people, collection, "--json")
    assert done.returncode == 0, done.stderr
    assert done.json["already_there"] >= 14
    assert done.json["already_there"] + done.json["enrolled"] == 24
    check_exactly(client, collection, people)


def count(client: httpx.Client, collection: str) -> int:
    answer = client.get(f"/collections/{collection}")
    return int(answer.json().get("face_count", 0))


class Everything:
    """A listener that keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def enrolled(self, photo: Photo, answer: models.EnrollAnswer, *, new: bool) -> None:
        self.heard.append("enrolled")

    def already_there(self, photo: Photo) -> None:
        self.heard.append("there")

    def refused(self, photo: Photo, reasons: list[str], detail: str) -> None:
        self.heard.append(f"refused {reasons}")


def test_two_runs_at_once_do_the_work_of_one(
    shared_service: Service, client: httpx.Client, people: Path, collection: str
) -> None:
    heard = Everything()
    way = Way(collection=collection, face="largest", on_duplicate="allow", concurrency=4)

    async def run() -> None:
        async with AsyncRollcall(shared_service.url, retries=10) as one:
            await enroll_all(one, plan_of_folder(people).photos, way, heard)

    async def both() -> None:
        await asyncio.gather(run(), run())

    asyncio.run(both())
    assert len(heard.heard) == 48
    assert set(heard.heard) <= {"enrolled", "there"}
    check_exactly(client, collection, people)


def test_a_face_that_was_erased_since_is_enrolled_anew(
    shared_service: Service, client: httpx.Client, people: Path, collection: str
) -> None:
    only = people / "eileen"
    words = ("--each-file-a-person",)
    assert enroll(shared_service, only, collection, *words).returncode == 0
    faces = client.get(f"/collections/{collection}/faces").json()["faces"]
    client.delete(f"/faces/{faces[0]['id']}")
    again = enroll(shared_service, only, collection, *words, "--json").json
    assert (again["enrolled"], again["persons_created"], again["already_there"]) == (1, 0, 2)
    assert count(client, collection) == 3


def test_what_is_refused_is_reported_with_reasons_and_the_rest_is_enrolled(
    shared_service: Service, people: Path, collection: str, faceless: bytes, tmp_path: Path
) -> None:
    (tmp_path / "coffee.png").write_bytes(faceless)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    table = tmp_path / "list.csv"
    table.write_text(
        "path;person;metadata.team\n"
        f"coffee.png;Cup;\nabsent.png;Nobody;\nbroken.jpg;Cup;\n{people}/hanks/0.png;Tom;red\n"
    )
    report = tmp_path / "refused.csv"
    done = enroll(shared_service, table, collection, "--report", report, "--json")
    assert done.returncode == 3
    assert (done.json["enrolled"], len(done.json["refused"])) == (1, 3)
    rows = {row["path"]: row for row in csv.DictReader(report.read_text().splitlines())}
    assert rows["coffee.png"]["reasons"] == "face_not_found"
    assert rows["absent.png"]["reasons"] == "file_unreadable"
    assert (rows["broken.jpg"]["reasons"], rows["broken.jpg"]["person"]) == ("image_broken", "Cup")
    [person] = typed(
        "persons", "list", "--collection", collection, "--url", shared_service.url, "--json"
    ).json
    assert (person["name"], person["metadata"]) == ("Tom", {"team": "red"})
    shown = enroll(shared_service, table, collection)
    assert "refused        3" in shown.stdout and "--report" not in shown.stdout


def test_a_run_that_may_not_go_on_says_so_and_how_to(
    shared_service: Service, people: Path, tmp_path: Path
) -> None:
    wrong = enroll(shared_service, people, "no/name")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("rollcall: ")
    unwritable = enroll(shared_service, people, "x", "--report", tmp_path / "no" / "file.csv")
    assert "report_unusable" in unwritable.stderr


def test_progress_is_one_line_with_pace_and_end_where_a_person_looks_on() -> None:
    now = 0.0
    out = Terminal()
    ledger = Ledger(100, clock=lambda: now, out=out)
    ledger.begin()
    photo = Photo(PersonKey(external_id="a"), "a.jpg", bytes)
    for _ in range(10):
        now += 0.5
        ledger.refused(photo, ["face_not_found"], "no face")
    line = out.getvalue().rpartition("\r\x1b[K")[2]
    assert line == "10/100 photos (10%)  0.0 faces/s  ETA 45 s  10 refused"
    assert "\n" not in out.getvalue()
    ledger.end()
    assert out.getvalue().endswith("\r\x1b[K")


def test_progress_is_a_plain_line_now_and_then_in_a_log() -> None:
    now = 0.0
    out = io.StringIO()
    ledger = Ledger(None, clock=lambda: now, out=out)
    for _ in range(30):
        now += 1.0
        ledger.already_there(Photo(PersonKey(external_id="a"), "a.jpg", bytes))
    assert out.getvalue().splitlines() == [
        f"{count}  0.0 faces/s  {count} already there" for count in (10, 20, 30)
    ]

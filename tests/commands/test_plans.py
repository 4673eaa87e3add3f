"""What a folder or a table says of who is on which photo, before anything is sent."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.commands.bulk import LONGEST_REFERENCE, PersonKey, Unusable, reference_of
from app.commands.photo_files import Plan, PlanWrong, plan_of_folder
from app.commands.photo_table import plan_of_table
from tests.commands.typed import typed


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))
    return root


def said(plan: Plan) -> list[tuple[str, str]]:
    return [(photo.person.external_id, photo.reference) for photo in plan.photos]


def test_a_folder_is_a_person_and_its_photos_are_named_by_their_path(tmp_path: Path) -> None:
    put(tmp_path, "Bob/b.JPG", "Bob/2024/a.png", "Ann/1.webp", "Ann/notes.txt", ".git/x.jpg")
    plan = plan_of_folder(tmp_path)
    assert said(plan) == [("Ann", "Ann/1.webp"), ("Bob", "Bob/b.JPG"), ("Bob", "Bob/2024/a.png")]
    assert plan.photos[0].person == PersonKey(external_id="Ann", name="Ann")
    assert plan.photos[2].load() == b"Bob/2024/a.png"
    assert [path.name for path in plan.ignored] == ["notes.txt"]


def test_photos_without_a_folder_are_refused_unless_each_is_said_to_be_a_person(
    tmp_path: Path,
) -> None:
    put(tmp_path, "IMG_1.jpg", "IMG_2.jpg")
    with pytest.raises(PlanWrong, match=r"IMG_1\.jpg lies in .*--each-file-a-person"):
        plan_of_folder(tmp_path)
    plan = plan_of_folder(tmp_path, each_file_a_person=True)
    assert said(plan) == [("IMG_1", "IMG_1.jpg"), ("IMG_2", "IMG_2.jpg")]


@pytest.mark.parametrize("twin", ["ann.png", "ann/1.jpg"])
def test_two_that_would_be_one_person_by_accident_are_refused(tmp_path: Path, twin: str) -> None:
    put(tmp_path, "ann.jpg", twin)
    with pytest.raises(PlanWrong, match="would both be 'ann'"):
        plan_of_folder(tmp_path, each_file_a_person=True)


def test_an_empty_folder_and_one_that_is_not_there_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(PlanWrong, match="no photo"):
        plan_of_folder(tmp_path)
    with pytest.raises(PlanWrong, match="cannot be read"):
        plan_of_folder(tmp_path / "absent")


def test_bytes_that_are_no_text_name_no_person_but_may_name_a_photo(tmp_path: Path) -> None:
    put(tmp_path, "Ann/\udcff.jpg")
    assert said(plan_of_folder(tmp_path)) == [("Ann", "Ann/\\udcff.jpg")]
    put(tmp_path, "\udcff/a.jpg")
    with pytest.raises(PlanWrong, match="UTF-8"):
        plan_of_folder(tmp_path)


def test_a_reference_fits_and_stays_apart_from_others() -> None:
    long = "x" * 300
    assert reference_of("a/b.jpg") == "a/b.jpg"
    assert len(reference_of(long + "1")) == LONGEST_REFERENCE
    assert reference_of(long + "1") != reference_of("y" + long[1:] + "1")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_gathers_each_persons_rows_whatever_separates_its_cells(
    tmp_path: Path, delimiter: str
) -> None:
    rows = [
        ("Path", "external_id", "Name", "metadata.team", "consent", "expires_at"),
        ("b.jpg", "7", "Bob", "red", "file 7", "2099-01-31T12:00:00Z"),
        ("a.jpg", "3", "Ann", "", "", ""),
        ("c.jpg", "7", "", "", "", ""),
    ]
    table = tmp_path / "people.csv"
    table.write_text("\ufeff" + "\r\n".join(delimiter.join(row) for row in rows), "utf-8")
    plan = plan_of_table(table)
    assert said(plan) == [("7", "b.jpg"), ("7", "c.jpg"), ("3", "a.jpg")]
    assert plan.photos[0].person == PersonKey(
        external_id="7",
        name="Bob",
        metadata={"team": "red"},
        consent="file 7",
        expires_at=datetime(2099, 1, 31, 12, tzinfo=UTC),
    )
    assert plan.paths[0] == tmp_path / "b.jpg"


def test_the_lists_of_lfw_are_understood_as_they_are(tmp_path: Path) -> None:
    table = tmp_path / "enrol.csv"
    table.write_text("person,image\nAaron_Peirsol,Aaron_Peirsol/Aaron_Peirsol_0001.jpg\n")
    put(tmp_path / "images", "Aaron_Peirsol/Aaron_Peirsol_0001.jpg")
    [photo] = plan_of_table(table, tmp_path / "images").photos
    assert photo.person == PersonKey(external_id="Aaron_Peirsol", name="Aaron_Peirsol")
    assert photo.load() == b"Aaron_Peirsol/Aaron_Peirsol_0001.jpg"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("image,person,age\na,b,3\n", "line 1: there is no column 'age'"),
        ("image\na.jpg\n", "person or external_id"),
        ("image,photo,person\na,b,c\n", "two columns are path"),
        ("image,person\na.jpg\n", "line 2: 1 cells where the first line has 2"),
        ("image,person\na.jpg,\n", "line 2, column person: it is empty"),
        ("image,person\n,ann\n", "line 2, column path: it is empty"),
        (
            "image,person,name\na,1,Ann\nb,1,Bob\n",
            "line 3, column name: line 2 says something else",
        ),
        (
            "image,person,expires_at\na,1,tomorrow\n",
            "line 2, column expires_at: it should be a date",
        ),
        ("image,person,expires_at\na,1,2001-01-01T00:00:00Z\n", "to come"),
        ("image,person,metadata\na,1,[]\n", "line 2, column metadata: it should be a JSON object"),
        ("image,person\n", "has no rows"),
        ('image,person\n"a,b\n', "no CSV"),
        ("", "needs a column path"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_line_and_column(
    tmp_path: Path, text: str, wrong: str
) -> None:
    table = tmp_path / "people.csv"
    table.write_text(text)
    with pytest.raises(PlanWrong, match=wrong):
        plan_of_table(table)


def test_a_photo_that_is_not_there_or_far_too_large_is_no_reason_to_stop(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("path,person\nabsent.jpg,a\nhuge.jpg,b\n")
    with (tmp_path / "huge.jpg").open("wb") as huge:
        huge.truncate(1_000_000_000)
    absent, large = plan_of_table(table).photos
    with pytest.raises(FileNotFoundError):
        absent.load()
    with pytest.raises(Unusable, match="1,000,000,000"):
        large.load()


def test_a_dry_run_says_what_would_be_done_and_asks_nobody(tmp_path: Path) -> None:
    put(tmp_path, "Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg", "Bob/readme.md")
    done = typed("enroll", tmp_path, "--dry-run", "--json", ROLLCALL_URL="http://127.0.0.1:9")
    assert done.returncode == 0
    assert (done.json["photos"], done.json["persons"], len(done.json["ignored"])) == (3, 2, 1)
    assert "Nothing was sent" in typed("enroll", tmp_path, "--dry-run").stdout

"""RecordIO without mxnet: what was written is read, what is damaged is refused by offset."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.training.data import open_source
from models.training.data import records as records_module
from models.training.data.recordio import RecordFile
from models.training.data.records import Records
from models.training.errors import TrainingDataError
from tests.models.data.recordio_writer import MAGIC, entry, record, write, write_faces

PEOPLE = [[b"a0", b"a1 longer"], [b"b0"], [b"c0", MAGIC * 2, b"x" + MAGIC]]

pieces = st.one_of(st.binary(max_size=9), st.just(MAGIC), st.just(MAGIC[:2]))
payloads = st.lists(st.lists(pieces, max_size=6).map(b"".join), min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads)
def test_any_payload_comes_back_wherever_the_magic_number_lies(
    tmp_path: Path, contents: list[bytes]
) -> None:
    path = write(tmp_path / "some.rec", list(enumerate(contents)))
    file = RecordFile(path)
    assert [file.payload(place) for place in range(len(contents))] == contents
    starts = {place: (start, size) for place, start, size in file.starts(10)}
    assert starts == {place: (content[:10], len(content)) for place, content in enumerate(contents)}


def test_a_file_made_byte_by_byte_is_read(tmp_path: Path) -> None:
    magic = b"\x0a\x23\xd7\xce"
    content = (
        # key 5: nine bytes, padded to twelve
        magic + b"\x09\x00\x00\x00" + b"123456789" + b"\0\0\0"
        # key 1: "ab\0\0", the magic number, "c": a first part and a last
        + magic + b"\x04\x00\x00\x20" + b"ab\0\0"
        + magic + b"\x01\x00\x00\x60" + b"c" + b"\0\0\0"
    )  # fmt: skip
    (tmp_path / "hand.rec").write_bytes(content)
    (tmp_path / "hand.idx").write_bytes(b"5\t0\n1\t20\n")
    file = RecordFile(tmp_path / "hand.rec")
    assert file.keys.tolist() == [1, 5]
    assert file.payload(0) == b"ab\0\0" + magic + b"c"
    assert file.payload(1) == b"123456789"


def test_the_layout_of_insightface_gives_pictures_labels_and_identities(tmp_path: Path) -> None:
    source = open_source(write_faces(tmp_path / "train.rec", PEOPLE))
    assert source.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert source.identities == ("0", "1", "2")
    assert [source.read(index) for index in range(6)] == [p for person in PEOPLE for p in person]
    assert open_source(tmp_path).fingerprint == source.fingerprint
    assert "key 3" in source.name(2)


def test_without_a_header_every_record_is_a_picture(tmp_path: Path) -> None:
    path = write(
        tmp_path / "plain.rec", [(0, entry(b"first", 1.0)), (4, entry(b"second", 0.0, 1.0))]
    )
    source = Records(path)
    assert source.labels.tolist() == [1, 0]
    assert [source.read(0), source.read(1)] == [b"first", b"second"]


def test_a_set_too_large_for_float32_keys_goes_by_what_its_records_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_faces(tmp_path / "train.rec", PEOPLE)
    exact = Records(path)
    monkeypatch.setattr(records_module, "EXACT", 5)
    large = Records(path)
    assert np.array_equal(large.labels, exact.labels)
    assert large.fingerprint == exact.fingerprint


def test_the_fingerprint_changes_with_one_byte_and_with_one_label(tmp_path: Path) -> None:
    found = set()
    for number, people in enumerate(
        ([[b"a", b"b"], [b"c"]], [[b"a", b"x"], [b"c"]], [[b"a"], [b"b", b"c"]])
    ):
        found.add(Records(write_faces(tmp_path / f"{number}.rec", people)).fingerprint)
    assert len(found) == 3


def test_a_file_cut_short_is_refused_with_file_and_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "t.rec", [(1, entry(b"one", 0.0)), (2, entry(b"x" * 50, 1.0))])
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(TrainingDataError, match=r"t\.rec: record at offset 36 .*is cut short"):
        Records(path)
    path.write_bytes(whole[:40])
    with pytest.raises(TrainingDataError, match=r"key 2.*8 bytes are wanted.*4 are left"):
        Records(path)
    path.write_bytes(whole[:36])
    with pytest.raises(TrainingDataError, match=r"t\.idx: key 2 points to offset 36.*36 bytes"):
        Records(path)


def test_a_wrong_magic_number_or_part_is_refused_with_its_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "t.rec", [(1, entry(b"one", 0.0)), (2, entry(b"two", 1.0))])
    content = bytearray(path.read_bytes())
    content[36] = 0
    path.write_bytes(content)
    with pytest.raises(TrainingDataError, match=r"0xced72300 at offset 36.*0xced7230a"):
        Records(path)
    path.write_bytes(MAGIC + struct.pack("<I", 3 << 29 | 4) + b"abcd" + bytes(60))
    with pytest.raises(TrainingDataError, match="has flag 3 instead of 0 or 1"):
        Records(path)
    path.write_bytes(record(b"too short") + bytes(60))
    path.with_suffix(".idx").write_text("1\t0\n")
    with pytest.raises(TrainingDataError, match="too few for its labels"):
        Records(path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "is empty"),
        ("1\t0\nx\t36\n", r"line 2: 'x\t36' is no key"),
        ("1\t0\n1\t36\n", "has key 1 twice"),
        ("1\t-5\n", "points to offset -5"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, index: str, message: str) -> None:
    path = write(tmp_path / "t.rec", [(1, entry(b"one", 0.0))])
    path.with_suffix(".idx").write_text(index)
    with pytest.raises(TrainingDataError, match=message):
        Records(path)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.rec").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"t\.idx is missing"):
        open_source(tmp_path / "t.rec")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "label 3 is out of range; 2 identities have the labels 0 to 1"),
        ([0, -1], "label -1 is out of range"),
        ([0, 0.5], r"key 2\): label 0.5 is not a whole number"),
        ([0, float("nan")], "label nan is not a whole number"),
        ([0, 0], "1 of 2 labels have no picture, the first is 1"),
    ],
)
def test_wrong_labels_are_refused(tmp_path: Path, labels: list[float], message: str) -> None:
    pictures = [(key, entry(b"x", float(label))) for key, label in enumerate(labels, 1)]
    header = (0, entry(b"", 3.0, 5.0))
    path = write(tmp_path / "t.rec", [*pictures, header])
    with pytest.raises(TrainingDataError, match=message):
        Records(path)


def test_pictures_that_the_header_promises_must_be_there(tmp_path: Path) -> None:
    header = (0, entry(b"", 4.0, 5.0))
    path = write(tmp_path / "t.rec", [(1, entry(b"x", 0.0)), (2, entry(b"x", 0.0)), header])
    with pytest.raises(TrainingDataError, match=r"keys 1 to 3, the \.idx has 2 of them"):
        Records(path)
    path = write(tmp_path / "u.rec", [(1, entry(b"", 0.0)), (0, entry(b"", 2.0, 3.0))])
    with pytest.raises(TrainingDataError, match=r"key 1\) has no picture"):
        Records(path)

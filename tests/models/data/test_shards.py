"""WebDataset shards: samples of tar files, by random access."""

import io
import tarfile
from pathlib import Path

import pytest

from models.training.data import open_source
from models.training.data.shards import Shards, expand
from models.training.errors import TrainingDataError


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of five samples, labelled in both ways."""
    write_tar(
        tmp_path / "x-000.tar",
        {
            "./deep/a.jpg": b"picture a",
            "./deep/a.cls": b"1\n",
            "b.PNG": b"picture b" * 100,
            "b.json": b'{"label": 0, "age": 30}',
            "b.txt": b"nobody reads this",
            "c.json": b"2",
            "c.webp": b"",
        },
    )
    write_tar(
        tmp_path / "x-001.tar",
        {
            "d.jpeg": b"picture d",
            "d.json": b'{"cls": 1}',
            "b.jpg": b"another b",
            "b.cls": b"2",
        },
    )
    return tmp_path


def test_samples_are_read_in_any_order_with_their_labels(shards: Path) -> None:
    source = open_source(shards / "x-{000..001}.tar")
    assert source.labels.tolist() == [1, 0, 2, 1, 2]
    assert source.identities == ("0", "1", "2")
    found = {source.name(index): source.read(index) for index in (4, 1, 0, 3, 2)}
    assert found == {
        "x-000.tar/./deep/a": b"picture a",
        "x-000.tar/b": b"picture b" * 100,
        "x-000.tar/c": b"",
        "x-001.tar/d": b"picture d",
        "x-001.tar/b": b"another b",
    }


def test_ranges_wildcards_lists_and_folders_name_the_same_shards(shards: Path) -> None:
    named = [
        open_source(shards / "x-{000..001}.tar"),
        open_source(shards / "x-*.tar"),
        open_source(shards / "x-001.tar", shards / "x-000.tar"),
        open_source(shards),
    ]
    assert len({source.fingerprint for source in named}) == 1


def test_a_range_is_as_wide_as_it_is_written(tmp_path: Path) -> None:
    for name in ("a08-1", "a09-1", "a10-1", "a08-2", "a09-2", "a10-2"):
        (tmp_path / name).write_bytes(b"")
    found = expand(str(tmp_path / "a{08..10}-{1..2}"))
    assert [path.name for path in found] == ["a08-1", "a08-2", "a09-1", "a09-2", "a10-1", "a10-2"]


def test_the_fingerprint_changes_with_one_byte_and_with_one_label(tmp_path: Path) -> None:
    found = set()
    for number, (content, label) in enumerate(((b"x", b"0"), (b"y", b"0"), (b"x", b"1"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        members = {"a.jpg": content, "a.cls": label, "b.jpg": b"b", "b.cls": b"0"}
        members |= {"c.jpg": b"c", "c.cls": b"1"}
        found.add(Shards(write_tar(folder / "s.tar", members)).fingerprint)
    assert len(found) == 3


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_shard_is_refused(tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / "s.tar.packed", {"a.jpg": b"x", "a.cls": b"0"}, mode)
    with pytest.raises(TrainingDataError, match=r"s\.tar\.packed is compressed"):
        open_source(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jpg": b"x"}, r"sample a has 0 members of \.cls"),
        ({"a.cls": b"0"}, r"sample a has 0 members of \.jpg"),
        ({"a.jpg": b"x", "a.png": b"x", "a.cls": b"0"}, r"sample a has 2 members of \.jpg"),
        ({"a.jpg": b"x", "a.cls": b"zero"}, r"a\.cls: 'zero' is no label"),
        ({"a.jpg": b"x", "a.cls": b"1.5"}, "'1.5' is no label"),
        ({"a.jpg": b"x", "a.json": b'{"name": "Ann"}'}, "is no label"),
        ({"a.jpg": b"x", "a.json": b'{"label": "3"}'}, "is no label"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, r"s\.tar/a: label -1 is out of range"),
        ({"a.jpg": b"x", "a.cls": b"1"}, "1 of 2 labels have no picture"),
        ({}, "is empty"),
    ],
)
def test_incomplete_samples_are_refused_by_name(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    path = write_tar(tmp_path / "s.tar", members)
    with pytest.raises(TrainingDataError, match=message):
        open_source(path)


def test_a_shard_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    members = {"a.cls": b"0", "a.jpg": b"x" * 700, "b.cls": b"0", "b.jpg": b"x" * 5000}
    path = write_tar(tmp_path / "s.tar", members)
    whole = path.read_bytes()
    for length in (700, 1024, 2560, 3000, 6000):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingDataError, match=r"s\.tar.*(cut short|cannot be read)"):
            open_source(path)
    path.write_bytes(whole[:1030] + b"\xff" + whole[1031:])
    with pytest.raises(TrainingDataError, match="cut short or damaged at offset 1024"):
        open_source(path)
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(TrainingDataError, match="cannot be read as a tar file"):
        open_source(path)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "x-0.tar", {"a.jpg": b"x", "a.cls": b"0"})
    with pytest.raises(FileNotFoundError, match=r"x-1\.tar"):
        open_source(tmp_path / "x-{0..1}.tar")
    with pytest.raises(FileNotFoundError, match=r"No file is named like .*y-\*\.tar"):
        open_source(tmp_path / "y-*.tar")


def test_forms_are_not_mixed(shards: Path) -> None:
    with pytest.raises(TrainingDataError, match="several forms"):
        open_source(shards / "x-000.tar", shards.parent)
    (shards / "lfw.bin").write_bytes(b"")
    with pytest.raises(TrainingDataError, match=r"lfw\.bin is a verification set"):
        open_source(shards / "lfw.bin")
    with pytest.raises(TrainingDataError, match="No data was given"):
        open_source()

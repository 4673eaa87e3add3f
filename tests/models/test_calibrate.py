"""A calibration finds the true rates, extends to larger galleries, and refuses too few people."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from app.vision.calibration import Calibration, read_calibration
from app.vision.errors import PackInvalid
from app.vision.pack import hash_file, read_manifest, read_pack
from models.training.calibrate import add_arguments, persons_in, run
from models.training.errors import TrainingDataError
from models.training.evaluation.calibration import LEAST_PEOPLE, calibration, false_positives
from tests.tiny_pack import write_tiny_pack

DIMENSION = 32


def people(
    random: np.random.Generator, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two pictures a person: cosines of strangers have a known law, those of mates lie near .8."""
    centres = random.normal(size=(count, DIMENSION))
    rows = np.repeat(centres, 2, axis=0) + 0.5 * random.normal(size=(2 * count, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), np.repeat(np.arange(count), 2)


def true_fmr(threshold: float) -> float:
    """Share of random directions whose cosine reaches it: t^2 has a Beta law."""
    return float(stats.beta.sf(threshold**2, 0.5, (DIMENSION - 1) / 2) / 2)


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    rows, labels = people(np.random.default_rng(1), 600)
    return calibration(embeddings=rows, labels=labels, model="0" * 16, data="synthetic")


@pytest.fixture(scope="module")
def calibrated(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    path.write_text(json.dumps(content))
    found = read_calibration(path, "0" * 16)
    assert found is not None
    return found


def test_the_service_reads_it_and_known_rates_are_found(calibrated: Calibration) -> None:
    assert calibrated.subjects == 600
    assert [row.fmr for row in calibrated.fmr][-1] == pytest.approx(3e-4)
    for row in calibrated.fmr:
        low, high = row.interval
        assert row.pairs == 600 * 599 // 2
        assert 30 <= row.errors <= row.fmr * row.pairs
        assert low <= row.errors / row.pairs <= high
        # One in twenty intervals may miss; none by much.
        assert low * 0.9 <= true_fmr(row.threshold) <= high * 1.1


def test_false_non_matches_are_those_of_second_pictures(calibrated: Calibration) -> None:
    assert calibrated.mated.pairs == 600
    rates = [row.fnmr for row in calibrated.mated.fnmr]
    assert rates == sorted(rates)
    assert rates[0] == 0
    assert rates[-1] > 0.9


@pytest.mark.parametrize(("size", "target"), [(50, 0.05), (200, 0.1), (2000, 0.05)])
def test_the_fpir_law_holds_on_people_it_has_not_seen(
    calibrated: Calibration, size: int, target: float
) -> None:
    """The largest gallery is ten times that of the largest measured."""
    assert calibrated.fpir.sizes == (10, 200)
    random = np.random.default_rng(2)
    threshold = calibrated.threshold_for_fpir(target, size)
    seen = np.concatenate(
        [
            (people(random, 300)[0][::2] @ people(random, size)[0][::2].T).max(axis=1) >= threshold
            for _ in range(4)
        ]
    )
    # Random directions have a lighter tail than the law (and than faces): it lies a little low in
    # the middle of the sizes that were measured, and beyond them it asks for more than it must.
    assert target / 5 <= seen.mean() <= target * 1.6


def test_where_the_tail_is_exponential_the_law_is_exact_beyond_the_measured_sizes() -> None:
    random = np.random.default_rng(3)
    scores = random.exponential(0.05, (600, 600))
    law = false_positives(np.triu(scores, 1) + np.triu(scores, 1).T, random)
    at = law["location"] + law["size_slope"] * math.log(2000)
    at -= law["rate_slope"] * math.log(-math.log1p(-0.05))
    assert 1 - (1 - math.exp(-at / 0.05)) ** 2000 == pytest.approx(0.05, rel=0.3)


def test_the_same_pictures_give_the_same_file(content: dict[str, Any]) -> None:
    rows, labels = people(np.random.default_rng(1), 600)
    assert calibration(embeddings=rows, labels=labels, model="0" * 16, data="synthetic") == content


def test_a_small_set_supports_what_its_counts_support() -> None:
    rows, labels = people(np.random.default_rng(4), 90)
    found = Calibration.model_validate(
        calibration(embeddings=rows, labels=labels, model="0" * 16, data="small")
    )
    assert [row.fmr for row in found.fmr] == [0.1, 0.03, 0.01]
    assert found.fpir.sizes == (10, 20)
    assert found.fpir.min_fpir == pytest.approx(10 / 70, abs=1e-4)
    assert found.fpir.min_fpir < found.fpir.max_fpir


@pytest.mark.parametrize("count", [87, 100, 111, 150, 747])
def test_every_set_that_is_large_enough_gives_a_file_that_the_service_reads(count: int) -> None:
    rows, labels = people(np.random.default_rng(count), count)
    Calibration.model_validate(
        calibration(embeddings=rows, labels=labels, model="0" * 16, data="any")
    )


def test_too_few_people_are_refused_with_how_many_are_needed() -> None:
    assert LEAST_PEOPLE == 87
    rows, labels = people(np.random.default_rng(5), 90)
    rows[:8] = np.nan  # four of them without a face
    with pytest.raises(ValueError, match=r"at least 87 people with a face.* there are 86"):
        calibration(embeddings=rows, labels=labels, model="0" * 16, data="few")


def test_a_lost_first_picture_is_replaced_by_the_next() -> None:
    rows, labels = people(np.random.default_rng(6), 100)
    rows[0] = np.nan
    found = calibration(embeddings=rows, labels=labels, model="0" * 16, data="lost")
    assert found["subjects"] == 100
    assert found["mated"]["pairs"] == 99


def test_single_pictures_give_no_false_non_matches() -> None:
    rows, labels = people(np.random.default_rng(7), 100)
    found = calibration(embeddings=rows[::2], labels=labels[::2], model="0" * 16, data="single")
    assert found["mated"] == {"pairs": 0, "fnmr": []}
    Calibration.model_validate(found)


def test_embeddings_that_are_all_alike_are_refused() -> None:
    rows = np.tile(np.eye(1, 4, dtype=np.float32), (200, 1))
    with pytest.raises(ValueError, match="do not tell people apart"):
        calibration(embeddings=rows, labels=np.arange(200), model="0" * 16, data="collapsed")


def ask(*words: object) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """95 persons of noise, two pictures each."""
    folder = tmp_path_factory.mktemp("crops")
    random = np.random.default_rng(0)
    for person in range(95):
        face = random.normal(128, 60, (14, 14, 3))
        for number in range(2):
            rough = np.clip(face + random.normal(0, 20, face.shape), 0, 255)
            path = folder / f"p{person:02d}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rough.astype(np.uint8)).resize((112, 112)).save(path)
    return folder


def test_the_command_writes_what_the_pack_reads(crops: Path, tmp_path: Path) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    (folder / "calibration.json").write_text('{"model": "of another recognizer"}')
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("image\np00/0.png\np01/1.png\n")
    ask(
        "--pack", folder, "--crops", crops, "--without", left_out, "--data", "Noise, made up."
    )  # fmt: skip
    pack = read_pack(folder)
    assert pack.calibration is not None
    assert pack.calibration.subjects == 93
    assert pack.calibration.data.startswith("Noise, made up. False matches: one picture a person")
    assert 0 < pack.calibration.threshold_for_fmr(0.05) < 1


def test_a_calibration_that_fails_leaves_the_old_one(crops: Path, tmp_path: Path) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    ask("--pack", folder, "--crops", crops)
    before = (folder / "calibration.json").read_bytes()
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("person\n" + "".join(f"p{n:02d}\n" for n in range(50)))
    with pytest.raises(ValueError, match="there are 45"):
        ask("--pack", folder, "--crops", crops, "--without", left_out)
    assert (folder / "calibration.json").read_bytes() == before


def test_lists_of_persons_are_read_by_person_or_image(tmp_path: Path) -> None:
    by_person, by_image, neither = (tmp_path / f"{n}.csv" for n in range(3))
    by_person.write_text("person,image\nAnn,Ann/Ann_0001.jpg\n")
    by_image.write_text("image\nBob/Bob_0002.jpg\nBob/Bob_0003.jpg\n")
    neither.write_text("name\nEve\n")
    assert persons_in([by_person, by_image]) == {"Ann", "Bob"}
    with pytest.raises(TrainingDataError, match="column person or image"):
        persons_in([neither])


def test_the_pack_vouches_for_its_calibration(crops: Path, tmp_path: Path) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    for _ in range(2):  # the second time over an older promise
        ask("--pack", folder, "--crops", crops)
        promised = read_manifest(folder / "pack.json").calibration_sha256
        assert promised == hash_file(folder / "calibration.json")
    text = (folder / "calibration.json").read_text()
    (folder / "calibration.json").write_text(text.replace("0.6", "0.5"))
    with pytest.raises(PackInvalid, match=r"calibration.json has SHA-256"):
        read_pack(folder)


def test_a_calibration_that_fails_leaves_the_old_promise(crops: Path, tmp_path: Path) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    ask("--pack", folder, "--crops", crops)
    before = (folder / "pack.json").read_bytes()
    with pytest.raises(FileNotFoundError):
        ask("--pack", folder, "--crops", tmp_path / "nowhere")
    assert (folder / "pack.json").read_bytes() == before
    assert read_pack(folder).calibration is not None

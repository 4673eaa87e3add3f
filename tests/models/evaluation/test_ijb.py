"""IJB from its own files: a miniature with answers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from models.training.errors import TrainingDataError
from models.training.evaluation.figures import tar_at_far
from models.training.evaluation.ijb import (
    identification,
    pool,
    read_files,
    read_pairs,
    read_subjects,
    verification_scores,
)
from models.training.evaluation.open_set import cmc, fnir_at_fpir

# Five templates: 1 and 2 show subject 70, 3 subject 80, 4 subject 90, 5 subject 80.
# Template 1: two frames of medium 500, one photo of medium 501.
MEDIA = """\
1.jpg 1 500
2.jpg 1 500
3.jpg 1 501
4.jpg 2 502
5.jpg 3 503
6.jpg 4 504
7.jpg 5 505
"""
EMBEDDINGS = np.array(
    [[4, 0], [2, 0], [0, 3], [5, 5], [0, 2], [-1, 0], [3, 4]],
    np.float32,
)
SCORES = (1, 1, 1, 0.5, 1, 1, 1)
PAIRS = "1 2 1\n1 3 0\n3 5 1\n2 4 0\n"


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    folder = tmp_path / "meta"
    folder.mkdir()
    (folder / "ijbc_face_tid_mid.txt").write_text(MEDIA)
    (folder / "ijbc_template_pair_label.txt").write_text(PAIRS)
    (folder / "ijbc_name_5pts_score.txt").write_text(
        "".join(
            f"{n}.jpg 38.3 51.7 73.5 51.5 56.0 71.7 41.5 92.4 70.7 92.2 {score}\n"
            for n, score in enumerate(SCORES, 1)
        )
    )
    header = "TEMPLATE_ID,SUBJECT_ID\n"
    (folder / "ijbc_1N_gallery_G1.csv").write_text(header + "1,70\n4,90\n")
    (folder / "ijbc_1N_gallery_G2.csv").write_text(header + "3,80\n")
    (folder / "ijbc_1N_probe_mixed.csv").write_text(header + "2,70\n5,80\n5,80\n")
    return folder


def test_media_weigh_alike_and_frames_share_their_mediums_weight(meta: Path) -> None:
    files = read_files(meta)
    templates = pool(EMBEDDINGS, files.media, files.landmarks.scores)
    # Template 1: mean of the frames (3, 0) plus the photo (0, 3).
    half = 1 / np.sqrt(2)
    expected = [[half, half], [half, half], [0, 1], [-1, 0], [0.6, 0.8]]
    assert templates.ids.tolist() == [1, 2, 3, 4, 5]
    assert templates.rows == pytest.approx(np.array(expected), abs=1e-6)


def test_the_detectors_score_and_the_length_are_weights(meta: Path) -> None:
    media = read_files(meta).media
    weights = np.array([1, 1, 0.5, 1, 1, 1, 1])
    [row, *_] = pool(EMBEDDINGS, media, weights).rows
    assert row == pytest.approx(np.array([3, 1.5]) / np.hypot(3, 1.5), abs=1e-6)


def test_a_lost_picture_is_left_out_and_a_lost_template_matches_nobody(meta: Path) -> None:
    files = read_files(meta)
    lost = EMBEDDINGS.copy()
    lost[[0, 4]] = np.nan
    templates = pool(lost, files.media)
    assert templates.rows[0] == pytest.approx(np.array([2, 3]) / np.hypot(2, 3), abs=1e-6)
    assert np.isnan(templates.rows[2]).all()
    assert verification_scores(templates, files.pairs)[1] == -2


def test_verification_compares_the_pairs_of_the_list(meta: Path) -> None:
    files = read_files(meta)
    scores = verification_scores(pool(EMBEDDINGS, files.media), files.pairs)
    half = 1 / np.sqrt(2)
    assert scores == pytest.approx([1, half, 0.8, -half], abs=1e-6)
    mated = files.pairs.mated
    point = tar_at_far(scores[mated], scores[~mated], 0.5)
    assert (point.accepted.count, point.false.count) == (2, 1)


def test_each_gallery_is_searched_alone_and_the_others_probes_are_strangers(meta: Path) -> None:
    files = read_files(meta)
    templates = pool(EMBEDDINGS, files.media)
    assert list(files.galleries) == ["G1", "G2"]
    assert files.probes is not None
    first, second = (
        identification(templates, gallery, files.probes) for gallery in files.galleries.values()
    )
    # G1 holds subjects 70 and 90: template 2 finds 70, template 5 is a stranger to it.
    assert first.people == 2
    assert (first.mates.tolist(), first.ranks.tolist()) == ([pytest.approx(1)], [1])
    assert first.strangers == pytest.approx([(0.6 + 0.8) / np.sqrt(2)], abs=1e-6)
    # G2 holds 80 alone: template 5 finds it, template 2 is a stranger.
    assert second.mates == pytest.approx([0.8], abs=1e-6)
    assert second.strangers == pytest.approx([1 / np.sqrt(2)], abs=1e-6)
    assert cmc(second)[0].count == 1
    assert fnir_at_fpir(second, 1.0).fnir.count == 0


def test_files_that_do_not_belong_together_are_refused(meta: Path) -> None:
    path = meta / "ijbc_name_5pts_score.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(TrainingDataError, match="another order"):
        read_files(meta)
    path.write_text("".join([lines[0][:-20] + "\n", *lines[1:]]))
    with pytest.raises(TrainingDataError, match="line 1: "):
        read_files(meta)
    path.unlink()
    with pytest.raises(TrainingDataError, match=r"5pts_score.txt is missing"):
        read_files(meta)
    with pytest.raises(TrainingDataError, match="no IJB meta folder"):
        read_files(meta.parent)


def test_broken_lists_are_refused_by_name(meta: Path) -> None:
    path = meta / "pairs.txt"
    path.write_text("1 2 1\n1 3 7\n")
    with pytest.raises(TrainingDataError, match="two templates and 0 or 1"):
        read_pairs(path)
    path.write_text("1 2 one\n")
    with pytest.raises(TrainingDataError, match=r"pairs.txt"):
        read_pairs(path)
    path.write_text("TEMPLATE_ID,SUBJECT_ID\n1,70\n1,71\n")
    with pytest.raises(TrainingDataError, match="template 1 to two subjects"):
        read_subjects([path])
    (meta / "ijbc_template_pair_label.txt").write_text("1 99 1\n")
    files = read_files(meta)
    with pytest.raises(TrainingDataError, match="such as 99"):
        verification_scores(pool(EMBEDDINGS, files.media), files.pairs)

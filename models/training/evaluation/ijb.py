"""IJB-B and IJB-C (Maze et al., 2018) from their own files: media, templates, 1:1 and 1:N.

Templates hold pictures of one person, grouped by medium: the frames of a video count together as
much as one photo. 1:N has two galleries of different people, each of which is searched and
reported alone, so that the other's probes are strangers.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.training.errors import TrainingDataError
from models.training.evaluation.figures import Floats, paired_cosines
from models.training.evaluation.open_set import Searches, search

GALLERIES: Final = ("G1", "G2", "S1", "S2")  # IJB-C has G, IJB-B has S
PAIRS_AT_ONCE: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class Media:
    """``PREFIX_face_tid_mid.txt``: what template and medium each of n pictures belongs to."""

    images: tuple[str, ...]
    templates: NDArray[np.int64]
    media: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """``PREFIX_name_5pts_score.txt``: float32 [n, 5, 2] in pixels, and detection scores [n]."""

    images: tuple[str, ...]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TemplatePairs:
    """``PREFIX_template_pair_label.txt``: templates compared [n], and which pairs are mated."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mated: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """A 1:N list: whose templates they are, each once."""

    templates: NDArray[np.int64]
    subjects: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Embeddings float32 [T, D] of length one (or NaN) of templates ``ids`` [T], ascending."""

    ids: NDArray[np.int64]
    rows: NDArray[np.float32]

    def of(self, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows of templates [n]: float32 [n, D]. Raises TrainingDataError for unknown ones."""
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        if (missing := wanted[self.ids[at] != wanted]).size:
            raise TrainingDataError(
                f"{missing.size} templates of the list, such as {missing[0]}, have no picture in "
                "the media file: the files belong to different sets."
            )
        return np.asarray(self.rows[at])


def read_media(path: Path) -> Media:
    """Lines ``image template medium``. Raises TrainingDataError that names the line."""
    rows = _fields(path, 3)
    return Media(
        images=tuple(row[0] for row in rows),
        templates=_numbers(path, [row[1] for row in rows]),
        media=_numbers(path, [row[2] for row in rows]),
    )


def read_landmarks(path: Path) -> Landmarks:
    """Lines ``image x1 y1 … x5 y5 score``. Raises TrainingDataError that names the line."""
    rows = _fields(path, 12)
    try:
        values = np.array([row[1:] for row in rows], np.float32)
    except ValueError as error:
        raise TrainingDataError(f"{path} has something that is no number: {error}.") from None
    return Landmarks(
        images=tuple(row[0] for row in rows),
        points=values[:, :10].reshape(-1, 5, 2),
        scores=values[:, 10],
    )


def read_pairs(path: Path) -> TemplatePairs:
    """Lines ``template template 0|1``, of which IJB-C has 15.6 million."""
    try:
        table = np.loadtxt(path, np.int64, ndmin=2)
    except ValueError as error:
        raise TrainingDataError(f"{path} has something that is no number: {error}.") from None
    if table.shape[1] != 3 or not np.isin(table[:, 2], (0, 1)).all():
        raise TrainingDataError(f"{path} has to have lines of two templates and 0 or 1.")
    return TemplatePairs(first=table[:, 0], second=table[:, 1], mated=table[:, 2] == 1)


def read_subjects(paths: Sequence[Path]) -> Subjects:
    """CSV files whose first columns are TEMPLATE_ID and SUBJECT_ID, below a header.

    A template may be named again, once a picture. Raises TrainingDataError where it then belongs
    to somebody else.
    """
    subject_of: dict[int, int] = {}
    for path in paths:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        templates, subjects = (_numbers(path, [row[column] for row in rows]) for column in (0, 1))
        for template, subject in zip(templates.tolist(), subjects.tolist(), strict=True):
            if subject_of.setdefault(template, subject) != subject:
                raise TrainingDataError(f"{path} gives template {template} to two subjects.")
    return Subjects(
        templates=np.array(list(subject_of), np.int64),
        subjects=np.array(list(subject_of.values()), np.int64),
    )


def pool(embeddings: Floats, media: Media, weights: Floats | None = None) -> Templates:
    """One embedding a template of pictures' embeddings [n, D], which are *not* normalised.

    The mean within each medium of a template, the sum over its media, length one. Longer
    embeddings and larger ``weights`` [n] (detection scores, usually) count for more. Rows of NaN
    are left out; a template with nothing else is NaN.
    """
    usable = np.isfinite(embeddings).all(axis=1)
    keys = np.stack([media.templates, media.media], axis=1)
    groups, medium_of = np.unique(keys, axis=0, return_inverse=True)
    medium_of = medium_of.reshape(-1)
    scaled = np.asarray(embeddings, np.float64)
    if weights is not None:
        scaled = scaled * np.asarray(weights, np.float64)[:, None]
    sums = np.zeros((len(groups), embeddings.shape[1]))
    np.add.at(sums, medium_of[usable], scaled[usable])
    counts = np.bincount(medium_of[usable], minlength=len(groups))
    means = sums / np.maximum(counts, 1)[:, None]
    ids, template_of = np.unique(groups[:, 0], return_inverse=True)
    rows = np.zeros((len(ids), embeddings.shape[1]))
    np.add.at(rows, template_of.reshape(-1), means)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = np.nan
    return Templates(ids=ids, rows=np.asarray(rows / lengths, np.float32))


def verification_scores(templates: Templates, pairs: TemplatePairs) -> NDArray[np.float32]:
    """The cosine of each pair of templates: float32 [n]."""
    scores = np.empty(len(pairs.mated), np.float32)
    for start in range(0, len(scores), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        scores[part] = paired_cosines(
            templates.of(pairs.first[part]), templates.of(pairs.second[part])
        )
    return scores


def identification(templates: Templates, gallery: Subjects, probes: Subjects) -> Searches:
    """Search one gallery for all probes: mated where it holds their subject, else strangers."""
    mated = np.isin(probes.subjects, gallery.subjects)
    return search(
        gallery=templates.of(gallery.templates),
        people=gallery.subjects,
        probes=templates.of(probes.templates[mated]),
        mates=probes.subjects[mated],
        strangers=templates.of(probes.templates[~mated]),
    )


@dataclass(frozen=True, kw_only=True)
class Files:
    """The lists of IJB-B or IJB-C in its ``meta`` folder; 1:N is empty where files are missing."""

    media: Media
    landmarks: Landmarks
    pairs: TemplatePairs
    galleries: Mapping[str, Subjects]
    probes: Subjects | None


def read_files(meta: Path) -> Files:
    """All lists of a ``meta`` folder. Raises TrainingDataError for missing or unequal ones."""
    [first, *_] = [*sorted(meta.glob("*_face_tid_mid.txt")), None]
    if first is None:
        raise TrainingDataError(f"{meta} has no PREFIX_face_tid_mid.txt: it is no IJB meta folder.")
    prefix = first.name.removesuffix("_face_tid_mid.txt")
    landmarks = read_landmarks(_existing(meta / f"{prefix}_name_5pts_score.txt"))
    media = read_media(first)
    if media.images != landmarks.images:
        raise TrainingDataError(
            f"{first.name} and {prefix}_name_5pts_score.txt in {meta} name different pictures, or "
            "in another order: row for row they have to be the same."
        )
    probes = sorted(meta.glob(f"{prefix}_1N_probe_*.csv"))
    return Files(
        media=media,
        landmarks=landmarks,
        pairs=read_pairs(_existing(meta / f"{prefix}_template_pair_label.txt")),
        galleries={
            name: read_subjects([path])
            for name in GALLERIES
            if (path := meta / f"{prefix}_1N_gallery_{name}.csv").is_file()
        },
        probes=read_subjects(probes) if probes else None,
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise TrainingDataError(f"{path} is missing.")
    return path


def _fields(path: Path, count: int) -> list[list[str]]:
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != count:
            raise TrainingDataError(f"{path}, line {number}: {len(row)} fields, not {count}.")
    if not rows:
        raise TrainingDataError(f"{path} is empty.")
    return rows


def _numbers(path: Path, texts: Sequence[str]) -> NDArray[np.int64]:
    try:
        return np.array([int(text) for text in texts], np.int64)
    except ValueError as error:
        raise TrainingDataError(f"{path} has something that is no number: {error}.") from None

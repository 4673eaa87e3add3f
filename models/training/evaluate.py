"""Measure a pack by the field's protocols, with its own detector and recognizer.

LFW's View 2 and the open-set search beside it, ``.bin`` sets, IJB-B and IJB-C, and all pairs of
labelled pictures, with groups, families and distractors. A picture without a face is an error,
never an exclusion. The output folder gets evaluation.json, curves.json and plots.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from app.vision.align import align
from app.vision.embed import Recognizer
from app.vision.pack import Pack, read_pack
from models.training.data.bins import read_bin
from models.training.errors import TrainingDataError
from models.training.evaluation import ijb, reports
from models.training.evaluation.figures import paired_cosines
from models.training.evaluation.groups import by_group, read_groups, relatives
from models.training.evaluation.lfw import read_pairs, read_search
from models.training.evaluation.megaface import among_distractors
from models.training.evaluation.open_set import search
from models.training.evaluation.people import People, inner, labelled_crops, labelled_photos
from models.training.evaluation.photos import BATCH, decoded, embed, embed_photos
from models.training.evaluation.reports import Report
from models.training.measures import accuracies, measures
from models.training.provenance import commit

FMR: Final = 1e-3  # at the pack's threshold for it groups and relatives are compared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``evaluate``."""
    parser.add_argument("--pack", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for figures and plots")
    parser.add_argument("--lfw", type=Path, help="images/, pairs.txt and (if there) identify/")
    parser.add_argument("--bin", type=Path, nargs="+", default=[], help="pairs of crops")
    parser.add_argument("--ijb", type=Path, help="loose_crop/ and meta/ of IJB-B or IJB-C")
    labelled = parser.add_mutually_exclusive_group()
    labelled.add_argument("--photos", type=Path, help="raw photos, a folder a person: all pairs")
    labelled.add_argument("--crops", type=Path, help="aligned crops of labelled people: all pairs")
    parser.add_argument("--groups", type=Path, help="CSV image,group: rates by group")
    parser.add_argument(
        "--family",
        type=re.compile,
        help=r"regular expression on a person's name whose group 1 is the family: (f\d+)_",
    )
    parser.add_argument("--distractors", type=Path, help="aligned crops of other people")
    parser.add_argument("--cache", type=Path, help=".npz that keeps what the detector aligned")


def run(arguments: argparse.Namespace) -> None:
    """Raises PackInvalid, TrainingDataError and FileNotFoundError."""
    pack = read_pack(arguments.pack)
    measured = dict(_reports(arguments, pack, Recognizer(pack.recognizer, "cpu")))
    if not measured:
        raise ValueError("Nothing to measure on: give --lfw, --bin, --ijb, --photos or --crops.")
    about = {
        "pack": pack.name,
        "version": pack.version,
        "model": pack.model,
        "flip_test": pack.recognizer.contract.flip_test,
        "commit": commit(),
        "data": _data(arguments),
    }
    reports.write_reports(measured, arguments.out, about)
    for line in summary({name: report.figures for name, report in measured.items()}):
        print(line)


def summary(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures in a line each, for people; all of them are in evaluation.json."""
    for mean in accuracies(figures):
        name = " ".join(mean.path)
        yield f"{name} accuracy {mean.mean:.4f}, standard error {mean.standard_error:.4f}"
    for one in measures(figures):
        low, high = one.interval
        yield (
            f"{' '.join(one.path)} {one.rate:.4f} ({one.count:,} of {one.total:,}; "
            f"{low:.4f} to {high:.4f}){' imprecise' if one.imprecise else ''}"
        )


def _data(arguments: argparse.Namespace) -> dict[str, str]:
    """What was measured on, by the name of its folder or file: paths are nobody's business."""
    given = {"lfw": arguments.lfw, "ijb": arguments.ijb, "photos": arguments.photos}
    given |= {"crops": arguments.crops, "distractors": arguments.distractors}
    given |= {"groups": arguments.groups, **{path.stem: path for path in arguments.bin}}
    return {name: "/".join(path.resolve().parts[-2:]) for name, path in given.items() if path}


def _reports(
    arguments: argparse.Namespace, pack: Pack, recognizer: Recognizer
) -> Iterator[tuple[str, Report]]:
    if arguments.lfw:
        yield from lfw(arguments.lfw, pack, recognizer, arguments.cache)
    for path in arguments.bin:
        yield path.stem, bin_set(path, recognizer)
    if arguments.ijb:
        yield from ijb_sets(arguments.ijb, recognizer)
    if not (arguments.photos or arguments.crops):
        if arguments.groups or arguments.family or arguments.distractors:
            raise ValueError("--groups, --family and --distractors need --photos or --crops.")
        return
    people = (
        labelled_photos(arguments.photos, pack=pack, recognizer=recognizer, cache=arguments.cache)
        if arguments.photos
        else labelled_crops(arguments.crops, recognizer)
    )
    yield "all_pairs", reports.all_pairs(people.rows, people.labels)
    if arguments.groups:
        yield "groups", _groups(people, arguments.groups, _threshold(pack))
    if arguments.family:
        yield "relatives", _relatives(people, arguments.family, _threshold(pack))
    if arguments.distractors:
        others = labelled_crops(arguments.distractors, recognizer)
        found = among_distractors(probes=people.rows, labels=people.labels, distractors=others.rows)
        yield "distractors", Report(figures=found.described())


def lfw(
    folder: Path, pack: Pack, recognizer: Recognizer, cache: Path | None
) -> Iterator[tuple[str, Report]]:
    """View 2 by ``pairs.txt``, and the open-set search where ``identify/`` has its lists."""
    pairs = read_pairs(folder / "pairs.txt")
    lists = read_search(folder / "identify") if (folder / "identify").is_dir() else None
    wanted = {name for pair in pairs for name in (pair.first, pair.second)}
    if lists:
        wanted |= {image for image, _ in (*lists.enrol, *lists.probes)} | set(lists.strangers)
    faces = embed_photos(
        folder / "images",
        sorted(wanted),
        part=pack.detector,
        recognizer=recognizer,
        cache=cache,
    )
    scores = paired_cosines(
        faces.of([pair.first for pair in pairs]), faces.of([pair.second for pair in pairs])
    )
    yield "lfw_view_2", reports.pair_list(scores, np.array([pair.mated for pair in pairs]))
    if lists:
        number = {person: index for index, (_, person) in enumerate(lists.enrol)}
        found = search(
            gallery=faces.of([image for image, _ in lists.enrol]),
            people=np.array([number[person] for _, person in lists.enrol]),
            probes=faces.of([image for image, _ in lists.probes]),
            mates=np.array([number.get(person, -1) for _, person in lists.probes]),
            strangers=faces.of(lists.strangers),
        )
        yield "lfw_open_set", reports.searches(found)


def bin_set(path: Path, recognizer: Recognizer) -> Report:
    """A ``.bin`` set: ten folds and TAR at FAR of its pairs of aligned crops."""
    pairs = read_bin(path)
    names = [f"{path}, picture {index}" for index in range(len(pairs.images))]
    crops = [
        inner(decoded(image, name), name) for image, name in zip(pairs.images, names, strict=True)
    ]
    rows = embed(recognizer, crops)
    return reports.pair_list(paired_cosines(rows[0::2], rows[1::2]), pairs.mated)


def ijb_sets(folder: Path, recognizer: Recognizer) -> Iterator[tuple[str, Report]]:
    """1:1 and, where its lists are there, 1:N of each gallery, aligned by the landmarks given."""
    files = ijb.read_files(folder / "meta")
    marks = files.landmarks
    rows = np.empty((len(marks.images), recognizer.dimension), np.float32)
    for start in tqdm(range(0, len(rows), BATCH), "ijb", disable=None):
        part = slice(start, start + BATCH)
        crops = []
        for name, points in zip(marks.images[part], marks.points[part], strict=True):
            path = folder / "loose_crop" / name
            crops.append(align(decoded(path.read_bytes(), str(path)), points))
        rows[part] = recognizer.raw(np.stack(crops))
    templates = ijb.pool(rows, files.media, marks.scores)
    scores = ijb.verification_scores(templates, files.pairs)
    mated = files.pairs.mated
    yield "ijb_verification", reports.comparisons(scores[mated], scores[~mated])
    if files.probes:
        for name, gallery in files.galleries.items():
            found = ijb.identification(templates, gallery, files.probes)
            yield f"ijb_identification_{name}", reports.searches(found)


def _threshold(pack: Pack) -> float:
    if pack.calibration is None:
        raise ValueError(
            f"Groups and families are compared at the threshold of {pack.name}, which has no "
            "calibration: calibrate it first."
        )
    return pack.calibration.default_for_fmr(FMR)


def _groups(people: People, path: Path, threshold: float) -> Report:
    group_of = read_groups(path)
    groups = [group_of.get(name) for name in people.pictures]
    if not any(groups):
        raise TrainingDataError(f"{path} names none of the pictures, such as {people.pictures[0]}.")
    found = by_group(
        embeddings=people.rows, labels=people.labels, groups=groups, threshold=threshold
    )
    return Report(
        figures={
            "threshold": threshold,
            "pictures_without_a_group": sum(group is None for group in groups),
            "groups": [each.described() for each in found],
        }
    )


def _relatives(people: People, pattern: re.Pattern[str], threshold: float) -> Report:
    families = []
    for person in people.persons:
        found = pattern.search(person)
        families.append(found[1] if found and pattern.groups else person)
    split = relatives(
        embeddings=people.rows, labels=people.labels, families=families, threshold=threshold
    )
    return Report(figures=split.described())

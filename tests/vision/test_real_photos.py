"""On photos of many people: nobody is missed, and hardly anybody is turned away."""

import csv
from collections import defaultdict
from pathlib import Path

from app.settings import QualityLimits
from app.stages import Stages
from app.types import ImageLimits
from app.vision.decode import decode
from app.vision.decoder import Decoder
from app.vision.detect import Detector
from app.vision.quality import refusals
from app.vision.sight import look

LIMITS = ImageLimits()


def test_every_face_of_the_marked_photos_is_found(detector: Detector, research_data: Path) -> None:
    noses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (research_data / "photos" / "faces.csv").open() as file:
        for row in csv.DictReader(file):
            noses[row["image"]].append((float(row["nose_x"]), float(row["nose_y"])))
    missed, extra = [], 0
    for path in sorted((research_data / "photos").glob("*.jpg")):
        boxes = [face.box for face in detector.detect(decode(path.read_bytes(), LIMITS))]
        for x, y in noses[path.name]:
            inside = [
                box
                for box in boxes
                if box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
            ]
            if inside:
                boxes.remove(inside[0])
            else:
                missed.append((path.name, x, y))
        extra += len(boxes)
    assert not missed
    assert extra <= 2


def test_press_photos_are_enrolled(
    detector: Detector, decoder: Decoder, research_data: Path
) -> None:
    lfw = research_data / "lfw"
    with (lfw / "identify" / "enrol.csv").open() as file:
        names = [row["image"] for row in csv.DictReader(file)][::10]
    refused, without = [], []
    for name in names:
        faces = look((lfw / "images" / name).read_bytes(), decoder, detector, Stages())
        if not faces:
            without.append(name)
            continue
        largest = max(faces, key=lambda face: face.box.area)
        if refusals(largest.quality, QualityLimits()):
            refused.append(name)
    assert not without
    assert len(refused) <= 0.02 * len(names)

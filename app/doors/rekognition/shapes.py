"""What answers are made of: boxes as ratios of the upright picture, scores from 0 to 100."""

from collections.abc import Mapping
from typing import Any, Final

from app.store.faces import EnrolledFace
from app.store.users import OwnedFace
from app.types import Box, Face, Floats, Quality

Shape = Mapping[str, Any]

# The order of landmarks is ours (app.types.LANDMARKS).
_LANDMARKS: Final = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")

# Of the Laplacian over the crop: the variance that counts as half sharp.
_HALF_SHARP: Final = 100.0


def confidence(score: float) -> float:
    """A detection score as a percentage."""
    return min(100.0, max(0.0, 100.0 * score))


def bounding_box(box: Box, frame: tuple[int, int]) -> Shape:
    """Ratios of width and height; a box may reach beyond the picture."""
    width, height = frame
    return {
        "Width": box.width / width,
        "Height": box.height / height,
        "Left": box.x / width,
        "Top": box.y / height,
    }


def compared(face: Face) -> Shape:
    """A face of a picture: ComparedFace, and what FaceDetail has by default."""
    return detail(face.box, face.landmarks, face.score, face.quality, face.frame)


def kept_detail(face: EnrolledFace) -> Shape:
    """FaceDetail of an enrolled face."""
    seen = face.detection
    return detail(seen.box, seen.landmarks, seen.score, face.quality, face.frame)


def detail(
    box: Box, landmarks: Floats, score: float, quality: Quality, frame: tuple[int, int] | None
) -> Shape:
    """Places are left out where the size of the picture is not known."""
    places: dict[str, Any] = {}
    if frame is not None:
        width, height = frame
        places = {
            "BoundingBox": bounding_box(box, frame),
            "Landmarks": [
                {"Type": name, "X": x / width, "Y": y / height}
                for name, (x, y) in zip(_LANDMARKS, landmarks.tolist(), strict=True)
            ],
        }
    return {
        **places,
        "Pose": {"Roll": quality.roll, "Yaw": quality.yaw, "Pitch": quality.pitch},
        "Quality": {
            "Brightness": 100.0 * quality.brightness,
            "Sharpness": 100.0 * quality.sharpness / (quality.sharpness + _HALF_SHARP),
        },
        "Confidence": confidence(score),
    }


def kept(owned: OwnedFace) -> Shape:
    """Face: one that is enrolled, with the user that it is associated with, if any."""
    face = owned.face
    shape: dict[str, Any] = {
        "FaceId": str(face.id),
        "Confidence": confidence(face.detection.score),
    }
    if face.frame is not None:
        shape["BoundingBox"] = bounding_box(face.detection.box, face.frame)
    if face.image_id is not None:
        shape["ImageId"] = str(face.image_id)
    if face.reference is not None:
        shape["ExternalImageId"] = face.reference
    if owned.external_id is not None:
        shape["UserId"] = owned.external_id
    return shape

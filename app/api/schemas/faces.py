"""What a face looks like."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, PlainSerializer

from app import types
from app.store.faces import EnrolledFace

Rounded = Annotated[float, PlainSerializer(lambda value: round(value, 4), return_type=float)]
Measured = Annotated[float, PlainSerializer(lambda value: round(value, 2), return_type=float)]
Point = tuple[Measured, Measured]


class BoundingBox(BaseModel):
    """Pixels of the upright picture; x and y are the upper left corner."""

    x: Measured
    y: Measured
    width: Measured
    height: Measured


class Landmarks(BaseModel):
    """Pixels of the upright picture; left means left in the picture."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Quality(BaseModel):
    """face_size in pixels; sharpness higher is sharper; brightness 0 to 1; angles in degrees."""

    face_size: Measured
    sharpness: Measured
    brightness: Measured
    yaw: Measured
    pitch: Measured
    roll: Measured
    detection_score: Rounded


class Face(BaseModel):
    bounding_box: BoundingBox
    landmarks: Landmarks
    detection_score: Rounded
    quality: Quality

    @classmethod
    def fields_of(cls, detection: types.Detection | types.Face, quality: types.Quality) -> Any:
        box = detection.box
        return {
            "bounding_box": BoundingBox(x=box.x, y=box.y, width=box.width, height=box.height),
            "landmarks": Landmarks(
                **{
                    name: (float(x), float(y))
                    for name, (x, y) in zip(types.LANDMARKS, detection.landmarks, strict=True)
                }
            ),
            "detection_score": detection.score,
            "quality": Quality(
                face_size=quality.size,
                sharpness=quality.sharpness,
                brightness=quality.brightness,
                yaw=quality.yaw,
                pitch=quality.pitch,
                roll=quality.roll,
                detection_score=quality.detection_score,
            ),
        }

    @classmethod
    def of(cls, face: types.Face) -> "Face":
        return cls(**cls.fields_of(face, face.quality))


class KeptFace(Face):
    """An enrolled face. `reference` is your own word for the image that it came from."""

    id: UUID
    reference: str | None

    @classmethod
    def kept(cls, face: EnrolledFace) -> "KeptFace":
        return cls(
            id=face.id, reference=face.reference, **cls.fields_of(face.detection, face.quality)
        )


class OwnedFace(KeptFace):
    """An enrolled face, and whose it is."""

    person_id: UUID

    @classmethod
    def owned(cls, face: EnrolledFace) -> "OwnedFace":
        return cls(
            id=face.id,
            person_id=face.person_id,
            reference=face.reference,
            **cls.fields_of(face.detection, face.quality),
        )


class EnrolledImageFace(KeptFace):
    """A face that was just enrolled, and the image it came from, counted from 0."""

    image_index: int

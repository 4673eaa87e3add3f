"""Whole collections out and in, as JSON. `rollcall export` and `rollcall import` speak this."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Depends, Path
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, Field, model_validator

from app import __version__
from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, RequestId
from app.api.fields import CollectionName, Encoded, JsonObject, Model, Name, Reference, encoded
from app.api.guard import Exporter, Importer
from app.store.faces import EnrolledFace
from app.store.persons import NewPerson
from app.store.transfer import MovingFace, MovingPerson
from app.types import Box, Detection, Quality
from app.usecases.transfer import Incoming, Outgoing, exporting, take_in

router = APIRouter(prefix="/collections", tags=["collections"])

InPath = Annotated[CollectionName, Path()]


class PersonLine(Ask):
    """A person as they were enrolled."""

    id: UUID
    name: Name | None = None
    external_id: Name | None = None
    metadata: JsonObject = Field(default_factory=dict)
    consent: Name | None = None
    expires_at: AwareDatetime | None = None

    @classmethod
    def of(cls, moving: MovingPerson) -> Mapping[str, Any]:
        said = moving.said
        return {
            "id": str(moving.id),
            "name": said.name,
            "external_id": said.external_id,
            "metadata": said.metadata,
            "consent": said.consent,
            "expires_at": None if said.expires_at is None else said.expires_at.isoformat(),
        }

    def moving(self) -> MovingPerson:
        return MovingPerson(
            self.id,
            NewPerson(self.name, self.external_id, self.metadata, self.consent, self.expires_at),
        )


class Measures(Ask):
    """As `quality` of a face, in full."""

    size: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float
    detection_score: float


Side = Annotated[int, Field(ge=1, le=65_535)]


class FaceLine(Ask):
    """An enrolled face with its template: float32, little-endian, of length one, in base64.

    A template that came without a picture has an empty box.
    """

    id: UUID
    person_id: UUID
    reference: Reference | None = None
    bounding_box: tuple[float, float, float, float] = Field(
        (0.0, 0.0, 0.0, 0.0), description="x, y, width, height"
    )
    landmarks: tuple[tuple[float, float], ...] = Field(
        ((0.0, 0.0),) * 5, min_length=5, max_length=5
    )
    detection_score: float = 0.0
    quality: Measures = Measures(
        size=0, sharpness=0, brightness=0, yaw=0, pitch=0, roll=0, detection_score=0
    )
    image_id: UUID | None = Field(None, description="one for all faces found in one picture")
    image_size: tuple[Side, Side] | None = Field(None, description="its width and height")
    template: Encoded
    crop: Encoded | None = Field(None, description="the aligned crop as PNG, where it was kept")

    @classmethod
    def of(cls, moving: MovingFace) -> Mapping[str, Any]:
        face = moving.face
        box, quality = face.detection.box, face.quality
        return {
            "id": str(face.id),
            "person_id": str(face.person_id),
            "reference": face.reference,
            "bounding_box": [box.x, box.y, box.width, box.height],
            "landmarks": face.detection.landmarks.tolist(),
            "detection_score": face.detection.score,
            "quality": {name: getattr(quality, name) for name in Measures.model_fields},
            "image_id": None if face.image_id is None else str(face.image_id),
            "image_size": face.frame,
            "template": encoded(moving.template),
            "crop": None if moving.crop is None else encoded(moving.crop),
        }

    def moving(self) -> MovingFace:
        landmarks = np.asarray(self.landmarks, np.float32)
        detection = Detection(Box(*self.bounding_box), landmarks, self.detection_score)
        quality = Quality(**self.quality.model_dump())
        face = EnrolledFace(
            self.id,
            self.person_id,
            self.reference,
            detection,
            quality,
            self.image_id,
            self.image_size,
        )
        return MovingFace(face, self.template, self.crop)


class ImportAsk(Ask):
    """A part of a collection: a megabyte at a time. Persons of faces come with them or before."""

    model: Model
    persons: tuple[PersonLine, ...] = Field((), max_length=5000)
    faces: tuple[FaceLine, ...] = Field((), max_length=1000)

    @model_validator(mode="after")
    def _somebody(self) -> "ImportAsk":
        if not self.persons and not self.faces:
            raise ValueError("send persons or faces")
        return self


async def outgoing(caller: Exporter, name: InPath, house: House) -> AsyncIterator[Outgoing]:
    """The collection, open as long as the answer is being sent."""
    async with exporting(house, caller, name) as collection:
        yield collection


@router.get(
    "/{name}/export",
    summary="A whole collection with its templates",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export(
    _: Exporter, collection: Annotated[Outgoing, Depends(outgoing)]
) -> StreamingResponse:
    """Lines of JSON at one revision: `collection`, every `person`, every `face` with its template,
    and `end`. An answer without that last line was cut off. Whoever has the model can make
    pictures of faces from templates: `rollcall export` encrypts what it writes."""
    return StreamingResponse(_lines(collection), media_type="application/x-ndjson")


@router.post(
    "/{name}/import",
    openapi_extra=documented(ImportAsk),
    summary="Take in a part of a collection that was exported",
)
async def take(
    caller: Importer,
    name: InPath,
    ask: Annotated[ImportAsk, Depends(body_of(ImportAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.ImportAnswer:
    """One change, whole. Ids are kept; what is there already stays as it is, so a part may be sent
    again. A new collection is bound to `model`, which need not be loaded here: templates of your
    own model (`external:NAME`) are searched by `POST /search`."""
    taken = await take_in(
        house,
        caller,
        Incoming(
            name,
            ask.model,
            [person.moving() for person in ask.persons],
            [face.moving() for face in ask.faces],
        ),
    )
    return schemas.ImportAnswer(
        persons=taken.persons, faces=taken.faces, revision=taken.revision, request_id=request_id
    )


async def _lines(outgoing: Outgoing) -> AsyncIterator[bytes]:
    collection, census = outgoing.census.collection, outgoing.census
    yield _line(
        "collection",
        {
            "name": collection.name,
            "model": outgoing.model,
            "dimension": outgoing.dimension,
            "revision": collection.position.revision,
            "persons": census.persons,
            "faces": census.faces,
            "checksum": outgoing.checksum.hex(),
            "templates": outgoing.checksum.count,
            "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "rollcall": __version__,
        },
    )
    persons = faces = 0
    async for person in outgoing.persons:
        persons += 1
        yield _line("person", PersonLine.of(person))
    async for face in outgoing.faces:
        faces += 1
        yield _line("face", FaceLine.of(face))
    yield _line("end", {"persons": persons, "faces": faces})


def _line(kind: str, content: Mapping[str, Any]) -> bytes:
    return json.dumps({kind: content}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

"""POST /identify"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field, model_validator

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, RequestId
from app.api.direct import Direct
from app.api.fields import CollectionName, ImageBytes, Listed
from app.api.guard import Identifier
from app.usecases.identify import Identified, Probe, ProbedFace, identify
from app.usecases.matching import Place

router = APIRouter(tags=["faces"], route_class=Direct)


class IdentifyAsk(Ask):
    """A photo, or `face_id`: the template of an enrolled face, which does not find itself."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["face_id"]}]}
    )

    image: ImageBytes | None = None
    face_id: UUID | None = Field(None, description="in place of image: an enrolled face")
    collection: CollectionName = "default"
    collections: Listed[CollectionName] = Field(
        None,
        min_length=1,
        max_length=100,
        description="in place of collection: several of one model, searched together",
        json_schema_extra={"uniqueItems": True},
    )
    person_ids: Listed[UUID] = Field(
        None, min_length=1, max_length=10_000, description="offer only these persons"
    )
    top_k: int = Field(5, ge=1, le=100, description="most persons offered for a face")
    max_faces: int = Field(1, ge=0, le=100, description="the largest so many faces; 0 means all")
    threshold: float | None = Field(None, ge=-1, le=1, description="the least similarity to offer")
    target_fpir: float | None = Field(
        None, gt=0, lt=1, description="offer somebody for this share of strangers at most"
    )
    min_revision: int = Field(0, ge=0, description="wait until the index has this revision")

    @model_validator(mode="after")
    def _one_subject(self) -> "IdentifyAsk":
        if (self.image is None) == (self.face_id is None):
            raise ValueError("send image or face_id")
        return self

    @model_validator(mode="after")
    def _one_aim(self) -> "IdentifyAsk":
        if self.threshold is not None and self.target_fpir is not None:
            raise ValueError("send threshold or target_fpir, not both")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> "IdentifyAsk":
        if self.collections is None:
            return self
        if "collection" in self.model_fields_set:
            raise ValueError("send collection or collections, not both")
        if len(set(self.collections)) < len(self.collections):
            raise ValueError("collections: name each of them once")
        if len(self.collections) > 1 and self.min_revision:
            raise ValueError("min_revision belongs to the history of one collection")
        return self


@router.post(
    "/identify",
    response_model=schemas.IdentifyAnswer,
    openapi_extra=documented(IdentifyAsk),
    summary="Who is this, among the people of a collection?",
)
async def post(
    caller: Identifier,
    ask: Annotated[IdentifyAsk, Depends(body_of(IdentifyAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.IdentifyAnswer:
    """Candidates are the persons at or above the threshold, by their best face, best first.

    Nobody is an answer too: 200 with `identified` false. No face in the picture is 422.
    """
    subject = ask.face_id if ask.image is None else ask.image
    if subject is None:
        raise AssertionError("the model allows nothing else")
    found = await identify(
        house,
        caller,
        Probe(
            subject=subject,
            place=Place(ask.collections or (ask.collection,), ask.person_ids, ask.min_revision),
            top_k=ask.top_k,
            max_faces=ask.max_faces,
            threshold=ask.threshold,
            target_fpir=ask.target_fpir,
        ),
    )
    return _answer(found, request_id)


def _answer(found: Identified, request_id: str) -> schemas.IdentifyAnswer:
    return schemas.IdentifyAnswer(
        faces=[_face(each) for each in found.faces],
        threshold=found.threshold.value,
        threshold_source=found.threshold.source,
        gallery_size=found.gallery_size,
        revision=found.collections[0].revision if len(found.collections) == 1 else None,
        collections=[
            schemas.SearchedCollection(
                name=each.name, revision=each.revision, gallery_size=each.gallery_size
            )
            for each in found.collections
        ],
        details=found.details,
        model=found.model,
        request_id=request_id,
    )


def _face(probed: ProbedFace) -> schemas.IdentifiedFace:
    return schemas.IdentifiedFace(
        identified=bool(probed.matches),
        candidates=schemas.Candidate.ranked(probed.matches),
        **schemas.Face.fields_of(probed.detection, probed.quality),
    )

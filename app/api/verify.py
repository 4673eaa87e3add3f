"""POST /verify"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field, model_validator

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, RequestId
from app.api.direct import Direct
from app.api.fields import CollectionName, ImageBytes
from app.api.guard import Verifier
from app.usecases.verify import Aim, verify_images, verify_person

router = APIRouter(tags=["faces"], route_class=Direct)


class VerifyAsk(Ask):
    """Either `source` and `target`, or `image` and `person_id`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["source", "target"]}, {"required": ["image", "person_id"]}]
        }
    )

    source: ImageBytes | None = None
    target: ImageBytes | None = None
    image: ImageBytes | None = None
    person_id: UUID | None = None
    collection: CollectionName = "default"
    threshold: float | None = Field(None, ge=-1, le=1, description="the least similarity to accept")
    target_fmr: float | None = Field(
        None, gt=0, lt=1, description="accept this share of pairs of strangers at most"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "VerifyAsk":
        images = self.source is not None, self.target is not None
        person = self.image is not None, self.person_id is not None
        if not (all(images) and not any(person)) and not (all(person) and not any(images)):
            raise ValueError("send source and target, or image and person_id")
        if self.threshold is not None and self.target_fmr is not None:
            raise ValueError("send threshold or target_fmr, not both")
        return self


@router.post(
    "/verify",
    response_model=schemas.VerifyAnswer,
    openapi_extra=documented(VerifyAsk),
    summary="Is this the same person?",
)
async def post(
    caller: Verifier,
    ask: Annotated[VerifyAsk, Depends(body_of(VerifyAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.VerifyAnswer:
    """Compares the largest face of two images, or of one image with all faces of a person."""
    aim = Aim(ask.threshold, ask.target_fmr)
    if ask.source is not None and ask.target is not None:
        found = await verify_images(house, caller, ask.source, ask.target, aim)
    elif ask.image is not None and ask.person_id is not None:
        found = await verify_person(house, caller, ask.image, ask.collection, ask.person_id, aim)
    else:
        raise AssertionError("the model allows nothing else")
    return schemas.VerifyAnswer(
        verified=found.verified,
        similarity=found.similarity,
        threshold=found.threshold.value,
        threshold_source=found.threshold.source,
        fmr=found.fmr,
        similarity_fmr=found.similarity_fmr,
        source_face=schemas.Face.of(found.source),
        target_face=None if found.target is None else schemas.Face.of(found.target),
        matched_face_id=found.matched_face_id,
        model=found.model,
        request_id=request_id,
    )

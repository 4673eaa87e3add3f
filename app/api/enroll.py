"""POST /enroll"""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from pydantic import Field, model_validator

from app.api import schemas
from app.api.body import Ask, BodyInvalid, body_of, documented, fingerprint
from app.api.deps import House, RequestId
from app.api.fields import CollectionName, Future, ImageBytes, JsonObject, Name, Reference
from app.api.guard import Enroller
from app.store.idempotency import Reservation
from app.store.persons import NewPerson
from app.usecases.enroll import Enrolled, Enrolment, enroll
from app.usecases.once import Answer, Key, once

router = APIRouter(tags=["faces"])


class EnrollAsk(Ask):
    """Photos of one person: someone new, or with `person_id` someone enrolled."""

    images: tuple[ImageBytes, ...] = Field(min_length=1, description="photos of one person")
    collection: CollectionName = "default"
    references: tuple[Reference, ...] = Field(
        (), description="your own words for the images, as many as those: file names, ids"
    )
    person_id: UUID | None = Field(None, description="add the faces to this person")
    name: Name | None = None
    external_id: Name | None = Field(None, description="your own id, unique in the collection")
    metadata: JsonObject | None = Field(None, description="any JSON object")
    consent: Name | None = Field(None, description="where you keep the person's consent")
    expires_at: Future | None = Field(None, description="erase the person then")
    face: Literal["only", "largest"] = Field(
        "only", description="only: an image must show exactly one face; largest: take the largest"
    )
    on_duplicate: Literal["allow", "flag", "reject"] = Field(
        "flag", description="what to do when someone in the collection already looks like this"
    )

    @model_validator(mode="after")
    def _one_reference_an_image(self) -> "EnrollAsk":
        if self.references and len(self.references) != len(self.images):
            raise ValueError(
                f"references: send one for each image; {len(self.references)} came for "
                f"{len(self.images)}"
            )
        return self

    @model_validator(mode="after")
    def _either_known_or_new(self) -> "EnrollAsk":
        told = (self.name, self.external_id, self.metadata, self.consent, self.expires_at)
        if self.person_id and any(each is not None for each in told):
            raise ValueError(
                "person_id adds to an enrolled person, so send no name, external_id, metadata, "
                "consent or expires_at with it (PATCH /persons/{id} changes those)"
            )
        return self


@router.post(
    "/enroll",
    status_code=201,
    response_model=schemas.EnrollAnswer,
    openapi_extra=documented(EnrollAsk),
    summary="Enrol a person from photos",
)
async def post(
    caller: Enroller,
    ask: Annotated[EnrollAsk, Depends(body_of(EnrollAsk))],
    house: House,
    request_id: RequestId,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Any:
    """Good images are enrolled, bad ones are listed under `rejected` with reasons; 422 when
    nothing could be enrolled. The answer comes after the database has committed, and /identify
    finds the person from then on.

    With an `Idempotency-Key` a repeated request gets the first answer (201 again) instead of a
    second person; the same key with another request is 422, and 409 while the first is worked on.
    """
    most = house.settings.max_images
    if len(ask.images) > most:
        raise BodyInvalid(f"images: at most {most} in one request; {len(ask.images)} came.")
    wish = Enrolment(
        collection=ask.collection,
        images=ask.images,
        person_id=ask.person_id,
        person=NewPerson(ask.name, ask.external_id, ask.metadata, ask.consent, ask.expires_at),
        face=ask.face,
        on_duplicate=ask.on_duplicate,
        references=ask.references,
    )

    def shape(enrolled: Enrolled) -> Answer:
        return _answer(enrolled, request_id).model_dump(mode="json")

    async def work(reservation: Reservation | None) -> Answer:
        return await enroll(house, caller, wish, shape, reservation)

    key = None if idempotency_key is None else Key(idempotency_key, fingerprint(ask))
    return await once(house, caller, key, work)


def _answer(enrolled: Enrolled, request_id: str) -> schemas.EnrollAnswer:
    return schemas.EnrollAnswer(
        person=schemas.Person.of(enrolled.person),
        faces=[
            schemas.EnrolledImageFace(
                id=face_id,
                image_index=one.image_index,
                reference=one.reference,
                **schemas.Face.fields_of(one.face, one.face.quality),
            )
            for face_id, one in zip(enrolled.face_ids, enrolled.accepted, strict=True)
        ],
        rejected=[
            schemas.RejectedImage(
                image_index=one.image_index, reasons=one.reasons, detail=one.detail
            )
            for one in enrolled.rejected
        ],
        duplicates=[
            schemas.Duplicate(person_id=one.person_id, similarity=one.similarity)
            for one in enrolled.duplicates
        ],
        model=enrolled.model,
        revision=enrolled.revision,
        request_id=request_id,
    )

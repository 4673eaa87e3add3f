"""/persons and /faces"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import Field, field_validator

from app.api import schemas
from app.api.body import Ask, BodyInvalid, body_of, documented
from app.api.deps import House, RequestId
from app.api.fields import Future, JsonObject, Name, distinct
from app.api.guard import Enroller, Eraser, Merger, Reader
from app.types import Person
from app.usecases import browse
from app.usecases.erase import erase_face, erase_person
from app.usecases.move import merge_persons, move_faces

router = APIRouter(tags=["persons"])


class PersonPatch(Ask):
    """What is sent is set; null clears all but metadata; what is missing stays."""

    name: Name | None = None
    external_id: Name | None = None
    metadata: JsonObject = Field(default_factory=dict, description="replaces the old object")
    consent: Name | None = None
    expires_at: Future | None = None


class FacesAsk(Ask):
    face_ids: tuple[UUID, ...] = Field(
        min_length=1, max_length=1000, json_schema_extra={"uniqueItems": True}
    )

    @field_validator("face_ids")
    @classmethod
    def _each_once(cls, ids: tuple[UUID, ...]) -> tuple[UUID, ...]:
        return distinct(ids)


class MergeAsk(Ask):
    person_ids: tuple[UUID, ...] = Field(
        min_length=1,
        max_length=100,
        description="who is the same person too",
        json_schema_extra={"uniqueItems": True},
    )

    @field_validator("person_ids")
    @classmethod
    def _each_once(cls, ids: tuple[UUID, ...]) -> tuple[UUID, ...]:
        return distinct(ids)


@router.get("/persons/{person_id}", summary="One person")
async def get(
    caller: Reader, person_id: UUID, house: House, request_id: RequestId
) -> schemas.PersonAnswer:
    return _answer(await browse.person(house, caller, person_id), request_id)


@router.patch(
    "/persons/{person_id}",
    openapi_extra=documented(PersonPatch),
    summary="Change name, external_id or metadata",
)
async def patch(
    caller: Enroller,
    person_id: UUID,
    ask: Annotated[PersonPatch, Depends(body_of(PersonPatch))],
    house: House,
    request_id: RequestId,
) -> schemas.PersonAnswer:
    values = ask.model_dump(exclude_unset=True)
    return _answer(await browse.edit_person(house, caller, person_id, values), request_id)


@router.delete("/persons/{person_id}", summary="Erase a person")
async def delete(
    caller: Eraser, person_id: UUID, house: House, request_id: RequestId
) -> schemas.ErasedAnswer:
    """Faces, templates and stored answers go with the person. There is no undo."""
    return schemas.ErasedAnswer.of(await erase_person(house, caller, person_id), request_id)


@router.get("/persons/{person_id}/faces", summary="The enrolled faces of a person")
async def get_faces(
    caller: Reader, person_id: UUID, house: House, request_id: RequestId
) -> schemas.FacesAnswer:
    """In order of enrolment. Boxes and landmarks are pixels of the image that was enrolled."""
    found = await browse.faces_of(house, caller, person_id)
    return schemas.FacesAnswer(
        faces=[schemas.KeptFace.kept(face) for face in found], request_id=request_id
    )


@router.post(
    "/persons/{person_id}/faces",
    openapi_extra=documented(FacesAsk),
    summary="Give enrolled faces to a person",
)
async def post_faces(
    caller: Enroller,
    person_id: UUID,
    ask: Annotated[FacesAsk, Depends(body_of(FacesAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.MovedAnswer:
    """For faces that were enrolled for the wrong person of the same collection. Whoever had them
    stays, also without any face."""
    moved = await move_faces(house, caller, ask.face_ids, person_id)
    return schemas.MovedAnswer.of(moved, request_id)


@router.post(
    "/persons/{person_id}/merge",
    openapi_extra=documented(MergeAsk),
    summary="Merge persons that are one",
)
async def merge(
    caller: Merger,
    person_id: UUID,
    ask: Annotated[MergeAsk, Depends(body_of(MergeAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.MovedAnswer:
    """Their faces become this person's, and they are erased. Name, external_id, metadata, consent
    and expires_at of this person stay as they are; what was said of the others is gone."""
    if person_id in ask.person_ids:
        raise BodyInvalid("person_ids: a person cannot be merged with itself.")
    moved = await merge_persons(house, caller, person_id, ask.person_ids)
    return schemas.MovedAnswer.of(moved, request_id)


@router.get("/faces/{face_id}", summary="One enrolled face")
async def get_face(
    caller: Reader, face_id: UUID, house: House, request_id: RequestId
) -> schemas.FaceAnswer:
    collection, face = await browse.face(house, caller, face_id)
    return schemas.FaceAnswer(
        collection=collection, request_id=request_id, **dict(schemas.OwnedFace.owned(face))
    )


@router.get(
    "/faces/{face_id}/crop",
    summary="The kept picture of an enrolled face",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_crop(caller: Reader, face_id: UUID, house: House) -> Response:
    """The aligned crop, 112 × 112 pixels, where `ROLLCALL_KEEP_CROPS` was on at enrolment."""
    picture = await browse.crop(house, caller, face_id)
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})


@router.delete("/faces/{face_id}", summary="Erase one enrolled face")
async def delete_face(
    caller: Eraser, face_id: UUID, house: House, request_id: RequestId
) -> schemas.ErasedAnswer:
    """The person stays, also without any face."""
    return schemas.ErasedAnswer.of(await erase_face(house, caller, face_id), request_id)


def _answer(person: Person, request_id: str) -> schemas.PersonAnswer:
    placed = schemas.PersonInCollection.placed(person)
    return schemas.PersonAnswer(request_id=request_id, **dict(placed))

"""/api/v1/recognition/faces: an image there is an enrolled face here, and its id the face's."""

import contextlib
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from app.api.deps import House
from app.doors.compreface import shapes, similarity
from app.doors.compreface.access import Enroller, Eraser, Guest, Reader, Verifier
from app.doors.compreface.asks import LeastScore, PictureBody, SubjectName, Wish
from app.doors.compreface.routes import Route
from app.doors.compreface.subjects import found
from app.doors.compreface.vectors import vectors_of
from app.store import faces as faces_store
from app.store.errors import (
    CollectionNotFound,
    EnrolledFaceNotFound,
    ExternalIdTaken,
    PersonNotFound,
)
from app.store.faces import EnrolledFace
from app.store.idempotency import Reservation
from app.store.persons import NewPerson
from app.usecases import browse, named
from app.usecases.enroll import Enrolled, Enrolment, enroll
from app.usecases.erase import erase_face
from app.usecases.likeness import compare_enrolled
from app.usecases.once import Answer, once
from app.usecases.rooms import Rooms

router = APIRouter(route_class=Route)

_MOST: Final = 1000
"""Faces of a page, and ids of a list."""


@router.post("", status_code=201)
async def post(
    guest: Enroller,
    subject: SubjectName,
    ask: PictureBody,
    house: House,
    least: LeastScore = 0.0,
) -> Any:
    """An example of a subject, who is added where there is none of that name."""
    try:
        return await _add(house, guest, subject, ask.file, least)
    except ExternalIdTaken:  # somebody added the subject meanwhile
        return await _add(house, guest, subject, ask.file, least)


async def _add(house: Rooms, guest: Guest, subject: str, image: bytes, least: float) -> Answer:
    person_id = None
    with contextlib.suppress(PersonNotFound):
        person_id = (await found(house, guest, subject)).id
    wish = Enrolment(
        collection=guest.collection,
        images=[image],
        person_id=person_id,
        person=NewPerson(name=subject, external_id=subject),
        face="only",
        on_duplicate="allow",
        least_score=least,
    )

    def shape(enrolled: Enrolled) -> Answer:
        return {"image_id": str(enrolled.face_ids[0]), "subject": subject}

    async def work(reservation: Reservation | None) -> Answer:
        return await enroll(house, guest.caller, wish, shape, reservation)

    return await once(house, guest.caller, None, work)


@router.get("")
async def get(
    guest: Reader,
    house: House,
    page: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    size: Annotated[int, Query(ge=1)] = 20,
    subject: str | None = None,
) -> dict[str, Any]:
    """A page of all faces, or of a subject's, in order of enrolment."""
    size = min(size, _MOST)
    shown: list[EnrolledFace] = []
    total = 0
    with contextlib.suppress(CollectionNotFound, PersonNotFound):
        if subject:
            person = await found(house, guest, subject)
            every = await browse.faces_of(house, guest.caller, person.id)
            shown, total = every[page * size : (page + 1) * size], len(every)
        else:
            total = (await browse.collection(house, guest.caller, guest.collection)).faces
            shown = list(
                (
                    await browse.face_page(
                        house, guest.caller, guest.collection, after=0, limit=size, skip=page * size
                    )
                ).faces
            )
    words = await named.words_for(house, [face.person_id for face in shown])
    return {
        "faces": [
            {"image_id": str(face.id), "subject": words[face.person_id]}
            for face in shown
            if face.person_id in words
        ],
        "page_number": page,
        "page_size": size,
        "total_pages": -(-total // size),
        "total_elements": total,
    }


@router.delete("")
async def delete_all(guest: Eraser, house: House, subject: str | None = None) -> dict[str, Any]:
    """Every face of a subject, or of everybody. Subjects stay."""
    try:
        person_id = (await found(house, guest, subject)).id if subject else None
        erased = await named.erase_every_face(house, guest.caller, guest.collection, person_id)
    except CollectionNotFound:
        return {"deleted": 0}
    return {"deleted": erased.faces}


@router.post("/delete")
async def delete_several(
    guest: Eraser, ids: Annotated[list[UUID], Body(max_length=_MOST)], house: House
) -> list[dict[str, Any]]:
    """Those of the ids that are there; the answer says which."""
    gone = []
    for face_id in dict.fromkeys(ids):
        with contextlib.suppress(EnrolledFaceNotFound):
            gone.append(await _erased(house, guest, face_id))
    return gone


@router.delete("/{image_id}")
async def delete(guest: Eraser, image_id: UUID, house: House) -> dict[str, Any]:
    return await _erased(house, guest, image_id)


@router.get("/{image_id}/img")
async def get_image(guest: Reader, image_id: UUID, house: House) -> Response:
    """The aligned crop, where crops are kept: photos never are."""
    await _here(house, guest, image_id)
    picture = await browse.crop(house, guest.caller, image_id)
    return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})


@router.post("/{image_id}/verify")
async def verify(
    guest: Verifier, image_id: UUID, ask: PictureBody, wanted: Wish, house: House
) -> dict[str, Any]:
    """Every face of the picture beside the enrolled one."""
    try:
        compared = await compare_enrolled(
            house, guest.caller, guest.collection, image_id, ask.file, wanted.looking
        )
    except CollectionNotFound:
        raise faces_store.missing(image_id) from None
    vectors = await vectors_of(
        house, guest, ask.file, wanted, compared.model, len(compared.likenesses)
    )
    scale = similarity.scale(house, compared.model)
    return {
        "result": [
            {
                **shapes.face(one.face, one.face.quality, wanted, vector),
                "similarity": scale(one.similarity),
            }
            for one, vector in zip(compared.likenesses, vectors, strict=True)
        ],
        **shapes.about(house, compared.model, wanted),
    }


async def _here(house: Rooms, guest: Guest, face_id: UUID) -> EnrolledFace:
    """The face, of this service's own collection. Raises EnrolledFaceNotFound."""
    home, face = await browse.face(house, guest.caller, face_id)
    if home != guest.collection:
        raise faces_store.missing(face_id)
    return face


async def _erased(house: Rooms, guest: Guest, face_id: UUID) -> dict[str, Any]:
    face = await _here(house, guest, face_id)
    words = await named.words_for(house, [face.person_id])
    await erase_face(house, guest.caller, face_id)
    return {"image_id": str(face_id), "subject": words.get(face.person_id, "")}

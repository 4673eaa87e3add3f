"""Recognition, detection and verification: what is asked about pictures alone."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.deps import House
from app.doors.compreface import shapes, similarity
from app.doors.compreface.access import Guest, Identifier, Verifier
from app.doors.compreface.asks import PictureBody, TwoPicturesBody, Wanted, Wish
from app.doors.compreface.matches import word_of
from app.doors.compreface.routes import Route
from app.doors.compreface.vectors import vectors_of
from app.store.errors import CollectionNotFound
from app.usecases.detect import detect
from app.usecases.identify import Probe, identify
from app.usecases.likeness import compare_images
from app.usecases.looking import naming
from app.usecases.matching import Place
from app.usecases.rooms import Rooms
from app.vision.errors import FaceNotFound

router = APIRouter(route_class=Route)


@router.post("/recognition/recognize")
async def recognize(
    guest: Identifier,
    ask: PictureBody,
    wanted: Wish,
    house: House,
    prediction_count: Annotated[int, Query(ge=1, le=100)] = 1,
) -> dict[str, Any]:
    """The most similar subjects of each face, however little they are: the caller decides."""
    try:
        found = await identify(
            house,
            guest.caller,
            Probe(
                subject=ask.file,
                place=Place([guest.collection], None, 0),
                top_k=prediction_count,
                max_faces=wanted.looking.enough,
                threshold=-1.0,
                target_fpir=None,
            ),
        )
    except CollectionNotFound:  # a service that was never used knows nobody
        return await _faces(house, guest, ask.file, wanted, subjects=True)
    chosen = wanted.looking.chosen([face.detection.score for face in found.faces])
    if not chosen:
        raise FaceNotFound
    vectors = await vectors_of(house, guest, ask.file, wanted, found.model, len(chosen))
    scale = similarity.scale(house, found.model)
    return {
        "result": [
            {
                **shapes.face(face.detection, face.quality, wanted, vector),
                "subjects": [
                    {
                        "subject": word_of(match),
                        "similarity": scale(match.candidate.similarity),
                    }
                    for match in face.matches
                ],
            }
            for face, vector in zip([found.faces[i] for i in chosen], vectors, strict=True)
        ],
        **shapes.about(house, found.model, wanted),
    }


@router.post("/detection/detect")
async def detection(
    guest: Identifier, ask: PictureBody, wanted: Wish, house: House
) -> dict[str, Any]:
    return await _faces(house, guest, ask.file, wanted, subjects=False)


@router.post("/verification/verify")
async def verification(
    guest: Verifier, ask: TwoPicturesBody, wanted: Wish, house: House
) -> dict[str, Any]:
    """The one face of the source beside every face of the target."""
    compared = await compare_images(
        house,
        guest.caller,
        ask.source_image,
        ask.target_image,
        wanted.looking,
        source_face="only",
    )
    if compared.source is None:
        raise AssertionError("two images were compared")
    if not compared.likenesses:
        with naming("target"):
            raise FaceNotFound
    model, count = compared.model, len(compared.likenesses)
    [own] = await vectors_of(house, guest, ask.source_image, wanted, model, 1)
    vectors = await vectors_of(house, guest, ask.target_image, wanted, model, count)
    scale = similarity.scale(house, model)
    source = shapes.face(compared.source, compared.source.quality, wanted, own)
    matches = [
        {
            **shapes.face(one.face, one.face.quality, wanted, vector),
            "similarity": scale(one.similarity),
        }
        for one, vector in zip(compared.likenesses, vectors, strict=True)
    ]
    about = shapes.about(house, model, wanted)
    return {"result": [{"source_image_face": source, "face_matches": matches, **about}]}


async def _faces(
    house: Rooms, guest: Guest, image: bytes, wanted: Wanted, *, subjects: bool
) -> dict[str, Any]:
    """Raises FaceNotFound where there is none, as CompreFace does."""
    found = await detect(house, guest.caller, image)
    chosen = wanted.looking.chosen([face.score for face in found.faces])
    if not chosen:
        raise FaceNotFound
    vectors = await vectors_of(house, guest, image, wanted, found.model, len(chosen))
    nobody: dict[str, Any] = {"subjects": []} if subjects else {}
    return {
        "result": [
            {**shapes.face(face, face.quality, wanted, vector), **nobody}
            for face, vector in zip([found.faces[i] for i in chosen], vectors, strict=True)
        ],
        **shapes.about(house, found.model, wanted),
    }

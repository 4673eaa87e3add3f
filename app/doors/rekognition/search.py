"""SearchFaces, SearchFacesByImage, SearchUsers, SearchUsersByImage."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from app.doors.rekognition import asks
from app.doors.rekognition.errors import Refused
from app.doors.rekognition.quality import bar_of_probe
from app.doors.rekognition.shapes import bounding_box, compared, confidence, kept
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.types import Person
from app.usecases.find import FoundFaces, Photo, User, faces_like, users_like

_MOST_FACES: Final = 80
_MOST_USERS: Final = 5
"""What is given where the caller does not say."""


async def search_faces(visit: Visit, ask: asks.SearchFaces) -> Answer:
    found = await _faces(visit, ask, ask.face_id)
    return {"SearchedFaceId": str(ask.face_id), **_face_matches(visit, ask, found)}


async def search_faces_by_image(visit: Visit, ask: asks.SearchFacesByImage) -> Answer:
    found = await _faces(visit, ask, _photo(visit, ask))
    answer = dict(_face_matches(visit, ask, found))
    if found.shown is not None:
        face = found.shown.face
        answer["SearchedFaceConfidence"] = confidence(face.score)
        if face.frame is not None:
            answer["SearchedFaceBoundingBox"] = bounding_box(face.box, face.frame)
    return answer


async def search_users(visit: Visit, ask: asks.SearchUsers) -> Answer:
    subject: UUID | User
    if ask.face_id is not None and ask.user_id is None:
        subject = ask.face_id
        searched = {"SearchedFace": {"FaceId": str(ask.face_id)}}
    elif ask.user_id is not None and ask.face_id is None:
        subject = User(ask.user_id)
        searched = {"SearchedUser": {"UserId": ask.user_id}}
    else:
        raise Refused("InvalidParameterException", "Send either UserId or FaceId.")
    answer, _ = await _users(visit, ask, subject)
    return {**answer, **searched}


async def search_users_by_image(visit: Visit, ask: asks.SearchUsersByImage) -> Answer:
    answer, shown = await _users(visit, ask, _photo(visit, ask))
    if shown is None:
        raise AssertionError("a photo shows what was looked for")
    return {
        **answer,
        "SearchedFace": {"FaceDetail": compared(shown.face)},
        "UnsearchedFaces": [
            {"FaceDetails": compared(face), "Reasons": ["FACE_NOT_LARGEST"]}
            for face in shown.others[: asks.MOST_FACES]
        ],
    }


def _photo(visit: Visit, ask: asks.SearchFacesByImage | asks.SearchUsersByImage) -> Photo:
    limits = bar_of_probe(ask.quality_filter, visit.house.settings.quality)
    return Photo(ask.image.picture(), limits)


async def _faces(
    visit: Visit, ask: asks.SearchFaces | asks.SearchFacesByImage, subject: UUID | Photo
) -> FoundFaces:
    least = asks.least(ask.face_match_threshold)
    return await faces_like(
        visit.house,
        visit.caller,
        ask.collection_id,
        subject,
        ask.max_faces or _MOST_FACES,
        lambda vision: visit.scale(vision).floor(least),
    )


def _face_matches(
    visit: Visit, ask: asks.SearchFaces | asks.SearchFacesByImage, found: FoundFaces
) -> Answer:
    scale = visit.scale(found.vision)
    least = asks.least(ask.face_match_threshold)
    return {
        "FaceMatches": [
            {"Similarity": scale.told(cosine), "Face": kept(face)}
            for face, cosine in found.faces
            if scale.percent(cosine) >= least
        ],
        "FaceModelVersion": found.vision.model,
    }


async def _users(
    visit: Visit, ask: asks.SearchUsers | asks.SearchUsersByImage, subject: UUID | User | Photo
) -> tuple[Answer, Any]:
    least = asks.least(ask.user_match_threshold)
    found = await users_like(
        visit.house,
        visit.caller,
        ask.collection_id,
        subject,
        ask.max_users or _MOST_USERS,
        lambda vision: visit.scale(vision).floor(least),
    )
    scale = visit.scale(found.vision)
    reached = [each for each in found.users if scale.percent(each[1]) >= least]
    matches: Sequence[Any] = [
        {"Similarity": scale.told(cosine), "User": matched(person)} for person, cosine in reached
    ]
    return {"UserMatches": matches, "FaceModelVersion": found.vision.model}, found.shown


def matched(person: Person) -> Answer:
    """MatchedUser, and User: a person with an external id."""
    return {
        "UserId": person.external_id,
        "UserStatus": "ACTIVE" if person.face_count else "CREATED",
    }

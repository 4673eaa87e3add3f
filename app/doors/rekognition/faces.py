"""IndexFaces, ListFaces, DeleteFaces."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from app.doors.rekognition import asks
from app.doors.rekognition.paging import PAGE, number_of, token_of
from app.doors.rekognition.quality import bar
from app.doors.rekognition.shapes import compared, kept, kept_detail
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.store.idempotency import Reservation
from app.usecases import users
from app.usecases.erase import erase_faces
from app.usecases.index import TOO_MANY, Indexed, Indexing, index

# Amazon's word for each code of app.vision.quality; it has none for what is too bright.
_REASONS: Final[Mapping[str, str]] = {
    TOO_MANY: "EXCEEDS_MAX_FACES",
    "face_too_small": "SMALL_BOUNDING_BOX",
    "low_detection_score": "LOW_CONFIDENCE",
    "too_blurred": "LOW_SHARPNESS",
    "too_dark": "LOW_BRIGHTNESS",
    "too_bright": "LOW_FACE_QUALITY",
    "turned_yaw": "EXTREME_POSE",
    "turned_pitch": "EXTREME_POSE",
    "turned_roll": "EXTREME_POSE",
}


async def index_faces(visit: Visit, ask: asks.IndexFaces) -> Answer:
    """A call that a client tries again enrols nobody twice."""
    house = visit.house
    wish = Indexing(
        collection=ask.collection_id,
        image=ask.image.picture(),
        reference=ask.external_image_id,
        most=min(ask.max_faces or asks.MOST_FACES, asks.MOST_FACES),
        limits=bar(ask.quality_filter, house.settings.quality),
    )

    async def work(reservation: Reservation | None) -> Answer:
        return await index(house, visit.caller, wish, _remembered, reservation)

    done = await visit.once(visit.call, work)
    return {
        "FaceRecords": await _records(visit, ask.collection_id, done["faces"]),
        "UnindexedFaces": done["left_out"],
        "FaceModelVersion": done["model"],
    }


def _remembered(indexed: Indexed) -> Answer:
    """What is kept of an answer for those who ask again: of enrolled faces their ids alone, so
    that nothing of a face outlives its erasure."""
    return {
        "faces": [str(face_id) for face_id in indexed.face_ids],
        "left_out": [
            {
                "FaceDetail": compared(each.face),
                "Reasons": list(dict.fromkeys(_REASONS[reason] for reason in each.reasons)),
            }
            for each in indexed.left_out
        ],
        "model": indexed.model,
    }


async def _records(visit: Visit, collection: str, face_ids: Sequence[str]) -> list[Any]:
    """FaceRecord of each face that is (still) enrolled, in this order."""
    found = await users.faces_by_id(visit.house, collection, [UUID(each) for each in face_ids])
    return [{"Face": kept(each), "FaceDetail": kept_detail(each.face)} for each in found]


async def list_faces(visit: Visit, ask: asks.ListFaces) -> Answer:
    found, model = await users.face_page(
        visit.house,
        visit.caller,
        ask.collection_id,
        after=number_of("faces", ask.next_token),
        limit=ask.max_results or PAGE,
        user=ask.user_id,
        among=ask.face_ids,
    )
    token = token_of("faces", found.next)
    return {
        "Faces": [kept(each) for each in found.faces],
        "FaceModelVersion": model or visit.house.default.model,
        **({} if token is None else {"NextToken": token}),
    }


async def delete_faces(visit: Visit, ask: asks.DeleteFaces) -> Answer:
    asked = tuple(dict.fromkeys(ask.face_ids))
    erased = await erase_faces(visit.house, visit.caller, ask.collection_id, asked)
    gone = set(erased.gone)
    return {
        "DeletedFaces": [str(each) for each in erased.gone],
        "UnsuccessfulFaceDeletions": [
            {
                "FaceId": str(each),
                "UserId": erased.kept[each],
                "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"],
            }
            if each in erased.kept
            else {"FaceId": str(each), "Reasons": ["FACE_NOT_FOUND"]}
            for each in asked
            if each not in gone
        ],
    }

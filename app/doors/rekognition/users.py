"""CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces."""

from collections.abc import Mapping
from typing import Any, Final

from app.doors.rekognition import asks
from app.doors.rekognition.paging import number_of, token_of
from app.doors.rekognition.search import matched
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.store.idempotency import Reservation
from app.usecases import users
from app.usecases.users import Associated, Unmoved, Wish

_MOST: Final = 500

_REASONS: Final[Mapping[str, str]] = {
    "not_found": "FACE_NOT_FOUND",
    "of_another": "ASSOCIATED_TO_A_DIFFERENT_USER",
    "unlike": "LOW_MATCH_CONFIDENCE",
}


async def create(visit: Visit, ask: asks.CreateUser) -> Answer:
    async def work(reservation: Reservation | None) -> Answer:
        return await users.create(
            visit.house, visit.caller, ask.collection_id, ask.user_id, reservation
        )

    return await visit.once(ask.client_request_token, work)


async def delete(visit: Visit, ask: asks.DeleteUser) -> Answer:
    async def work(reservation: Reservation | None) -> Answer:
        return await users.delete(
            visit.house, visit.caller, ask.collection_id, ask.user_id, reservation
        )

    return await visit.once(ask.client_request_token, work)


async def list_all(visit: Visit, ask: asks.ListUsers) -> Answer:
    page = await users.page(
        visit.house,
        visit.caller,
        ask.collection_id,
        after=number_of("users", ask.next_token),
        limit=ask.max_results or _MOST,
    )
    token = token_of("users", page.next)
    return {
        "Users": [matched(person) for person in page.persons],
        **({} if token is None else {"NextToken": token}),
    }


async def associate_faces(visit: Visit, ask: asks.AssociateFaces) -> Answer:
    least = 75.0 if ask.user_match_threshold is None else ask.user_match_threshold
    scale = visit.scale

    def shape(done: Associated) -> Answer:
        return {
            "AssociatedFaces": [{"FaceId": str(each)} for each in done.moved],
            "UnsuccessfulFaceAssociations": [
                {**_unmoved(each), **_confidence(visit, done, each)} for each in done.unmoved
            ],
            "UserStatus": _status(done),
        }

    async def work(reservation: Reservation | None) -> Answer:
        return await users.associate(
            visit.house,
            visit.caller,
            _wish(ask),
            lambda vision, cosine: scale(vision).percent(cosine) >= least,
            shape,
            reservation,
        )

    return await visit.once(ask.client_request_token, work)


async def disassociate_faces(visit: Visit, ask: asks.DisassociateFaces) -> Answer:
    def shape(done: Associated) -> Answer:
        return {
            "DisassociatedFaces": [{"FaceId": str(each)} for each in done.moved],
            "UnsuccessfulFaceDisassociations": [_unmoved(each) for each in done.unmoved],
            "UserStatus": _status(done),
        }

    async def work(reservation: Reservation | None) -> Answer:
        return await users.disassociate(visit.house, visit.caller, _wish(ask), shape, reservation)

    return await visit.once(ask.client_request_token, work)


def _wish(ask: asks.AssociateFaces | asks.DisassociateFaces) -> Wish:
    return Wish(ask.collection_id, ask.user_id, tuple(dict.fromkeys(ask.face_ids)))


def _unmoved(each: Unmoved) -> dict[str, Any]:
    user = {} if each.user is None else {"UserId": each.user}
    return {"FaceId": str(each.face_id), "Reasons": [_REASONS[each.reason]], **user}


def _confidence(visit: Visit, done: Associated, each: Unmoved) -> dict[str, Any]:
    if each.similarity is None:
        return {}
    # Rounded down, where a match is rounded up: what did not reach a threshold is not said to.
    return {"Confidence": visit.scale(done.vision).told_of_miss(each.similarity)}


def _status(done: Associated) -> str:
    return "ACTIVE" if done.faces else "CREATED"

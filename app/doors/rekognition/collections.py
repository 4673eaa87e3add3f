"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from app.doors.rekognition import asks
from app.doors.rekognition.errors import Refused
from app.doors.rekognition.paging import PAGE, place_of, token_of
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.store.collections import Census
from app.store.errors import CollectionNotFound
from app.usecases import browse, users
from app.usecases.erase import erase_collection


async def create(visit: Visit, ask: asks.CreateCollection) -> Answer:
    try:
        made = await browse.make_collection(visit.house, visit.caller, ask.collection_id)
    except CollectionNotFound:
        # Of a name that is not the key's to use, whether it is taken or not.
        raise Refused(
            "AccessDeniedException", "This key may not have a collection of this name."
        ) from None
    return {
        "StatusCode": 200,
        "CollectionArn": _arn(visit, ask.collection_id),
        "FaceModelVersion": _model(visit, made),
    }


async def describe(visit: Visit, ask: asks.DescribeCollection) -> Answer:
    census = await browse.collection(visit.house, visit.caller, ask.collection_id)
    return {
        "FaceCount": census.faces,
        "UserCount": await users.count(visit.house, visit.caller, ask.collection_id),
        "FaceModelVersion": _model(visit, census),
        "CollectionARN": _arn(visit, ask.collection_id),
        "CreationTimestamp": census.collection.created_at.timestamp(),
    }


async def list_all(visit: Visit, ask: asks.ListCollections) -> Answer:
    limit = ask.max_results or PAGE
    after = place_of("collections", ask.next_token)
    found = await browse.collection_page(visit.house, visit.caller, after, limit + 1)
    shown = found[:limit]
    last = shown[-1].collection.name if len(found) > limit else None
    token = token_of("collections", last)
    return {
        "CollectionIds": [each.collection.name for each in shown],
        "FaceModelVersions": [_model(visit, each) for each in shown],
        **({} if token is None else {"NextToken": token}),
    }


async def delete(visit: Visit, ask: asks.DeleteCollection) -> Answer:
    await erase_collection(visit.house, visit.caller, ask.collection_id)
    return {"StatusCode": 200}


def _arn(visit: Visit, name: str) -> str:
    """A name in the form of Amazon's; the account is nobody's."""
    return f"arn:aws:rekognition:{visit.region}:000000000000:collection/{name}"


def _model(visit: Visit, census: Census) -> str:
    """The collection's model, or the one that its first face would bind it to."""
    return census.collection.model or visit.house.default.model

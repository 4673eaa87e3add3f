"""/collections and the persons in one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, Limit, RequestId, cursor_number
from app.api.fields import CollectionName, Cursor, Name
from app.api.guard import Admin, Enroller, Eraser, Identifier, Reader
from app.store.collections import Census
from app.usecases import browse
from app.usecases.audit_index import audit_collection
from app.usecases.erase import erase_collection
from app.usecases.thresholds import targets_of

router = APIRouter(prefix="/collections", tags=["collections"])

InPath = Annotated[CollectionName, Path()]


class CollectionAsk(Ask):
    name: CollectionName


@router.post(
    "",
    status_code=201,
    openapi_extra=documented(CollectionAsk),
    summary="Make an empty collection",
)
async def post(
    caller: Enroller,
    ask: Annotated[CollectionAsk, Depends(body_of(CollectionAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.CollectionAnswer:
    """POST /enroll makes a collection at its first use too."""
    return _answer(await browse.make_collection(house, caller, ask.name), request_id)


@router.get("", summary="List the collections")
async def get_all(
    caller: Reader,
    house: House,
    request_id: RequestId,
    cursor: Annotated[Cursor, Query()] = "",
    limit: Limit = 100,
) -> schemas.CollectionPage:
    """By name, in pages."""
    found = await browse.collection_page(house, caller, cursor, limit + 1)
    return schemas.CollectionPage(
        collections=[schemas.Collection.of(one) for one in found[:limit]],
        next_cursor=found[limit - 1].collection.name if len(found) > limit else None,
        request_id=request_id,
    )


@router.get("/{name}", summary="One collection with its counts")
async def get(
    caller: Reader, name: InPath, house: House, request_id: RequestId
) -> schemas.CollectionAnswer:
    return _answer(await browse.collection(house, caller, name), request_id)


@router.delete("/{name}", summary="Erase a collection and everybody in it")
async def delete(
    caller: Eraser, name: InPath, house: House, request_id: RequestId
) -> schemas.ErasedAnswer:
    """Persons, faces, templates and snapshots are gone when this answers. There is no undo."""
    return schemas.ErasedAnswer.of(await erase_collection(house, caller, name), request_id)


@router.get("/{name}/audit", summary="Is the index what PostgreSQL holds?")
async def audit(
    caller: Admin, name: InPath, house: House, request_id: RequestId
) -> schemas.AuditAnswer:
    """Compares every template of this process's index with PostgreSQL, at one revision.

    One at a time is made. Nothing is changed or repaired.
    """
    return schemas.AuditAnswer.of(await audit_collection(house, caller, name), request_id)


@router.get(
    "/{name}/thresholds", summary="What threshold does each target_fpir give here?", tags=["faces"]
)
async def get_thresholds(
    caller: Identifier, name: InPath, house: House, request_id: RequestId
) -> schemas.ThresholdsAnswer:
    """What POST /identify would use at this size of the collection, for the rates that the
    calibration supports, the least first."""
    found = await targets_of(house, caller, name)
    return schemas.ThresholdsAnswer(
        collection=name,
        gallery_size=found.gallery_size,
        revision=found.revision,
        model=found.model,
        default=schemas.DefaultThreshold(threshold=found.default.value, target_fpir=found.aim),
        targets=[
            schemas.TargetRow(target_fpir=rate, threshold=threshold)
            for rate, threshold in found.rows
        ],
        request_id=request_id,
    )


@router.get("/{name}/persons", summary="The persons of a collection", tags=["persons"])
async def get_persons(
    caller: Reader,
    name: InPath,
    house: House,
    request_id: RequestId,
    cursor: Annotated[Cursor, Query()] = "",
    limit: Limit = 100,
    external_id: Annotated[Name | None, Query()] = None,
    person_name: Annotated[
        Name | None, Query(alias="name", description="a part of the name")
    ] = None,
) -> schemas.PersonPage:
    """In order of enrolment, in pages."""
    page = await browse.person_page(
        house,
        caller,
        name,
        after=cursor_number(cursor),
        limit=limit,
        external_id=external_id,
        person_name=person_name,
    )
    return schemas.PersonPage(
        persons=[schemas.Person.of(person) for person in page.persons],
        next_cursor=None if page.next is None else str(page.next),
        request_id=request_id,
    )


@router.get("/{name}/faces", summary="The enrolled faces of a collection", tags=["persons"])
async def get_faces(
    caller: Reader,
    name: InPath,
    house: House,
    request_id: RequestId,
    cursor: Annotated[Cursor, Query()] = "",
    limit: Limit = 100,
) -> schemas.FacePage:
    """In order of enrolment, in pages, each with whose it is."""
    page = await browse.face_page(house, caller, name, after=cursor_number(cursor), limit=limit)
    return schemas.FacePage(
        faces=[schemas.OwnedFace.owned(face) for face in page.faces],
        next_cursor=None if page.next is None else str(page.next),
        request_id=request_id,
    )


def _answer(census: Census, request_id: str) -> schemas.CollectionAnswer:
    collection = schemas.Collection.of(census)
    return schemas.CollectionAnswer(request_id=request_id, **dict(collection))

"""/api/v1/recognition/subjects: a subject is a person, by external_id."""

from typing import Any

from fastapi import APIRouter

from app.api.deps import House
from app.doors.compreface.access import Enroller, Eraser, Guest, Reader
from app.doors.compreface.asks import SubjectBody
from app.doors.compreface.routes import Route
from app.errors import Forbidden
from app.store.errors import CollectionNotFound, PersonNotFound
from app.store.persons import NewPerson
from app.types import Person
from app.usecases import browse, named
from app.usecases.erase import erase_collection, erase_person
from app.usecases.move import merge_persons
from app.usecases.rooms import Rooms

router = APIRouter(route_class=Route)

_PAGE = 1000


@router.get("")
@router.get("/")
async def get(guest: Reader, house: House) -> dict[str, Any]:
    """All of them: there are no pages of subjects there. What was never used is empty."""
    subjects: list[str] = []
    after: int | None = 0
    try:
        while after is not None:
            page = await browse.person_page(
                house,
                guest.caller,
                guest.collection,
                after=after,
                limit=_PAGE,
                external_id=None,
                person_name=None,
            )
            subjects += [named.word_for(person) for person in page.persons]
            after = page.next
    except CollectionNotFound:
        pass
    return {"subjects": subjects}


@router.post("", status_code=201)
async def post(guest: Enroller, ask: SubjectBody, house: House) -> dict[str, Any]:
    person = NewPerson(name=ask.subject, external_id=ask.subject)
    added = await named.add_person(house, guest.caller, guest.collection, person)
    return {"subject": named.word_for(added)}


@router.put("/{subject:path}")
async def put(guest: Enroller, subject: str, ask: SubjectBody, house: House) -> dict[str, Any]:
    """Rename; where the new name is somebody's already, the two become one."""
    person = await found(house, guest, subject)
    other = await _found_or_none(house, guest, ask.subject)
    if other is None:
        values = {"external_id": ask.subject}
        if person.name in (None, subject):
            values["name"] = ask.subject
        await browse.edit_person(house, guest.caller, person.id, values)
    elif other.id != person.id:
        _require_delete(guest)
        await merge_persons(house, guest.caller, other.id, [person.id])
    return {"updated": True}


@router.delete("/{subject:path}")
async def delete(guest: Eraser, subject: str, house: House) -> dict[str, Any]:
    person = await found(house, guest, subject)
    await erase_person(house, guest.caller, person.id)
    return {"subject": subject}


@router.delete("")
async def delete_all(guest: Eraser, house: House) -> dict[str, Any]:
    try:
        erased = await erase_collection(house, guest.caller, guest.collection)
    except CollectionNotFound:
        return {"deleted": 0}
    return {"deleted": erased.persons}


async def found(house: Rooms, guest: Guest, subject: str) -> Person:
    """Raises PersonNotFound, also where the collection was never used."""
    try:
        return await named.find_person(house, guest.caller, guest.collection, subject)
    except CollectionNotFound:
        raise PersonNotFound(f"Subject {subject} not found") from None


async def _found_or_none(house: Rooms, guest: Guest, subject: str) -> Person | None:
    try:
        return await found(house, guest, subject)
    except PersonNotFound:
        return None


def _require_delete(guest: Guest) -> None:
    """Two that become one are one fewer. Raises Forbidden."""
    if "delete" not in guest.caller.scopes:
        raise Forbidden(
            "This name is another subject's, and becoming one erases the old one: that needs a "
            "key with the scope delete too."
        )

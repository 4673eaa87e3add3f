"""Persons by the caller's own word for them: for those who know no ids of ours."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.failpoints import hit
from app.store import change as changes
from app.store import collections, persons
from app.store.audit import record_of
from app.store.change import changing
from app.store.errors import PersonNotFound
from app.store.persons import NewPerson
from app.types import Caller, Person
from app.usecases.enroll import require_consent
from app.usecases.erase import Erased
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms


async def find_person(rooms: Rooms, caller: Caller, collection: str, word: str) -> Person:
    """The person with the external_id `word`, or else with that id and no external_id.

    It is not recorded: what is then done with the person is. Raises CollectionNotFound,
    PersonNotFound.
    """
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        named = await persons.page(
            connection, home.id, after=0, limit=1, external_id=word, name=None
        )
        if named.persons:
            return named.persons[0]
        person_id = _id_in(word)
        if person_id is not None:
            found = await persons.get(connection, person_id)
            if found.collection == collection and found.external_id is None:
                return found
    raise PersonNotFound(f"There is no person {word!r} in collection {collection!r}.")


def word_for(person: Person) -> str:
    """What `find_person` finds a person by."""
    return str(person.id) if person.external_id is None else person.external_id


async def words_for(rooms: Rooms, ids: Sequence[UUID], patience: float = 5.0) -> Mapping[UUID, str]:
    """What `find_person` finds those of `ids` by that are enrolled still.

    Raises DatabaseUnavailable.
    """
    found = await persons.many(rooms.database, ids, patience)
    return {person_id: word_for(person) for person_id, person in found.items()}


async def add_person(rooms: Rooms, caller: Caller, collection: str, person: NewPerson) -> Person:
    """Somebody without a face as yet. The collection is made if there is none of that name.

    Raises CollectionNotFound (where the caller may have none of that name), ConsentMissing,
    ExternalIdTaken.
    """
    known_to(caller, collection)
    require_consent(rooms, person.consent)
    async with changing(rooms.database, changes.lock_or_make(collection)) as change:
        person_id = await change.add_person(person)
        change.record = record_of(
            caller,
            "person.add",
            collection=collection,
            person_ids=[person_id],
            revision=change.revision,
        )
        added = await persons.get(change.connection, person_id)
    await rooms.sync.applied(change)
    hit("change.applied")
    return added


async def erase_every_face(
    rooms: Rooms, caller: Caller, collection: str, person_id: UUID | None
) -> Erased:
    """Every face of a person, or of everybody in the collection; the persons stay.

    Raises CollectionNotFound, PersonNotFound.
    """
    known_to(caller, collection)

    async with changing(
        rooms.database, lambda connection: collections.lock(connection, collection)
    ) as change:
        removed = await change.remove_faces(person_id)
        change.record = record_of(
            caller,
            "face.erase",
            collection=collection,
            face_ids=removed,
            revision=change.revision,
        )
    await rooms.sync.applied(change)
    hit("change.applied")
    return Erased(collection, 0, len(removed), change.revision)


def _id_in(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None

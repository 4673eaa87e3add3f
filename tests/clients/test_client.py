"""What programs do with the client, on the real service."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from rollcall_client import UNSET, AsyncRollcall, Enrolment, Probe, Rollcall, calls
from rollcall_client.codes import CollectionNotFound, EnrolledFaceNotFound, PersonNotFound

from app.main import create_app
from app.settings import Settings
from tests.clients.conftest import ByRoad, Road, answers
from tests.service import Service


def test_who_was_enrolled_is_identified_and_verified(
    rollcall: Rollcall, collection: str, hanks: bytes, group: bytes
) -> None:
    enrolled = rollcall.enroll(
        [hanks, group],
        name="Tom Hanks",
        external_id="t-1",
        metadata={"film": "Big", "years": [1988]},
        consent="drawer 3",
        expires_at=datetime.now(UTC) + timedelta(days=1),
        collection=collection,
    )
    assert enrolled.person.metadata == {"film": "Big", "years": [1988]}
    assert [each.reasons for each in enrolled.rejected] == [["several_faces"]]
    [face] = rollcall.identify(hanks, collection=collection).faces
    assert face.candidates[0].person.name == "Tom Hanks"
    assert rollcall.verify(hanks, person_id=enrolled.person.id, collection=collection).verified
    assert rollcall.verify(hanks, hanks).similarity == 1.0


def test_a_group_has_a_face_for_everybody_in_it(
    rollcall: Rollcall, collection: str, hanks: bytes, group: bytes
) -> None:
    rollcall.enroll(hanks, collection=collection)
    assert len(rollcall.detect(group).faces) == 6
    assert len(rollcall.identify(group, collection=collection, max_faces=0).faces) == 6
    assert {len(face.embedding) for face in rollcall.embeddings(group).faces} == {32}


def test_persons_are_listed_searched_edited_and_erased(
    rollcall: Rollcall, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    for name, photo in (("Tom", hanks), ("Eileen", astronaut)):
        rollcall.enroll(photo, name=name, external_id=name[0], collection=collection)
    assert [each.name for each in rollcall.persons(collection, limit=1)] == ["Tom", "Eileen"]
    [tom] = rollcall.persons(collection, name="to")
    [eileen] = rollcall.persons(collection, external_id="E")

    assert rollcall.edit_person(tom.id, metadata={"a": 1}, name=UNSET).name == "Tom"
    edited = rollcall.edit_person(tom.id, external_id=None)
    assert (edited.name, edited.external_id, edited.metadata) == ("Tom", None, {"a": 1})

    [face] = rollcall.person_faces(eileen.id)
    assert rollcall.delete_face(face.id).faces == 1
    assert rollcall.person(eileen.id).face_count == 0
    assert rollcall.delete_person(str(tom.id)).persons == 1
    with pytest.raises(PersonNotFound):
        rollcall.person(tom.id)
    with pytest.raises(EnrolledFaceNotFound):
        rollcall.face_crop(face.id)


def test_faces_are_listed_moved_merged_and_searched_for(
    rollcall: Rollcall, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    tom = rollcall.enroll(hanks, name="Tom", references=["a,b.png"], collection=collection)
    double = rollcall.enroll(hanks, collection=collection, references=["c.png"])
    eileen = rollcall.enroll([astronaut, hanks], collection=collection)
    faces = list(rollcall.faces(collection, limit=2))
    assert [each.reference for each in faces] == ["a,b.png", "c.png", None, None]
    assert rollcall.face(faces[0].id).person_id == tom.person.id

    wrong = faces[3]
    assert wrong.person_id == eileen.person.id
    moved = rollcall.move_faces(tom.person.id, [wrong.id])
    assert (moved.face_ids, moved.person.face_count) == ([wrong.id], 2)
    merged = rollcall.merge_persons(tom.person.id, [double.person.id])
    assert (merged.merged, merged.person.face_count) == (1, 3)
    assert rollcall.revisions.of(collection) == merged.revision

    [face] = rollcall.identify(face_id=wrong.id, collection=collection).faces
    assert face.candidates[0].person.name == "Tom"


def test_collections_are_made_counted_audited_listed_and_erased(
    rollcall: Rollcall, collection: str, hanks: bytes
) -> None:
    assert rollcall.make_collection(collection).model is None
    rollcall.enroll(hanks, collection=collection)
    assert rollcall.collection(collection).person_count == 1
    assert rollcall.audit_collection(collection).equal
    assert collection in {each.name for each in rollcall.collections(limit=2)}
    assert rollcall.delete_collection(collection).revision is None
    with pytest.raises(CollectionNotFound):
        rollcall.collection(collection)


def test_a_collection_goes_out_line_by_line_and_comes_in_again(
    rollcall: Rollcall, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    for photo in (hanks, astronaut):
        rollcall.enroll(photo, collection=collection)
    lines = [json.loads(line) for line in rollcall.export_collection(collection)]
    kinds = [next(iter(line)) for line in lines]
    assert kinds == ["collection", "person", "person", "face", "face", "end"]
    rollcall.delete_collection(collection)
    with pytest.raises(CollectionNotFound):
        next(rollcall.export_collection(collection))

    model, persons, faces = lines[0]["collection"]["model"], lines[1:3], lines[3:5]
    taken = rollcall.import_part(
        collection,
        model,
        [each["person"] for each in persons],
        [each["face"] for each in faces],
    )
    assert (taken.persons, taken.faces) == (2, 2)
    [found] = rollcall.identify(hanks, collection=collection).faces
    assert str(found.candidates[0].person.id) == persons[0]["person"]["id"]


def test_an_embedding_of_ones_own_finds_who_was_enrolled(
    by_road: ByRoad, collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    person = client.enroll(hanks, collection=collection).person
    seen = client.embeddings(hanks)
    [result] = client.search([seen.faces[0].embedding], seen.model, collection).results
    assert result.candidates[0].person.id == person.id
    assert json.loads(road.sent[-1].content)["min_revision"] == 1


def test_keys_are_made_used_rotated_listed_and_revoked(
    rollcall: Rollcall, shared_service: Service
) -> None:
    key = rollcall.make_key("door", ["read"], requests_a_minute=600)
    with Rollcall(shared_service.url, key.secret.get_secret_value()) as door:
        assert door.models().models
    rotated = rollcall.rotate_key(key.id, grace_seconds=0)
    assert rotated.secret != key.secret
    assert rollcall.revoke_key(key.id).revoked_at is not None
    assert key.id in {each.id for each in rollcall.keys(limit=1)}


def test_the_service_tells_how_it_is_and_what_was_done(rollcall: Rollcall, collection: str) -> None:
    assert rollcall.health().status == "ok"
    assert rollcall.ready().ready
    assert rollcall.limits().max_images > 1
    assert rollcall.caller().id is None
    assert "rollcall_request_seconds_count" in rollcall.metrics()
    rollcall.make_collection(collection)
    made = rollcall.audit_page(limit=20).entries
    assert any(each.record.get("collection") == collection for each in made)
    assert next(rollcall.audit(limit=1)).sequence > 0


def test_who_has_enrolled_asks_for_an_index_that_knows_it(
    by_road: ByRoad, collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    revision = client.enroll(hanks, collection=collection).revision
    client.identify(hanks, collection=collection)
    assert _asked(road, "min_revision") == str(revision)

    client.identify(hanks, collections=[collection])
    assert _asked(road, "min_revision") == str(revision)

    client.identify(hanks, collection=collection, min_revision=0)
    assert _asked(road, "min_revision") == "0"

    gone = client.delete_person(next(client.persons(collection)).id)
    client.identify(hanks, collection=collection)
    assert _asked(road, "min_revision") == str(gone.revision)

    # A collection that is made anew counts from the beginning, and so must the client.
    client.delete_collection(collection)
    client.enroll(hanks, collection=collection)
    client.identify(hanks, collection=collection)
    assert _asked(road, "min_revision") == "1"


def test_a_collection_that_somebody_else_made_anew_is_searched(
    by_road: ByRoad, rollcall: Rollcall, collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    for _ in range(2):
        client.enroll(hanks, collection=collection)
    rollcall.delete_collection(collection)
    with pytest.raises(CollectionNotFound):
        client.identify(hanks, collection=collection)
    rollcall.enroll(hanks, collection=collection)
    assert client.identify(hanks, collection=collection).revision == 1
    assert _asked(road, "min_revision") is None


def test_who_does_not_want_to_read_its_own_writes_need_not(
    by_road: ByRoad, collection: str, hanks: bytes
) -> None:
    client, road = by_road(read_your_writes=False)
    client.enroll(hanks, collection=collection)
    client.identify(hanks, collection=collection)
    assert _asked(road, "min_revision") is None


def test_several_collections_have_no_revision_in_common(
    by_road: ByRoad, collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    other = f"{collection}-b"
    for name in (collection, other):
        client.enroll(hanks, collection=name)
    found = client.identify(hanks, collections=[collection, other], top_k=2)
    assert found.revision is None
    assert _asked(road, "min_revision") is None


def test_what_the_service_has_not_reached_is_forgotten_when_told(
    by_road: ByRoad, collection: str, hanks: bytes
) -> None:
    client, road = by_road()
    client.enroll(hanks, collection=collection)
    client.revisions.forget(collection)
    client.identify(hanks, collection=collection)
    assert _asked(road, "min_revision") is None


def test_nobody_to_offer_is_not_everybody(rollcall: Rollcall, hanks: bytes) -> None:
    with pytest.raises(ValueError, match="person_ids is empty"):
        rollcall.identify(hanks, person_ids=[])


def test_a_hostile_name_reaches_no_other_address(by_road: ByRoad, collection: str) -> None:
    client, road = by_road()
    with pytest.raises(ValueError, match="is no name"):
        client.delete_collection("..")
    with pytest.raises(ValueError, match="UUID"):
        client.delete_person("../collections/all")
    assert road.sent == []
    for name in ("../persons/x", "a/b", "a?limit=1", "a#b", "%2e%2e"):
        with pytest.raises(Exception, match=r"invalid_request|not_found"):
            client.delete_collection(name)
        path = road.sent[-1].url.raw_path.decode()
        assert path.startswith("/collections/"), path
        assert path.count("/") == 2, path
        assert "?" not in path, path


def test_a_service_may_live_below_a_path(pauses: list[float]) -> None:
    road = Road(answers(httpx.Response(200, json={"status": "ok"})))
    with Rollcall("https://example.org/faces/", transport=road) as client:
        client.health()
    assert str(road.sent[0].url) == "https://example.org/faces/healthz"


def test_the_words_of_a_wish_leave_its_pictures_out() -> None:
    wishes = Enrolment([b"secret picture"], name="Ann"), Probe(b"secret picture", top_k=3)
    told = repr(wishes) + repr(calls.enrolling(wishes[0]))
    assert "Ann" in told
    assert "secret" not in told
    assert len({*wishes, *wishes}) == 2


def test_the_awaited_client_does_the_same(
    shared_service: Service, collection: str, hanks: bytes, astronaut: bytes
) -> None:
    async def use() -> None:
        async with AsyncRollcall(shared_service.url) as rollcall:
            tom = await rollcall.enroll(hanks, name="Tom", collection=collection)
            await rollcall.enroll(astronaut, name="Eileen", collection=collection)
            names = [each.name async for each in rollcall.persons(collection, limit=1)]
            assert names == ["Tom", "Eileen"]
            [face] = (await rollcall.identify(hanks, collection=collection)).faces
            assert face.candidates[0].person.id == tom.person.id
            with pytest.raises(CollectionNotFound):
                await rollcall.collection("nowhere")

    asyncio.run(use())


def test_an_application_in_the_same_process_is_asked_without_a_network() -> None:
    async def use() -> str:
        transport = httpx.ASGITransport(create_app(Settings.model_construct()))
        async with AsyncRollcall("http://localhost", transport=transport) as rollcall:
            return (await rollcall.health()).status

    assert asyncio.run(use()) == "ok"


def test_one_client_has_the_methods_of_the_other() -> None:
    blocking = {name for name in vars(Rollcall) if not name.startswith("_")} - {"close"}
    awaited = {name for name in vars(AsyncRollcall) if not name.startswith("_")} - {"aclose"}
    assert awaited - blocking == {"enroll_many", "identify_many"}
    assert blocking - awaited == set()


def _asked(road: Road, field: str) -> str | None:
    """A text field of the form that was sent last."""
    for part in road.sent[-1].content.split(b"\r\n--"):
        head, _, value = part.partition(b"\r\n\r\n")
        if f'name="{field}"'.encode() in head:
            return value.decode()
    return None

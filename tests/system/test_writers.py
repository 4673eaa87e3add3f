"""Three replicas and sixteen writers whose transactions are delayed at random.

Commits of different collections interleave, notifications are lost, collections are dropped and
made again: still every replica ends as PostgreSQL, and a revision asked for is honoured.
"""

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.service import Service

REPLICAS: Final = 3
WRITERS: Final = 16
STEADY: Final = ("crew", "guests", "night", "staff")
DROPPERS: Final = 4
"""So many of the writers have a collection of their own, which they drop and make again."""

MOST_PERSONS: Final = 5
"""Of one writer: three share a collection, so that `top_k` 100 shows everybody in it."""

PATIENCE: Final = 60.0

# The last one fires in the commit itself, when everything else of the transaction is done.
DELAYS: Final = """
CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; END $$;
CREATE TRIGGER delay AFTER INSERT OR DELETE ON persons
    FOR EACH STATEMENT EXECUTE FUNCTION delay();
CREATE TRIGGER delay AFTER INSERT OR DELETE ON templates
    FOR EACH STATEMENT EXECUTE FUNCTION delay();
CREATE TRIGGER delay AFTER INSERT OR UPDATE OR DELETE ON collections
    FOR EACH STATEMENT EXECUTE FUNCTION delay();
CREATE CONSTRAINT TRIGGER delay_commit AFTER INSERT ON changes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION delay();
"""

GAPS: Final = (
    "SELECT c.name FROM collections c LEFT JOIN changes h ON h.collection_id = c.id "
    "GROUP BY c.id HAVING count(h.revision) <> c.revision OR coalesce(max(h.revision), 0) "
    "<> c.revision"
)


@dataclass
class Truth:
    """What one writer knows to be enrolled: person id -> face ids."""

    persons: dict[str, list[str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    revisions: list[int] = field(default_factory=list)


class Writer(threading.Thread):
    """Enrols, adds faces, erases, each through any replica; then looks through another one."""

    def __init__(self, number: int, urls: list[str], images: list[bytes], stop: float) -> None:
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.urls = urls
        self.images = images
        self.stop = stop
        self.drops = number < DROPPERS
        self.collection = f"own-{number}" if self.drops else STEADY[number % len(STEADY)]
        self.truth = Truth()
        self.answered = 0
        self.client = httpx.Client(timeout=PATIENCE)
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while time.monotonic() < self.stop:
                self.random.choice(self.deeds())()
                self.answered += 1
        except BaseException as fault:
            self.fault = fault
        finally:
            self.client.close()

    def deeds(self) -> list[Callable[[], None]]:
        if len(self.truth.persons) >= MOST_PERSONS:
            return [self.erase_person]
        if not self.truth.persons:
            return [self.enrol]
        some = [self.enrol, self.enrol, self.add_face, self.erase_person, self.erase_face]
        return [*some, self.drop] if self.drops else some

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Through any replica; again through any other one while the answer is "try again"."""
        give_up = time.monotonic() + PATIENCE
        while True:
            self.here = self.random.choice(self.urls)
            answer = self.client.request(method, f"{self.here}{path}", **rest)
            if answer.status_code not in (409, 503) or time.monotonic() > give_up:
                return answer
            time.sleep(0.05)

    def enrolled(self, **fields: str) -> Any:
        answer = self.request(
            "POST",
            "/enroll",
            files={"images": self.random.choice(self.images)},
            data={
                "collection": self.collection,
                "face": "largest",
                "on_duplicate": "allow",
                **fields,
            },
            headers={"Idempotency-Key": uuid4().hex},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def enrol(self) -> None:
        body = self.enrolled(name=f"writer {self.name}")
        self.truth.persons[body["person"]["id"]] = [body["faces"][0]["id"]]
        self.look(body)

    def add_face(self) -> None:
        person = self.random.choice(list(self.truth.persons))
        body = self.enrolled(person_id=person)
        self.truth.persons[person].append(body["faces"][0]["id"])
        self.look(body)

    def erase_person(self) -> None:
        person = self.random.choice(list(self.truth.persons))
        answer = self.request("DELETE", f"/persons/{person}")
        del self.truth.persons[person]
        self.truth.gone.add(person)
        if self.is_done(answer):
            self.look(answer.json())

    def erase_face(self) -> None:
        faces = self.truth.persons[self.random.choice(list(self.truth.persons))]
        if len(faces) > 1:
            face = faces.pop(self.random.randrange(len(faces)))
            answer = self.request("DELETE", f"/faces/{face}")
            if self.is_done(answer):
                self.look(answer.json())

    def drop(self) -> None:
        answer = self.request("DELETE", f"/collections/{self.collection}")
        self.is_done(answer)
        self.truth.gone |= self.truth.persons.keys()
        self.truth.persons = {}
        self.truth.revisions = []
        self.enrol()
        assert self.truth.revisions == [1], "it begins anew"

    @staticmethod
    def is_done(answer: httpx.Response) -> bool:
        """404 is for an erasure whose first answer was "try again" and that was done all the
        same."""
        assert answer.status_code in (200, 404), answer.text
        return answer.status_code == 200

    def look(self, change: Any) -> None:
        """Another replica, asked for the revision of the change, shows all of it."""
        self.truth.revisions.append(change["revision"])
        there = self.random.choice([url for url in self.urls if url != self.here])
        seen = identified(self.client, there, self.collection, self.images[0], change["revision"])
        assert seen["revision"] >= change["revision"]
        found = {each["person"]["id"] for each in seen["faces"][0]["candidates"]}
        known = {person for person, faces in self.truth.persons.items() if faces}
        assert known <= found, "an answered enrolment is not found on another replica"
        assert not found & self.truth.gone, "an erased person is found on another replica"


def identified(client: httpx.Client, url: str, collection: str, image: bytes, revision: int) -> Any:
    """Everybody in the collection at `revision` or later, most alike first."""
    give_up = time.monotonic() + PATIENCE
    while True:
        answer = client.post(
            f"{url}/identify",
            files={"image": image},
            data={
                "collection": collection,
                "threshold": "-1",
                "top_k": "100",
                "min_revision": str(revision),
            },
        )
        # A busy machine may be late, and says so; it may not answer with less.
        if answer.status_code != 503 or time.monotonic() > give_up:
            break
    assert answer.status_code == 200, answer.text
    body = answer.json()
    body.pop("request_id")
    return body


class Cutter(threading.Thread):
    """Ends the connections that listen, again and again: what was notified meanwhile is lost."""

    def __init__(self, url: str, stop: float) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.stop = stop
        self.cut = 0

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            while time.monotonic() < self.stop:
                self.cut += await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
                await asyncio.sleep(0.5)
        finally:
            await connection.close()


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def execute(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def refuse_what_is_not_there(writers: list[Writer], image: bytes) -> None:
    """In the midst of it: a revision that did not come is not answered with an earlier one."""
    while not any(writer.truth.revisions for writer in writers):
        time.sleep(0.05)
    written = next(writer for writer in writers if writer.truth.revisions)
    ahead = httpx.post(
        f"{written.urls[0]}/identify",
        files={"image": image},
        data={"collection": written.collection, "min_revision": "1000000"},
        timeout=PATIENCE,
    )
    assert (ahead.status_code, ahead.json().get("code")) == (503, "revision_not_reached")
    assert int(ahead.headers["retry-after"]) >= 1


def until_followed(client: httpx.Client, urls: list[str], database_url: str) -> None:
    """Wait until every replica stands where PostgreSQL stands, by itself: nothing else is asked."""
    heads = asyncio.run(fetch(database_url, "SELECT name, revision FROM collections"))
    expected = {(row["name"], float(row["revision"])) for row in heads}
    give_up = time.monotonic() + PATIENCE
    for url in urls:
        while True:
            text = client.get(f"{url}/metrics").text
            stand = re.findall(r'rollcall_gallery_revision{collection="(.+)"} (.+)', text)
            lags = re.findall(r"rollcall_gallery_lag{.+} (.+)", text)
            if {(name, float(revision)) for name, revision in stand} == expected:
                assert set(map(float, lags)) == {0.0}
                break
            assert time.monotonic() < give_up, f"{url} stands at {stand}, not {expected}"
            time.sleep(0.1)


def write_through_all(
    serve: Callable[..., Service], database_url: str, images: list[bytes], seconds: float
) -> None:
    asyncio.run(execute(database_url, DELAYS))
    urls = [serve(ROLLCALL_SNAPSHOT_INTERVAL="1").url for _ in range(REPLICAS)]
    stop = time.monotonic() + seconds
    writers = [Writer(number, urls, images, stop) for number in range(WRITERS)]
    cutter = Cutter(database_url, stop)
    for thread in (*writers, cutter):
        thread.start()

    try:
        refuse_what_is_not_there(writers, images[0])
    finally:
        for thread in (*writers, cutter):
            thread.join(PATIENCE + seconds)
    with httpx.Client(timeout=PATIENCE) as client:
        faults = [repr(writer.fault) for writer in writers if writer.fault is not None]
        assert not faults, "\n".join(faults)
        assert all(writer.answered for writer in writers)
        print(sum(writer.answered for writer in writers), "changes;", cutter.cut, "cut")
        assert cutter.cut > REPLICAS, "notifications were lost"

        rows = asyncio.run(
            fetch(
                database_url,
                "SELECT c.name, c.revision, p.id::text AS person, "
                "array_agg(f.id::text ORDER BY f.id) AS faces FROM collections c "
                "JOIN persons p ON p.collection_id = c.id JOIN faces f ON f.person_id = p.id "
                "GROUP BY c.id, p.id",
            )
        )
        until_followed(client, urls, database_url)
        held = {row["person"]: row["faces"] for row in rows}
        known = {
            person: sorted(faces)
            for writer in writers
            for person, faces in writer.truth.persons.items()
            if faces
        }
        assert held == known, "PostgreSQL holds what was answered, no more and no less"
        assert asyncio.run(fetch(database_url, GAPS)) == [], "revisions have no gap"
        for name in STEADY:
            answered = [r for w in writers if w.collection == name for r in w.truth.revisions]
            assert len(answered) == len(set(answered)), "no revision was given twice"

        for name in {writer.collection for writer in writers}:
            of_it = [row for row in rows if row["name"] == name]
            audits = [client.get(f"{url}/collections/{name}/audit").json() for url in urls]
            assert all(audit["equal"] for audit in audits), audits
            assert len({audit["digest"] for audit in audits}) == 1
            assert len({audit["index"]["checksum"] for audit in audits}) == 1
            assert audits[0]["index"]["templates"] == sum(len(row["faces"]) for row in of_it)
            for image in images:
                answers = [identified(client, url, name, image, 1) for url in urls]
                assert answers[0] == answers[1] == answers[2]
            seen = {each["person"]["id"] for each in answers[0]["faces"][0]["candidates"]}
            assert seen == {row["person"] for row in of_it}


def test_every_replica_ends_as_postgresql_and_honours_revisions(
    serve: Callable[..., Service],
    database_url: str,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    write_through_all(serve, database_url, [hanks, astronaut], seconds=8)


@pytest.mark.long
def test_every_replica_ends_as_postgresql_after_minutes_of_writing(
    serve: Callable[..., Service],
    database_url: str,
    hanks: bytes,
    astronaut: bytes,
    group: bytes,
) -> None:
    write_through_all(serve, database_url, [hanks, astronaut, group], seconds=240)

"""Callers who enrol, retry and erase without pause, and keep account of what they were answered.

Whatever dies meanwhile, the account must fit: what was answered is there once, what was erased
stays away, and whoever asks again with the same Idempotency-Key gets the first answer.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import cv2
import httpx
import numpy as np

from app.store.change import chain
from app.types import Position
from tests.service import Service

# All persons must fit into one answer of /identify (top_k is at most 100), so that an answer can
# be compared with the whole account.
MOST_PERSONS = 40

# Queries that count what must not be; the same whatever a template looks like inside.
WHOLE = {
    "a person without a face": "SELECT count(*) FROM persons p "
    "WHERE NOT EXISTS (SELECT FROM faces f WHERE f.person_id = p.id)",
    "a face without a template": "SELECT count(*) FROM faces f "
    "WHERE NOT EXISTS (SELECT FROM templates t WHERE t.face_id = f.id)",
    "a revision that is not in the log": "SELECT count(*) FROM collections c WHERE revision <> "
    "(SELECT count(*) FROM changes h WHERE h.collection_id = c.id)",
    "a face that no change added": "SELECT count(*) FROM faces f WHERE NOT EXISTS "
    "(SELECT FROM changes h WHERE f.id = ANY(h.added))",
    "a face that a change removed": "SELECT count(*) FROM faces f WHERE EXISTS "
    "(SELECT FROM changes h WHERE f.id = ANY(h.removed))",
    "a face added twice": "SELECT count(*) FROM (SELECT unnest(added) AS face FROM changes) AS a "
    "GROUP BY face HAVING count(*) > 1",
    "a link of the chain that does not fit": "SELECT count(*) FROM (SELECT parent, lag(digest) "
    "OVER (PARTITION BY collection_id ORDER BY revision) AS before FROM changes) AS links "
    "WHERE before IS NOT NULL AND before <> parent",
    "a head that is not the end of the chain": "SELECT count(*) FROM collections c WHERE "
    "revision > 0 AND digest <> (SELECT h.digest FROM changes h WHERE h.collection_id = c.id "
    "AND h.revision = c.revision)",
    "an answer that speaks of nobody": "SELECT count(*) FROM idempotency i WHERE answer IS NOT "
    "NULL AND NOT EXISTS (SELECT FROM persons p WHERE p.id = i.person_id "
    "AND p.id::text = i.answer #>> '{person,id}')",
}


@dataclass(slots=True)
class Enrolled:
    """What an answered enrolment promised. `key` is its Idempotency-Key and external id."""

    key: str
    person: str
    faces: list[str]


@dataclass(slots=True)
class Account:
    """What was answered, and what is not known because no answer came. Guarded by `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    enrolled: dict[str, Enrolled] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    revision: int = 0
    unsure_keys: list[tuple[str, int]] = field(default_factory=list)
    unsure_persons: list[Enrolled] = field(default_factory=list)
    unsure_faces: list[tuple[Enrolled, str]] = field(default_factory=list)
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)  # asked at, refused at


class Traffic:
    """Writers and one who asks. `url` may change at any time; every fault is somebody's silence."""

    def __init__(self, image: bytes, *, writers: int = 4, seed: int = 0) -> None:
        self.url = ""
        self.account = Account()
        self._image = image
        self._blank = cv2.imencode(".png", np.full((120, 120, 3), 90, np.uint8))[1].tobytes()
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(Random(seed + number),), daemon=True)
            for number in range(writers)
        ]
        self._threads.append(threading.Thread(target=self._ask, daemon=True))

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            for thread in self._threads:
                thread.join(60)

    def wait_for_answers(self, count: int, patience: float = 60.0) -> None:
        """Until `count` more changes were answered."""
        wanted = self.account.answered + count
        give_up = time.monotonic() + patience
        while self.account.answered < wanted:
            self.nothing_wrong()
            assert time.monotonic() < give_up, "nothing was answered any more"
            time.sleep(0.01)

    def nothing_wrong(self) -> None:
        assert not self.account.wrong, self.account.wrong[:5]

    def settle(self, patience: float = 60.0) -> None:
        """Ask again what was never answered, until all of it is."""
        self.nothing_wrong()
        account = self.account
        give_up = time.monotonic() + patience
        with httpx.Client(timeout=30) as client:
            while account.unsure_keys or account.unsure_persons or account.unsure_faces:
                assert time.monotonic() < give_up, account
                self._again(client)
                self.nothing_wrong()
                time.sleep(0.02)

    # -- the callers ------------------------------------------------------------------------

    def _write(self, random: Random) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._enough.is_set():
                try:
                    self._step(client, random)
                except Exception as error:
                    self._wrong(f"the caller failed: {error!r}")

    def _step(self, client: httpx.Client, random: Random) -> None:
        account, roll = self.account, random.random()
        with account.lock:
            people = len(account.enrolled)
            unsure = len(account.unsure_keys) + len(account.unsure_persons)
        if unsure and (roll < 0.3 or unsure > MOST_PERSONS // 2):
            self._again(client)
        elif people > MOST_PERSONS or roll < 0.45:
            if one := self._take(random):
                self._erase(client, one)
        elif roll < 0.55:
            if one := self._take(random):
                if len(one.faces) > 1:
                    self._erase_face(client, one, one.faces[-1])
                else:
                    self._enroll(client, one.key, len(one.faces), expected=one)
        elif roll < 0.6:
            self._enroll_nobody(client)
        else:
            self._enroll(client, uuid4().hex, 1 if random.random() < 0.7 else 2)

    def _take(self, random: Random) -> Enrolled | None:
        """Somebody whom no other caller deals with until they are put back."""
        with self.account.lock:
            if not self.account.enrolled:
                return None
            return self.account.enrolled.pop(random.choice(list(self.account.enrolled)))

    def _again(self, client: httpx.Client) -> None:
        account = self.account
        with account.lock:
            key = account.unsure_keys.pop(0) if account.unsure_keys else None
            person = account.unsure_persons.pop(0) if account.unsure_persons else None
            face = account.unsure_faces.pop(0) if account.unsure_faces else None
        if key:
            self._enroll(client, *key)
        if person:
            self._erase(client, person, again=True)
        if face:
            self._erase_face(client, *face, again=True)

    def _enroll(
        self, client: httpx.Client, key: str, images: int, expected: Enrolled | None = None
    ) -> None:
        answer = self._send(
            client, "POST", "/enroll",
            files=[("images", self._image)] * images,
            data={"on_duplicate": "allow", "external_id": key},
            headers={"Idempotency-Key": key},
        )  # fmt: skip
        account = self.account
        code = None if answer is None else answer.json().get("code")
        if answer is not None and answer.status_code == 201:
            body = answer.json()
            one = Enrolled(key, body["person"]["id"], [face["id"] for face in body["faces"]])
            if expected not in (None, one):
                self._wrong(f"a repeated key gave another answer: {expected} {one}")
            self._answered(body["revision"])
            with account.lock:
                account.enrolled[one.person] = one
        elif expected is not None and (answer is None or answer.status_code == 503):
            with account.lock:
                account.enrolled[expected.person] = expected
        elif expected is None and (
            answer is None or answer.status_code == 503 or code == "idempotency_key_in_flight"
        ):
            with account.lock:
                account.unsure_keys.append((key, images))
        else:
            self._wrong(f"enrolment: {answer.status_code} {answer.text}")

    def _enroll_nobody(self, client: httpx.Client) -> None:
        answer = self._send(
            client, "POST", "/enroll",
            files={"images": self._blank}, headers={"Idempotency-Key": uuid4().hex},
        )  # fmt: skip
        if answer is not None and answer.status_code not in (422, 503):
            self._wrong(f"enrolment of nobody: {answer.status_code} {answer.text}")

    def _erase(self, client: httpx.Client, one: Enrolled, *, again: bool = False) -> None:
        answer = self._send(client, "DELETE", f"/persons/{one.person}")
        account = self.account
        if answer is not None and answer.status_code == 200:
            self._answered(answer.json()["revision"])
            with account.lock:
                account.erased.add(one.person)
        elif answer is None or answer.status_code == 503:
            with account.lock:
                account.unsure_persons.append(one)
        elif answer.status_code == 404 and again:  # it happened the first time
            known = self._learn(client)
            with account.lock:
                if known:
                    account.erased.add(one.person)
                else:
                    account.unsure_persons.append(one)
        else:
            self._wrong(f"erasure of {one}: {answer.status_code} {answer.text}")

    def _erase_face(
        self, client: httpx.Client, one: Enrolled, face: str, *, again: bool = False
    ) -> None:
        answer = self._send(client, "DELETE", f"/faces/{face}")
        account = self.account
        status = None if answer is None else answer.status_code
        if answer is None or status == 503:
            with account.lock:
                account.unsure_faces.append((one, face))
        elif status == 200 or (status == 404 and again):
            if status == 200:
                self._answered(answer.json()["revision"])
            one.faces.remove(face)
            # Not put back: its key speaks of a face that is gone. It is erased next.
            with account.lock:
                account.unsure_persons.append(one)
        else:
            self._wrong(f"erasure of face {face}: {status} {answer.text}")

    def _learn(self, client: httpx.Client) -> bool:
        """Learn the revision that PostgreSQL is at, for an erasure whose own was never told."""
        answer = self._send(client, "GET", "/collections/default")
        if answer is None or answer.status_code != 200:
            return False
        with self.account.lock:
            self.account.revision = max(self.account.revision, answer.json()["revision"])
        return True

    def _ask(self) -> None:
        """Nobody whose erasure was answered is ever offered again; everybody enrolled is."""
        account = self.account
        with httpx.Client(timeout=30) as client:
            while not self._enough.is_set():
                with account.lock:
                    erased, enrolled = set(account.erased), set(account.enrolled)
                    revision = account.revision
                try:
                    offered = self._offered(client, revision)
                except Exception as error:
                    self._wrong(f"the asker failed: {error!r}")
                    continue
                if offered is not None:
                    if back := offered & erased:
                        self._wrong(f"erased and offered: {back}")
                    with account.lock:
                        lost = enrolled & set(account.enrolled) - offered
                    if lost:
                        self._wrong(f"enrolled and not offered: {lost}")
                time.sleep(0.05)

    def _offered(self, client: httpx.Client, revision: int) -> set[str] | None:
        answer = self._send(
            client, "POST", "/identify",
            files={"image": self._image},
            data={"threshold": "-1", "top_k": "100", "min_revision": str(revision)},
        )  # fmt: skip
        if answer is None or answer.status_code == 503:
            return None
        if answer.status_code == 404 and revision == 0:
            return None  # nobody was enrolled yet
        assert answer.status_code == 200, answer.text
        [face] = answer.json()["faces"]
        return {candidate["person"]["id"] for candidate in face["candidates"]}

    def _send(
        self, client: httpx.Client, method: str, path: str, **what: Any
    ) -> httpx.Response | None:
        """The answer, or None where none came."""
        began = time.monotonic()
        try:
            answer = client.request(method, self.url + path, **what)
        except httpx.HTTPError:
            time.sleep(0.05)
            return None
        if answer.status_code == 503:
            if "retry-after" not in answer.headers:
                self._wrong(f"503 without Retry-After: {answer.text}")
            self.account.refused.append((began, time.monotonic()))
            time.sleep(0.1)
        return answer

    def _answered(self, revision: int) -> None:
        with self.account.lock:
            self.account.answered += 1
            self.account.revision = max(self.account.revision, revision)

    def _wrong(self, what: str) -> None:
        self.account.wrong.append(what)
        time.sleep(0.2)


def check_whole(traffic: Traffic, client: httpx.Client, database_url: str) -> None:
    """PostgreSQL and the index hold what the account says: all of it, and nothing else.

    To be called when traffic has settled.
    """
    account = traffic.account
    persons, broken = asyncio.run(_look(database_url))
    assert broken == {}, broken
    assert persons == {
        one.person: (one.key, sorted(one.faces)) for one in account.enrolled.values()
    }
    answer = client.post(
        "/identify",
        files={"image": traffic._image},
        data={"threshold": "-1", "top_k": "100", "min_revision": str(account.revision)},
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    offered = [each["person"]["id"] for each in body["faces"][0]["candidates"]]
    assert sorted(offered) == sorted(account.enrolled)
    assert body["gallery_size"] == sum(len(one.faces) for one in account.enrolled.values())
    for person in list(account.erased)[-20:]:
        assert client.get(f"/persons/{person}").status_code == 404


async def _look(url: str) -> tuple[dict[str, tuple[str, list[str]]], dict[str, int]]:
    """Every person with external id and faces; and what is half there, with its count."""
    connection = await asyncpg.connect(url)
    try:
        counts = {name: await connection.fetchval(query) or 0 for name, query in WHOLE.items()}
        rows = await connection.fetch(
            "SELECT p.id, p.external_id, array_agg(f.id) AS faces FROM persons p "
            "JOIN faces f ON f.person_id = p.id GROUP BY p.id"
        )
        removals = await connection.fetch(
            "SELECT revision, parent, digest, removed FROM changes WHERE added = '{}'"
        )
    finally:
        await connection.close()
    # A digest is over templates that may be gone by now, but an erasure's is over ids alone.
    counts["a digest that is not that of its change"] = sum(
        chain(Position(row["revision"] - 1, row["parent"]), [], row["removed"]).digest
        != row["digest"]
        for row in removals
    )
    people = {str(row["id"]): (row["external_id"], sorted(map(str, row["faces"]))) for row in rows}
    return people, {name: count for name, count in counts.items() if count}


@contextmanager
def through_faults(service: Service, image: bytes, database_url: str) -> Iterator[Traffic]:
    """Traffic on a ready service; faults happen inside. In the end everything has its place,
    and refusals came in time."""
    traffic = Traffic(image)
    traffic.url = service.url
    with traffic.flowing():
        traffic.wait_for_answers(10)
        try:
            yield traffic
        except AssertionError as failed:
            state = f"exit status {service.process.poll()}:\n{service.output()[-4000:]}"
            raise AssertionError(f"{failed}\nthe service, {state}") from failed
        traffic.wait_for_answers(10)
    traffic.settle()
    with service.client() as client:
        check_whole(traffic, client, database_url)


def refused_in_time(traffic: Traffic, fault: Callable[[], None], least: int = 4) -> None:
    """`fault`, and the refusals that follow: at least so many, within three seconds each, counted
    from the fault where the request was older (it may have suffered from the one before)."""
    known = len(traffic.account.refused)
    answered = traffic.account.answered
    fault()
    began = time.monotonic()
    while len(refused := traffic.account.refused[known:]) < least:
        traffic.nothing_wrong()
        waited = time.monotonic() - began
        assert waited < 60, f"{traffic.account.answered - answered} were answered"
        time.sleep(0.02)
    seconds = sorted(at - max(asked, began) for asked, at in refused)
    # The machine may be busy; a wait of ours that is too long would show in most of them.
    assert seconds[len(seconds) // 2] < 3, seconds
    assert seconds[-1] < 6, seconds


def recovers(traffic: Traffic) -> None:
    """Within ten seconds, on a machine that does nothing else."""
    traffic.wait_for_answers(3, patience=20)

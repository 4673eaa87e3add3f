"""Many photos of many persons into a collection, with nothing doubled however often it is begun.

Whatever has photos with persons on them hands this an iterable of `Photo`: a folder, a table, an
importer. What is there is not sent again: persons are told by `external_id`, photos by `reference`
(app.commands.already). What was under way when an earlier run was killed is caught by the
Idempotency-Key, which is made of the request itself: sent again it is the same, and gets the first
answer.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

from rollcall_client import AsyncRollcall, models
from rollcall_client.errors import BadRequest, Conflict, NotFound, RollcallError

from app.commands.already import Already, Known

LONGEST_REFERENCE: Final = 255
# Requests whose process was killed hold their key for the service's deadline and a little more.
_LONGEST_WAIT: Final = 300.0
_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKey:
    """Who is on a photo. `external_id` tells persons apart and finds them again; the rest is kept
    when the person is made, and leaves one who is there already as they are."""

    external_id: str
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    consent: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of one person.

    reference: names the photo among those of the person, the same in every run: `reference_of` a
    path or an address. load: reads the bytes; called once, in a thread; raises OSError or Unusable.
    """

    person: PersonKey
    reference: str
    load: Callable[[], bytes]


class Unusable(Exception):
    """There is no photo to be had here; the reason is a stable code, the message a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How photos are enrolled. concurrency: persons worked on at a time. photos: how many come,
    where that is known."""

    collection: str
    face: Literal["only", "largest"] = "only"
    on_duplicate: Literal["allow", "flag", "reject"] = "flag"
    concurrency: int = 8
    photos: int | None = None


class Listener(Protocol):
    """Is told of every photo once, in the order in which they end."""

    def enrolled(self, photo: Photo, answer: models.EnrollAnswer, *, new: bool) -> None:
        """`new`: the person was made with this photo."""

    def already_there(self, photo: Photo) -> None: ...

    def refused(self, photo: Photo, reasons: list[str], detail: str) -> None: ...


def reference_of(name: str) -> str:
    """A path or an address as a reference: itself, or its end and a hash where it is too long.

    Bytes of a file's name that are no text are written out.
    """
    name = name.encode(errors="backslashreplace").decode()
    if len(name) <= LONGEST_REFERENCE:
        return name
    mark = sha256(name.encode()).hexdigest()[:16]
    return f"{mark}…{name[-(LONGEST_REFERENCE - 17) :]}"


async def enroll_all(
    client: AsyncRollcall, photos: Iterable[Photo], way: Way, listener: Listener
) -> None:
    """Enrol every photo that is not there yet. The photos of one person stand together.

    Photos are taken as there is room for them, in a thread. Raises rollcall_client's RollcallError
    for what concerns more than one photo: nobody answers, the key may not; and what the iterable
    raises. What was enrolled until then is enrolled, and is found by the next run.
    """
    already = Already(client, way.collection)
    await already.prepare(way.photos)
    run = _Run(client, way, listener, already)
    source = _Source(photos)

    async def work() -> None:
        while (group := await source.next()) is not None:
            if left := await run.person(group):
                await source.put_off(left)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(way.concurrency):
                tasks.create_task(work())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


class _Source:
    """Hands out the photos of a person at a time; those put off come again at the end."""

    def __init__(self, photos: Iterable[Photo]) -> None:
        self._groups: Iterator[list[Photo]] = (
            list(group)
            for _, group in itertools.groupby(photos, lambda photo: photo.person.external_id)
        )
        self._later: deque[list[Photo]] = deque()
        self._lock = asyncio.Lock()
        self._waited = 0.0

    async def next(self) -> list[Photo] | None:
        async with self._lock:
            group = await asyncio.to_thread(next, self._groups, None)
            if group is not None:
                return group
            if not self._later:
                return None
            if self._waited < _LONGEST_WAIT:  # then its answer is waited for in the client
                self._waited += _PAUSE
                await asyncio.sleep(_PAUSE)
            return self._later.popleft()

    async def put_off(self, group: list[Photo]) -> None:
        self._later.append(group)


class _Run:
    def __init__(
        self, client: AsyncRollcall, way: Way, listener: Listener, already: Already
    ) -> None:
        self._client = client
        self._way = way
        self._listener = listener
        self._already = already

    async def person(self, photos: list[Photo]) -> list[Photo]:
        """The photos of one person, one after the other; those that have to be tried later."""
        known = await self._already.of(photos[0].person.external_id)
        for number, photo in enumerate(photos):
            if known is not None and photo.reference in known.faces.values():
                self._listener.already_there(photo)
                continue
            try:
                data = await asyncio.to_thread(photo.load)
            except Unusable as reason:
                self._listener.refused(photo, [reason.reason], str(reason))
                continue
            except OSError as error:
                self._listener.refused(
                    photo, ["file_unreadable"], f"It cannot be read: {error.strerror or error}."
                )
                continue
            try:
                known = await self._one(photo, data, known)
            except (BadRequest, Conflict, NotFound) as refusal:
                if refusal.code == "idempotency_key_in_flight":
                    return photos[number:]
                if not _of_this_photo(refusal):
                    raise
                self._listener.refused(photo, *_words(refusal))
        return []

    async def _one(self, photo: Photo, data: bytes, known: Known | None) -> Known:
        """Enrol a photo of somebody new or known; the person with it."""
        try:
            answer = await self._send(photo, data, known)
        except Conflict as conflict:
            if known is not None or conflict.code != "external_id_taken":
                raise
            # Made since we looked, by a run beside this one or the end of one before.
            known = await self._already.look(photo.person.external_id)
            if known is None:
                raise
            if photo.reference in known.faces.values():
                self._listener.already_there(photo)
                return known
            answer = await self._send(photo, data, known)
        self._listener.enrolled(photo, answer, new=known is None)
        known = known or Known(answer.person.id)
        known.faces.update((face.id, photo.reference) for face in answer.faces)
        return known

    async def _send(self, photo: Photo, data: bytes, known: Known | None) -> models.EnrollAnswer:
        who = photo.person
        whom: dict[str, Any] = (
            {"person_id": known.id}
            if known is not None
            else {
                "external_id": who.external_id,
                "name": who.name,
                "metadata": who.metadata,
                "consent": who.consent,
                "expires_at": who.expires_at,
            }
        )
        return await self._client.enroll(
            data,
            collection=self._way.collection,
            references=[photo.reference],
            face=self._way.face,
            on_duplicate=self._way.on_duplicate,
            idempotency_key=self._key(photo, data, known, whom),
            **whom,
        )

    def _key(self, photo: Photo, data: bytes, known: Known | None, whom: Mapping[str, Any]) -> str:
        """The same for the same request, and for no other.

        The faces that the person has are part of it: a photo whose face was erased since may be
        enrolled anew, and is not answered with what was said then.
        """
        said = [
            self._way.collection,
            photo.person.external_id,
            photo.reference,
            self._way.face,
            self._way.on_duplicate,
            whom,
            [] if known is None else sorted(map(str, known.faces)),
        ]
        digest = sha256(json.dumps(said, sort_keys=True, default=str).encode())
        digest.update(data)
        return f"bulk-{digest.hexdigest()}"


def _of_this_photo(refusal: RollcallError) -> bool:
    """Whether it says nothing of the photos after it."""
    wrong = {each.get("field") for each in refusal.facts.get("errors") or ()}
    if "collection" in wrong:
        return False
    return refusal.status in (413, 415, 422) or refusal.code in (
        "duplicate_person",
        "external_id_taken",
        "person_not_found",  # erased meanwhile, and so to stay
    )


def _words(refusal: RollcallError) -> tuple[list[str], str]:
    rejected = refusal.facts.get("rejected")
    if isinstance(rejected, list) and rejected:
        return list(rejected[0]["reasons"]), str(rejected[0]["detail"])
    return [refusal.code], refusal.detail

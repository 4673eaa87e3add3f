"""The two clients: the same calls, one blocking and one awaited."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Self, TypeVar

import httpx

from rollcall_client import calls
from rollcall_client.address import options
from rollcall_client.bulk import Outcome, each_of
from rollcall_client.call import Call, Page, following
from rollcall_client.exchange import (
    Do,
    Exchange,
    Pause,
    Revisions,
    Send,
    reaching,
    refusal,
)
from rollcall_client.methods import awaiting, running, streaming, walking
from rollcall_client.models import EnrollAnswer, IdentifyAnswer
from rollcall_client.wishes import Enrolment, Probe

T = TypeVar("T")


class Rollcall:
    """A service at `url`, asked with `key` where it wants one. One client serves many threads.

    timeout: seconds in which an answer has to come. retries: how often a request is repeated at
    most, where that is safe. transport: how requests are sent, where not over the network.
    read_your_writes: whether /identify waits until it knows what this client has seen.

    Methods raise RollcallError, and what `uploads.read_image` raises for what is no image.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
        read_your_writes: bool = True,
    ) -> None:
        self._http = httpx.Client(transport=transport, **options(url, key, timeout))
        self._exchange = Exchange(
            self._http.build_request, retries=retries, read_your_writes=read_your_writes
        )

    def run(self, call: Call[T]) -> T:
        """Carry a call of `rollcall_client.calls` out."""
        steps = self._exchange.steps(call)
        come: Any = None
        try:
            step = next(steps)
            while True:
                match step:
                    case Do(work):
                        come = work()
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Send(request):
                        try:
                            come = self._http.send(request)
                        except httpx.RequestError as fault:
                            step = steps.throw(fault)
                            continue
                step = steps.send(come)
        except StopIteration as end:
            answer: T = end.value
            return answer

    def walk(self, call: Call[Page[T]]) -> Iterator[T]:
        """The entries of a list, page after page."""
        while True:
            page = self.run(call)
            yield from page.entries
            if page.next_cursor is None:
                return
            call = following(call, page.next_cursor)

    def export_collection(self, name: str) -> Iterator[bytes]:
        """The lines of a whole collection with its templates, as they come; never repeated.

        Raises RollcallError, also where the answer breaks off; one that was cut off is without
        its last line, `end`.
        """
        with reaching(), self._http.stream("GET", calls.export_path(name)) as response:
            if not response.is_success:
                response.read()
                raise refusal(response)
            rest = b""
            for chunk in response.iter_bytes():
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole

    @property
    def revisions(self) -> Revisions:
        """What this client knows of the revisions of collections."""
        return self._exchange.revisions

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    enroll = running(calls.enroll)
    identify = running(calls.identify)
    verify = running(calls.verify)
    detect = running(calls.detect)
    embeddings = running(calls.embeddings)
    collections = walking(calls.collections)
    collection_page = running(calls.collections)
    make_collection = running(calls.make_collection)
    collection = running(calls.collection)
    delete_collection = running(calls.delete_collection)
    thresholds = running(calls.thresholds)
    audit_collection = running(calls.audit_collection)
    import_part = running(calls.import_part)
    search = running(calls.search)
    persons = walking(calls.persons)
    person_page = running(calls.persons)
    person = running(calls.person)
    edit_person = running(calls.edit_person)
    delete_person = running(calls.delete_person)
    person_faces = running(calls.person_faces)
    merge_persons = running(calls.merge_persons)
    move_faces = running(calls.move_faces)
    faces = walking(calls.faces)
    face_page = running(calls.faces)
    face = running(calls.face)
    face_crop = running(calls.face_crop)
    delete_face = running(calls.delete_face)
    models = running(calls.models_at_work)
    model_card = running(calls.model_card)
    limits = running(calls.limits)
    caller = running(calls.caller)
    keys = walking(calls.keys)
    key_page = running(calls.keys)
    make_key = running(calls.make_key)
    rotate_key = running(calls.rotate_key)
    revoke_key = running(calls.revoke_key)
    audit = walking(calls.audit)
    audit_page = running(calls.audit)
    health = running(calls.health)
    ready = running(calls.ready)
    metrics = running(calls.metrics)


class AsyncRollcall:
    """As `Rollcall`, awaited; and many pictures at once.

    transport: `httpx.ASGITransport(app)` asks an application in this process.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
        read_your_writes: bool = True,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **options(url, key, timeout))
        self._exchange = Exchange(
            self._http.build_request, retries=retries, read_your_writes=read_your_writes
        )

    async def run(self, call: Call[T]) -> T:
        """Carry a call of `rollcall_client.calls` out."""
        steps = self._exchange.steps(call)
        come: Any = None
        try:
            step = next(steps)
            while True:
                match step:
                    case Do(work):
                        come = await asyncio.to_thread(work)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Send(request):
                        try:
                            come = await self._http.send(request)
                        except httpx.RequestError as fault:
                            step = steps.throw(fault)
                            continue
                step = steps.send(come)
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def walk(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The entries of a list, page after page."""
        while True:
            page = await self.run(call)
            for entry in page.entries:
                yield entry
            if page.next_cursor is None:
                return
            call = following(call, page.next_cursor)

    def enroll_many(
        self, items: Iterable[Enrolment] | AsyncIterable[Enrolment], *, concurrency: int = 8
    ) -> AsyncGenerator[Outcome[Enrolment, EnrollAnswer], None]:
        """Enrol many, so many at a time; each outcome as it comes, errors among them."""
        return each_of(items, lambda item: self.run(calls.enrolling(item)), concurrency)

    def identify_many(
        self, items: Iterable[Probe] | AsyncIterable[Probe], *, concurrency: int = 8
    ) -> AsyncGenerator[Outcome[Probe, IdentifyAnswer], None]:
        """Identify many, so many at a time; each outcome as it comes, errors among them."""
        return each_of(items, lambda item: self.run(calls.identifying(item)), concurrency)

    async def export_collection(self, name: str) -> AsyncGenerator[bytes, None]:
        """As `Rollcall.export_collection`."""
        with reaching():
            async with self._http.stream("GET", calls.export_path(name)) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                rest = b""
                async for chunk in response.aiter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line

    @property
    def revisions(self) -> Revisions:
        """What this client knows of the revisions of collections."""
        return self._exchange.revisions

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    enroll = awaiting(calls.enroll)
    identify = awaiting(calls.identify)
    verify = awaiting(calls.verify)
    detect = awaiting(calls.detect)
    embeddings = awaiting(calls.embeddings)
    collections = streaming(calls.collections)
    collection_page = awaiting(calls.collections)
    make_collection = awaiting(calls.make_collection)
    collection = awaiting(calls.collection)
    delete_collection = awaiting(calls.delete_collection)
    thresholds = awaiting(calls.thresholds)
    audit_collection = awaiting(calls.audit_collection)
    import_part = awaiting(calls.import_part)
    search = awaiting(calls.search)
    persons = streaming(calls.persons)
    person_page = awaiting(calls.persons)
    person = awaiting(calls.person)
    edit_person = awaiting(calls.edit_person)
    delete_person = awaiting(calls.delete_person)
    person_faces = awaiting(calls.person_faces)
    merge_persons = awaiting(calls.merge_persons)
    move_faces = awaiting(calls.move_faces)
    faces = streaming(calls.faces)
    face_page = awaiting(calls.faces)
    face = awaiting(calls.face)
    face_crop = awaiting(calls.face_crop)
    delete_face = awaiting(calls.delete_face)
    models = awaiting(calls.models_at_work)
    model_card = awaiting(calls.model_card)
    limits = awaiting(calls.limits)
    caller = awaiting(calls.caller)
    keys = streaming(calls.keys)
    key_page = awaiting(calls.keys)
    make_key = awaiting(calls.make_key)
    rotate_key = awaiting(calls.rotate_key)
    revoke_key = awaiting(calls.revoke_key)
    audit = streaming(calls.audit)
    audit_page = awaiting(calls.audit)
    health = awaiting(calls.health)
    ready = awaiting(calls.ready)
    metrics = awaiting(calls.metrics)

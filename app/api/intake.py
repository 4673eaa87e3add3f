"""The intake of bodies: capped by route, timed, and counted together, all while they stream."""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final

from starlette.types import Message, Receive, Scope

from app.errors import BadRequest, Overloaded
from app.settings import Settings

FIELDS: Final = 1_000_000
"""Bytes of all that is no image: metadata of 65,536 characters may be escaped to twelve each."""


class BodyTooLarge(BadRequest):
    """More bytes than any valid request has."""

    code = "body_too_large"


class BodyTimeout(BadRequest):
    """The body did not come in the time that a body of its size has."""

    code = "body_timeout"


class Memory:
    """The bytes of all bodies in flight together; `most` of them at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def require(self, count: int) -> None:
        """Raises Overloaded where `count` more bytes do not fit."""
        if self.held + count > self.most:
            raise Overloaded(
                "The bodies of other requests fill the memory that is set aside for them. Try "
                "again, with fewer requests at a time."
            )

    def take(self, count: int) -> None:
        self.require(count)
        self.held += count

    def give_back(self, count: int) -> None:
        self.held -= count


class Intake:
    """What bodies may be. Read from the settings once.

    `images` says how many images a route takes at most, by its path; any other takes none, unless
    `elsewhere` says so: it is asked with the request's scope.
    """

    def __init__(self, settings: Settings, elsewhere: Callable[[Scope], int] = lambda _: 0) -> None:
        self._elsewhere = elsewhere
        self.images: Mapping[str, int] = {
            "/identify": 1,
            "/detect": 1,
            "/embeddings": 1,
            "/verify": 2,
            "/enroll": settings.max_images,
        }
        self.memory = Memory(settings.body_memory)
        self.seconds = settings.body_seconds
        self.rate = settings.body_rate
        self._image = -(-settings.max_image_bytes * 4 // 3)  # base64 makes three bytes four

    def images_of(self, scope: Scope) -> int:
        """How many images a request may hold."""
        return self.images.get(scope["path"], 0) or self._elsewhere(scope)

    def most(self, images: int) -> int:
        """Bytes that a body with so many images may have."""
        return min(FIELDS + images * self._image, self.memory.most)

    def open(self, scope: Scope, receive: Receive) -> "Body":
        """The body of this request, not read yet. Raises BodyTooLarge and Overloaded where the
        head promises more than there is room for, so that nothing of it is read."""
        body = Body(self, self.most(self.images_of(scope)), receive)
        promised = promised_by(scope)
        body.check(promised)
        self.memory.require(promised)
        return body


class Body:
    """One request's body on its way in: an ASGI `receive` that keeps the limits."""

    def __init__(self, intake: Intake, most: int, receive: Receive) -> None:
        self._intake = intake
        self._most = most
        self._receive = receive
        self._came = 0
        self._waited = 0.0
        self._whole = False

    async def __call__(self) -> Message:
        """Raises BodyTooLarge, BodyTimeout, and Overloaded where all bodies together are too many.

        Only the time in which the caller is waited for counts. A body of n bytes has `seconds` +
        n / `rate`: whoever sends a byte now and then is cut off after little more than `seconds`.
        """
        if self._whole:
            return await self._receive()
        allowed = self._intake.seconds + self._came / self._intake.rate
        begin = perf_counter()
        try:
            async with asyncio.timeout(max(0.0, allowed - self._waited)):
                message = await self._receive()
        except TimeoutError:
            raise BodyTimeout(
                f"The body came too slowly: {self._came:,} bytes in {allowed:.0f} s. Send it at "
                f"{self._intake.rate:,} bytes a second at least."
            ) from None
        self._waited += perf_counter() - begin
        self._count(message)
        return message

    def check(self, total: int) -> None:
        """Raises BodyTooLarge where a body of `total` bytes is too large."""
        if total > self._most:
            raise BodyTooLarge(
                f"The body may have {self._most:,} bytes here. Send fewer or smaller images."
            )

    def close(self) -> None:
        """The request is done, and its body with it."""
        self._intake.memory.give_back(self._came)
        self._came = 0

    def _count(self, message: Message) -> None:
        if message["type"] != "http.request":
            return
        size = len(message.get("body", b""))
        self.check(self._came + size)
        self._intake.memory.take(size)
        self._came += size
        self._whole = not message.get("more_body", False)


def promised_by(scope: Scope) -> int:
    """Content-Length, 0 where there is none."""
    return next((int(v) for k, v in scope["headers"] if k == b"content-length" and v.isdigit()), 0)

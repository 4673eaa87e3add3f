"""The door: what happens to every request before and after its handler. Plain ASGI.

A request gets an id, is refused at once where its head is reason enough, its body is watched while
it streams, its time is taken, and it is dropped when its caller has gone.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final
from uuid import uuid4

import structlog
from fastapi import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import stages
from app.api.headers import protecting
from app.api.intake import Body, Intake, promised_by
from app.api.loopback import CrossSite, refuse_other_sites
from app.api.metrics import Requests
from app.api.problems import answer, fault
from app.errors import Overloaded, RollcallError

log = structlog.get_logger()

Refuse = Callable[[Request, RollcallError], Response]
"""How an error is said to whoever asked."""

# Bytes of an unread body that cost less than a new connection.
_READ_AWAY: Final = 16_000_000
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Asked every few seconds by machines, or by the dozen; their lines would drown the others.
_QUIET: Final = ("/healthz", "/readyz", "/metrics", "/console/{name}")


class Door:
    """Wraps the whole application.

    admit: raises Overloaded where an image would wait too long; asked before a body with images
    is read. keyless: answer to programs of this machine only, since nobody shows a key. refuse: how
    a request is told what is wrong with it before its handler sees it, or after that failed.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests: Requests,
        intake: Intake,
        admit: Callable[[], None],
        keyless: bool,
        refuse: Refuse = answer,
    ) -> None:
        self._app = app
        # Bound here, when logging stands: else every line would make a logger of its own.
        self._log = log.bind()
        self._requests = requests
        self._intake = intake
        self._admit = admit
        self._keyless = keyless
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["rollcall.request_id"] = request_id = _request_id(scope["headers"])
        visit = _Visit(scope, send, request_id)
        try:
            await self._serve(visit, scope, receive)
        finally:
            self._write_down(visit, scope, request_id)

    async def _serve(self, visit: "_Visit", scope: Scope, receive: Receive) -> None:
        try:
            body = self._let_in(scope, receive)
        except RollcallError as refusal:
            await self._turn_away(
                visit, scope, receive, refusal, close=not _can_go_on(scope, refusal)
            )
            return
        try:
            if await _while_here(self._app, scope, body, visit):
                self._requests.departed()
        except RollcallError as refusal:  # of its body: the application answers its own errors
            if not visit.begun:
                await self._turn_away(visit, scope, receive, refusal, close=True)
        except Exception as error:  # the last net: whatever it is, the caller hears 500
            response = fault(Request(scope), error, self._refuse)
            if not visit.begun:
                await response(scope, receive, visit.send)
        finally:
            body.close()

    def _let_in(self, scope: Scope, receive: Receive) -> Body:
        """The body, still unread. Raises what the head alone is refused for."""
        if self._keyless:
            refuse_other_sites(scope["headers"])
        if scope["method"] == "POST" and self._intake.images_of(scope):
            self._admit()
        return self._intake.open(scope, receive)

    async def _turn_away(
        self,
        visit: "_Visit",
        scope: Scope,
        receive: Receive,
        refusal: RollcallError,
        *,
        close: bool,
    ) -> None:
        response = self._refuse(Request(scope), refusal)
        if close:
            response.headers["Connection"] = "close"
        await response(scope, receive, visit.send)

    def _write_down(self, visit: "_Visit", scope: Scope, request_id: str) -> None:
        seconds = perf_counter() - visit.began
        # Where it was refused before it was routed, only a path that is known here is named.
        known = scope["path"] if scope["path"] in self._intake.images else "unknown"
        route = getattr(scope.get("route"), "path", None) or known
        self._requests.answered(scope["method"], route, visit.status, seconds)
        self._requests.spent(visit.stages)
        if route not in _QUIET:
            # The route and not the path: paths and queries hold names and ids.
            self._log.info(
                "request",
                method=scope["method"],
                route=route,
                status=visit.status,
                ms=round(seconds * 1e3, 1),
                request_id=request_id,
                **({"key": scope["rollcall.key"]} if "rollcall.key" in scope else {}),
            )


class _Visit:
    """One request on its way out: sees the status, adds id, timing and protection to the head."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.began = perf_counter()
        self.stages = stages.begin()
        self.status = 499  # what a caller who left before the answer is counted as
        self.begun = self.complete = False
        self._send = send
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            given = list(message.get("headers", ()))
            message["headers"] = [
                *given,
                *protecting(given),
                (b"x-request-id", self._request_id.encode()),
                (b"server-timing", self._timing().encode()),
            ]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)

    def _timing(self) -> str:
        total = perf_counter() - self.began
        parts = [*self.stages.seconds.items(), ("total", total)]
        return ", ".join(f"{name};dur={seconds * 1e3:.1f}" for name, seconds in parts)


def _can_go_on(scope: Scope, refusal: RollcallError) -> bool:
    """Whether the connection may serve on after a refusal that left the body unread.

    Callers who are to come again keep it, where the body has a known, moderate length: the parser
    then reads it away. A caller who waits for 100 Continue may or may not send it.
    """
    named = {name for name, _ in scope["headers"]}
    return (
        isinstance(refusal, Overloaded | CrossSite)
        and not named & {b"transfer-encoding", b"expect"}
        and promised_by(scope) <= _READ_AWAY
    )


async def _while_here(app: ASGIApp, scope: Scope, receive: Receive, visit: _Visit) -> bool:
    """Run `app` until it has answered or its caller has gone; true if it was dropped then."""
    inbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
    left = False

    async def pump() -> None:
        nonlocal left
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                if not visit.complete:
                    left = True
                    work.cancel()
                return
            await inbox.put(message)

    work = asyncio.ensure_future(app(scope, inbox.get, visit.send))
    pumping = asyncio.ensure_future(pump())
    # A body that is refused ends the work that was reading it.
    pumping.add_done_callback(lambda done: _fault_of(done) and work.cancel())
    try:
        await work
    except asyncio.CancelledError:
        fault_of_body = _fault_of(pumping)
        if fault_of_body is not None:
            raise fault_of_body from None
        if not left:
            raise
    finally:
        pumping.cancel()
        with contextlib.suppress(asyncio.CancelledError, RollcallError):
            await pumping
    return left


def _fault_of(pumping: "asyncio.Future[None]") -> BaseException | None:
    return pumping.exception() if pumping.done() and not pumping.cancelled() else None


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's own id where it is harmless, else a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    text = given.decode("ascii", errors="replace")
    return text if _GIVEN_ID.fullmatch(text) else uuid4().hex

"""Each signed request is answered once.

A signature has a date of whole seconds and no random part, and botocore signs neither the id of a
call nor the number of an attempt. So two honest calls that say the same within a second are signed
alike, and nothing that is signed tells the second from a copy of the first. What tells them apart
here is that a copy comes over another connection, or later:

- whatever comes again after YOUNG seconds, or as the same attempt of the same call, is refused;
- another call over the very connection that the first came over, as boto3 keeps them, is answered;
- one over another connection is asked to come again in the next second, when its client signs it
  anew. Clients do that by themselves, and a copy has nothing to sign with.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from fastapi import Request

from app.doors.rekognition.errors import Refused
from app.doors.rekognition.sigv4 import Claim
from app.store.database import Database
from app.usecases import keys

YOUNG: Final = 10.0
"""Seconds after its first use in which a signature may be that of another honest call: the second
that both were signed in, and what a busy machine may take to get here."""

_SECOND: Final = 1.0
_MOST_ATTEMPT: Final = 200

Connection = tuple[str, int]
"""Address and port of the other side."""


@dataclass(frozen=True, slots=True)
class _First:
    """When and over which connection a signature came first, and every attempt since."""

    at: float
    connection: Connection
    attempts: set[str] = field(default_factory=set)


class Replays:
    """What this process remembers of the last seconds, beside what PostgreSQL remembers."""

    def __init__(self) -> None:
        self._young: dict[bytes, _First] = {}

    async def refuse(self, database: Database, request: Request, claim: Claim) -> None:
        """Raises Refused where a request came before, and DatabaseUnavailable."""
        attempt, connection = attempt_of(request.headers), _connection(request)
        used = await keys.use_signature(database, claim.signature, attempt, claim.forget_at)
        if used is None:
            self._remember(claim.signature, connection, attempt)
            return
        if attempt is None or attempt == used.attempt or used.seconds > YOUNG:
            raise _again()
        first = self._young.get(claim.signature)
        if first is not None and connection == first.connection:
            if attempt in first.attempts:
                raise _again()
            first.attempts.add(attempt)
            return
        await asyncio.sleep(max(0.0, _SECOND - used.seconds))
        raise Refused(
            "ThrottlingException",
            "The same request, signed in the same second, was answered over another connection. "
            "Sign it anew.",
        )

    def _remember(
        self, signature: bytes, connection: Connection | None, attempt: str | None
    ) -> None:
        now = monotonic()
        while self._young:  # in the order in which they came
            oldest = next(iter(self._young))
            if self._young[oldest].at > now - YOUNG:
                break
            del self._young[oldest]
        if connection is not None and attempt is not None:
            self._young[signature] = _First(now, connection, {attempt})


def attempt_of(headers: Mapping[str, Any]) -> str | None:
    """What a client of AWS calls a request: the id of its call, and which attempt of it it is."""
    call = headers.get("amz-sdk-invocation-id")
    if call is None:
        return None
    return f"{call} {headers.get('amz-sdk-request', '')}"[:_MOST_ATTEMPT]


def _connection(request: Request) -> Connection | None:
    """Over which connection a request came, None where that is not known for sure: behind a proxy,
    or what says to be one."""
    if request.client is None or "x-forwarded-for" in request.headers:
        return None
    return request.client.host, request.client.port


def _again() -> Refused:
    return Refused(
        "InvalidSignatureException",
        "This signed request came before, and each is answered once. Sign it anew.",
    )

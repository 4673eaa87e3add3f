"""Who asks: a signature by one of our keys, good once, in place of the key itself.

The order is chosen so that little is done for strangers: the head is judged before the body is
read, the body is hashed before the signature is, and nothing is written before it is good.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from fastapi import Request

from app.api.guard import holding
from app.doors.rekognition import sigv4
from app.doors.rekognition.errors import Refused
from app.doors.rekognition.replays import Replays
from app.doors.rekognition.sigv4 import Claim
from app.doors.rekognition.visit import Visit
from app.errors import Unauthenticated
from app.store.keys import ApiKey
from app.types import Scope
from app.usecases.rooms import Rooms

_AT_ONCE: Final = 100_000
"""Bytes that are hashed in less than a millisecond."""


@asynccontextmanager
async def entering(
    request: Request, house: Rooms, replays: Replays, operation: str, scope: Scope
) -> AsyncIterator[tuple[Visit, bytes]]:
    """The visit and the body that came with it, for as long as the request is under way.

    Also where the service asks nobody for a key: who signs wants to be known. Raises Refused,
    ScopeMissing, RateLimited, ConcurrencyLimited, DatabaseUnavailable.
    """
    claim = sigv4.read(request.scope["headers"], datetime.now(UTC))
    if request.scope["query_string"]:
        raise Refused("InvalidSignatureException", "An address with a query is not signed.")
    try:
        await house.access.require_known(claim.key_id)
    except Unauthenticated:
        raise Refused(
            "UnrecognizedClientException",
            "The security token included in the request is invalid: there is no key of this id "
            "here, or it is at its end.",
        ) from None
    body = await request.body()
    key, body_hash = await _signer(house, request, claim, body)
    await replays.refuse(house.database, request, claim)
    async with holding(request, [scope], key) as caller:
        call = request.headers.get("amz-sdk-invocation-id")
        yield Visit(house, caller, claim.region, operation, call, body_hash), body


async def _signer(house: Rooms, request: Request, claim: Claim, body: bytes) -> tuple[ApiKey, str]:
    """The key that signed, and the hash of the body that it signed. Raises Refused."""
    if len(body) > _AT_ONCE:
        body_hash = (await asyncio.to_thread(sha256, body)).hexdigest()
    else:
        body_hash = sha256(body).hexdigest()
    if request.headers.get("x-amz-content-sha256", body_hash) != body_hash:
        raise Refused(
            "InvalidSignatureException",
            "X-Amz-Content-SHA256 is not the hash of the body that came.",
        )
    try:
        key = await house.access.find_signer(
            claim.key_id, lambda secret: claim.is_by(secret, body_hash)
        )
    except Unauthenticated:
        raise Refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your secret access key and signing method.",
        ) from None
    return key, body_hash

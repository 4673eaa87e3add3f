"""GET /audit: what was done, for those who run the service."""

import json
from typing import Annotated

from fastapi import APIRouter, Query

from app.api import schemas
from app.api.deps import House, Limit, RequestId, cursor_number
from app.api.fields import Cursor
from app.api.guard import Admin
from app.usecases import audit

router = APIRouter(tags=["access"])


@router.get("/audit", summary="The record of what was done")
async def get(
    _: Admin,
    house: House,
    request_id: RequestId,
    cursor: Annotated[Cursor, Query()] = "",
    limit: Limit = 100,
) -> schemas.AuditPage:
    """Newest first, in pages. What only looked is here within a second or two of its answer."""
    found = await audit.newest(house, cursor_number(cursor) or None, limit + 1)
    return schemas.AuditPage(
        records=[
            schemas.AuditRecord(
                sequence=link.sequence, digest=link.digest.hex(), record=json.loads(link.record)
            )
            for link in found[:limit]
        ],
        next_cursor=str(found[limit - 1].sequence) if len(found) > limit else None,
        request_id=request_id,
    )

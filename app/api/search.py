"""POST /search"""

from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from app.api import schemas
from app.api.body import Ask, BodyInvalid, body_of, documented
from app.api.deps import House, RequestId
from app.api.direct import Direct
from app.api.fields import CollectionName, Model
from app.api.guard import Identifier
from app.usecases.matching import Place
from app.usecases.search import Query, search

router = APIRouter(tags=["faces"], route_class=Direct)


class SearchAsk(Ask):
    embeddings: tuple[tuple[float, ...], ...] = Field(
        min_length=1, max_length=64, description="rows of equally many numbers; any length but zero"
    )
    model: Model
    collection: CollectionName = "default"
    person_ids: tuple[UUID, ...] | None = Field(
        None, min_length=1, max_length=10_000, description="offer only these persons"
    )
    top_k: int = Field(5, ge=1, le=100, description="most persons offered for an embedding")
    threshold: float | None = Field(None, ge=-1, le=1, description="the least similarity to offer")
    target_fpir: float | None = Field(
        None, gt=0, lt=1, description="offer somebody for this share of strangers at most"
    )
    min_revision: int = Field(0, ge=0, description="wait until the index has this revision")

    @model_validator(mode="after")
    def _one_aim(self) -> "SearchAsk":
        if self.threshold is not None and self.target_fpir is not None:
            raise ValueError("send threshold or target_fpir, not both")
        return self


@router.post(
    "/search",
    response_model=schemas.SearchAnswer,
    openapi_extra=documented(SearchAsk),
    summary="Who is this, by embeddings of your own?",
)
async def post(
    caller: Identifier,
    ask: Annotated[SearchAsk, Depends(body_of(SearchAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.SearchAnswer:
    """As /identify, for embeddings that were made elsewhere by the collection's model: for
    collections of a model of your own, and for whoever runs the recognizer at the camera."""
    if len({len(row) for row in ask.embeddings}) > 1:
        raise BodyInvalid("embeddings: all must have equally many numbers.")
    found = await search(
        house,
        caller,
        Query(
            embeddings=np.asarray(ask.embeddings, np.float64).astype(np.float32),
            model=ask.model,
            place=Place((ask.collection,), ask.person_ids, ask.min_revision),
            top_k=ask.top_k,
            threshold=ask.threshold,
            target_fpir=ask.target_fpir,
        ),
    )
    [searched] = found.collections
    return schemas.SearchAnswer(
        results=[
            schemas.SearchResult(identified=bool(each), candidates=schemas.Candidate.ranked(each))
            for each in found.matches
        ],
        threshold=found.threshold.value,
        threshold_source=found.threshold.source,
        gallery_size=searched.gallery_size,
        revision=searched.revision,
        details=found.details,
        model=ask.model,
        request_id=request_id,
    )

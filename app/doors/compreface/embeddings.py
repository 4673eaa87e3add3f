"""/api/v1/recognition/embeddings: who is this, by an embedding in place of a picture."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from app.api.body import body_of
from app.api.deps import House
from app.doors.compreface import errors, similarity
from app.doors.compreface.access import Identifier
from app.doors.compreface.asks import Loose
from app.doors.compreface.matches import word_of
from app.doors.compreface.routes import Route
from app.errors import BadRequest
from app.store.errors import CollectionNotFound
from app.usecases import browse
from app.usecases.matching import Place
from app.usecases.search import Query as Sought
from app.usecases.search import search

router = APIRouter(route_class=Route)


class Embeddings(Loose):
    embeddings: tuple[tuple[float, ...], ...] = Field(min_length=1, max_length=64)


@router.post("/recognition/embeddings/recognize")
async def recognize(
    guest: Identifier,
    ask: Annotated[Embeddings, Depends(body_of(Embeddings))],
    house: House,
    prediction_count: Annotated[int, Query(ge=1, le=100)] = 1,
) -> dict[str, Any]:
    """They are taken for embeddings of the collection's model: those of the plugin `calculator`."""
    if len({len(row) for row in ask.embeddings}) > 1:
        raise BadRequest("embeddings: all must have equally many numbers.")
    model = None
    try:
        home = await browse.collection(house, guest.caller, guest.collection)
        model = home.collection.model
    except CollectionNotFound:
        pass
    if model is None:  # a service that was never used knows nobody
        return {"result": [{"embedding": row, "similarities": []} for row in ask.embeddings]}
    scale = similarity.scale(house, model)
    found = await search(
        house,
        guest.caller,
        Sought(
            embeddings=np.asarray(ask.embeddings, np.float64).astype(np.float32),
            model=model,
            place=Place([guest.collection], None, 0),
            top_k=prediction_count,
            threshold=-1.0,
            target_fpir=None,
        ),
    )
    return {
        "result": [
            {
                "embedding": row,
                "similarities": [
                    {"subject": word_of(match), "similarity": scale(match.candidate.similarity)}
                    for match in matches
                ],
            }
            for row, matches in zip(ask.embeddings, found.matches, strict=True)
        ]
    }


@router.post("/recognition/embeddings/{rest:path}")
@router.post("/verification/embeddings/{rest:path}")
async def others() -> Response:
    return errors.say(
        "Embeddings are not verified here: nothing shows which model made both. Send pictures.",
        400,
        36,
    )

"""Who is this, by embeddings that the caller made: no picture, no detector, no pack."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.errors import BadRequest, Conflict
from app.store.audit import record_of
from app.types import Caller, Floats
from app.usecases.matching import (
    Match,
    Place,
    Searched,
    matches,
    model_of,
    persons_of,
    told,
    views_of,
)
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_identify


class EmbeddingInvalid(BadRequest):
    """Embeddings that are not rows of finite numbers, or not of the collection's dimension."""

    code = "embedding_invalid"


class ModelMismatch(Conflict):
    """Embeddings by another model than the collection's."""

    code = "model_mismatch"


@dataclass(frozen=True, slots=True)
class Query:
    """Embeddings float32[N, D] by `model`, of any length but zero, and where they are sought."""

    embeddings: Floats
    model: str
    place: Place
    top_k: int
    threshold: float | None
    target_fpir: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """For each embedding the persons at or above the threshold, best first."""

    matches: Sequence[list[Match]]
    threshold: Threshold
    collections: list[Searched]
    details: bool


async def search(rooms: Rooms, caller: Caller, query: Query) -> Found:
    """Raises CollectionNotFound, ModelsDiffer, ModelMismatch, EmbeddingInvalid, TargetUnsupported,
    and what is temporarily unavailable."""
    views = await views_of(rooms, caller, query.place)
    bound = model_of(views)
    if bound is not None and bound != query.model:
        raise ModelMismatch(
            f"The collection is bound to model {bound}, and embeddings of {query.model} cannot be "
            "compared with it.",
            model=bound,
        )
    vision = rooms.visions.get(query.model)
    threshold = for_identify(
        None if vision is None else vision.pack.calibration,
        rooms.settings,
        sum(view.size for view in views),
        threshold=query.threshold,
        target_fpir=query.target_fpir,
    )
    embeddings = _normalised(query.embeddings)
    for view in views:
        if view.dimension not in (None, embeddings.shape[1]):
            raise EmbeddingInvalid(
                f"Embeddings of '{view.name}' have {view.dimension} numbers, not "
                f"{embeddings.shape[1]}."
            )
    found = await rooms.sync.search(views, embeddings, query.top_k, threshold.value)
    known = await persons_of(rooms, {one.person_id for each in found for one in each})
    shown = [matches(candidates, views, known) for candidates in found]
    await rooms.journal.write(
        record_of(
            caller,
            "search",
            **told(views),
            model=query.model,
            threshold=threshold.value,
            faces=[[match.candidate.person_id for match in each] for each in shown],
        )
    )
    return Found(shown, threshold, [Searched.of(view) for view in views], known is not None)


def _normalised(embeddings: Floats) -> Floats:
    """Each divided by its length, in float64. Raises EmbeddingInvalid."""
    rows = embeddings.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise EmbeddingInvalid("An embedding holds a number that is not finite, or only zeros.")
    unit: Floats = (rows / lengths).astype(np.float32)
    return unit

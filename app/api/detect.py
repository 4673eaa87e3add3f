"""POST /detect and /embeddings"""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, RequestId
from app.api.direct import Direct
from app.api.fields import ImageBytes
from app.api.guard import Embedder, Identifier
from app.usecases.detect import detect, embed

router = APIRouter(tags=["faces"], route_class=Direct)


class DetectAsk(Ask):
    image: ImageBytes


@router.post(
    "/detect",
    response_model=schemas.DetectAnswer,
    openapi_extra=documented(DetectAsk),
    summary="Which faces are in a picture?",
)
async def post(
    caller: Identifier,
    ask: Annotated[DetectAsk, Depends(body_of(DetectAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.DetectAnswer:
    """Faces with boxes, landmarks, scores and quality, largest first. Nothing is stored."""
    found = await detect(house, caller, ask.image)
    return schemas.DetectAnswer(
        faces=[schemas.Face.of(face) for face in found.faces],
        model=found.model,
        request_id=request_id,
    )


@router.post(
    "/embeddings",
    response_model=schemas.EmbeddingsAnswer,
    openapi_extra=documented(DetectAsk),
    summary="The embeddings of the faces in a picture",
)
async def post_embeddings(
    caller: Embedder,
    ask: Annotated[DetectAsk, Depends(body_of(DetectAsk))],
    house: House,
    request_id: RequestId,
) -> schemas.EmbeddingsAnswer:
    """Faces as in /detect, each with its embedding: as good as a picture to whoever has the model,
    so it has a scope of its own. Nothing is stored."""
    found = await embed(house, caller, ask.image)
    return schemas.EmbeddingsAnswer(
        faces=[
            schemas.EmbeddedFace(
                embedding=vector.tolist(), **schemas.Face.fields_of(face, face.quality)
            )
            for face, vector in zip(found.faces, found.embeddings, strict=True)
        ],
        model=found.model,
        request_id=request_id,
    )

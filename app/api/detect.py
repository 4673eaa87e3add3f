"""POST /detect"""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.api import schemas
from app.api.body import Ask, body_of, documented
from app.api.deps import House, RequestId
from app.api.fields import ImageBytes
from app.usecases.detect import detect

router = APIRouter(tags=["faces"])


class DetectAsk(Ask):
    image: ImageBytes


@router.post(
    "/detect",
    response_model=schemas.DetectAnswer,
    openapi_extra=documented(DetectAsk),
    summary="Which faces are in a picture?",
)
async def post(
    ask: Annotated[DetectAsk, Depends(body_of(DetectAsk))], house: House, request_id: RequestId
) -> schemas.DetectAnswer:
    """Faces with boxes, landmarks, scores and quality, largest first. Nothing is stored."""
    found = await detect(house, ask.image)
    return schemas.DetectAnswer(
        faces=[schemas.Face.of(face) for face in found.faces],
        model=found.model,
        request_id=request_id,
    )

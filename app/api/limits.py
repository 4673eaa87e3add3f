"""GET /limits: what images and enrolments may be here."""

from fastapi import APIRouter

from app.api import schemas
from app.api.deps import House, RequestId
from app.api.guard import Anyone

router = APIRouter(tags=["service"])


@router.get("/limits", summary="What may images and enrolments be here?")
async def get(_: Anyone, house: House, request_id: RequestId) -> schemas.LimitsAnswer:
    """The settings that decide what is refused, so that a program can tell before it sends."""
    settings = house.settings
    return schemas.LimitsAnswer(
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_images=settings.max_images,
        quality=schemas.QualityLimits(**settings.quality.model_dump()),
        require_consent=settings.require_consent,
        keep_crops=settings.keep_crops,
        request_id=request_id,
    )

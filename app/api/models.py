"""GET /models and the cards of their packs."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api import schemas
from app.api.deps import House, RequestId
from app.api.guard import Reader
from app.usecases.cards import card_of
from app.vision.faces import Vision

router = APIRouter(tags=["service"])


@router.get("/models", summary="The packs at work")
async def get(_: Reader, house: House, request_id: RequestId) -> schemas.ModelsAnswer:
    """Packs with the licences of their weights, their calibration, and the providers in use."""
    return schemas.ModelsAnswer(
        arrangement=schemas.Arrangement(**house.arranged.facts()),
        models=[_model(vision, vision is house.default) for vision in house.visions.values()],
        request_id=request_id,
    )


@router.get(
    "/models/{model}/card",
    summary="The model card of a pack at work",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
async def get_card(
    _: Reader, model: Annotated[str, Path(pattern="^[0-9a-f]{16}$")], house: House
) -> Response:
    """What the pack says of itself: data, terms, figures, limits. Markdown."""
    return Response(await card_of(house, model), media_type="text/markdown")


def _model(vision: Vision, default: bool) -> schemas.Model:
    pack = vision.pack
    return schemas.Model(
        pack=pack.name,
        version=pack.version,
        model=vision.model,
        dimension=vision.dimension,
        default=default,
        licence=pack.licence,
        detector=pack.detector.kind,
        detector_licence=pack.detector.licence,
        recognizer_licence=pack.recognizer.licence,
        providers=list(vision.providers),
        calibration=_calibration(vision),
    )


def _calibration(vision: Vision) -> schemas.CalibrationSummary | None:
    calibration = vision.pack.calibration
    if calibration is None:
        return None
    return schemas.CalibrationSummary(
        data=calibration.data,
        subjects=calibration.subjects,
        fmr=[
            schemas.FmrRow(
                fmr=row.fmr, threshold=row.threshold, pairs=row.pairs, interval=row.interval
            )
            for row in calibration.fmr
        ],
        mated=schemas.Mated(
            pairs=calibration.mated.pairs,
            fnmr=[
                schemas.FnmrRow(threshold=row.threshold, fnmr=row.fnmr)
                for row in calibration.mated.fnmr
            ],
        ),
        min_fpir=calibration.fpir.min_fpir,
        max_fpir=calibration.fpir.max_fpir,
        max_gallery_size=calibration.fpir.max_size,
    )

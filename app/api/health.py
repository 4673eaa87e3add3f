"""GET /healthz, /readyz and /metrics: for those who run the service."""

from copy import deepcopy

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api import schemas
from app.api.deps import House
from app.api.guard import Watcher
from app.api.problems import RESPONSES

router = APIRouter(tags=["service"])


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> schemas.Health:
    """Answers as long as the event loop turns, whatever else is wrong."""
    return schemas.Health(status="ok")


@router.get(
    "/readyz",
    summary="Can it serve?",
    responses={503: {**deepcopy(RESPONSES[503]), "model": schemas.Readiness}},
)
async def readyz(request: Request, response: Response, house: House) -> schemas.Readiness:
    """503 until migrations are in, the models are warm and the index has caught up once."""
    waiting_for = []
    if not request.app.state.warm:
        waiting_for.append("model")
    if not house.sync.loaded:
        waiting_for.append("index")
    if waiting_for:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return schemas.Readiness(ready=not waiting_for, waiting_for=waiting_for)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(_: Watcher, request: Request) -> Response:
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)

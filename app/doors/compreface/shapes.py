"""Faces as CompreFace describes them."""

from collections.abc import Mapping
from typing import Any, Final

from app.doors.compreface.asks import Wanted
from app.stages import current
from app.types import Detection, Face, Floats, Quality
from app.usecases.rooms import Rooms

# Its plugins by our stages.
_STAGES: Final = {"detector": "detect", "calculator": "embed"}


def face(
    found: Detection | Face, quality: Quality, wanted: Wanted, vector: Floats | None
) -> dict[str, Any]:
    """Box and what the plugins say; plugins that are not here (age, gender, mask) say nothing.

    `vector` is float32[D], None where it was not asked for.
    """
    shape: dict[str, Any] = {"box": _box(found)}
    if "landmarks" in wanted.plugins:
        shape["landmarks"] = [[round(float(x)), round(float(y))] for x, y in found.landmarks]
    if "pose" in wanted.plugins:
        shape["pose"] = {"pitch": quality.pitch, "roll": quality.roll, "yaw": quality.yaw}
    if vector is not None:
        shape["embedding"] = vector.tolist()
    if wanted.status:
        shape["execution_time"] = _times()
    return shape


def about(rooms: Rooms, model: str, wanted: Wanted) -> dict[str, Any]:
    """What stands beside the faces, where the caller wants to know of the service."""
    if not wanted.status:
        return {}
    pack = rooms.vision_for(model).pack
    versions = {"calculator": f"{pack.name}.{model}", "detector": f"{pack.name}.{pack.version}"}
    return {"plugins_versions": versions}


def _box(found: Detection | Face) -> dict[str, Any]:
    box = found.box
    return {
        "probability": round(found.score, 5),
        "x_min": round(box.x),
        "y_min": round(box.y),
        "x_max": round(box.x + box.width),
        "y_max": round(box.y + box.height),
    }


def _times() -> Mapping[str, float]:
    """Milliseconds, of the whole request so far."""
    seconds = current().seconds
    return {
        plugin: round(seconds[stage] * 1e3, 1)
        for plugin, stage in _STAGES.items()
        if stage in seconds
    }

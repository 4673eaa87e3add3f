"""DetectFaces and CompareFaces: what pictures show, with nothing stored."""

from app.doors.rekognition import asks
from app.doors.rekognition.quality import bar_of_probe
from app.doors.rekognition.shapes import bounding_box, compared, confidence
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.usecases.detect import detect
from app.usecases.likeness import Looking, compare_images


async def detect_faces(visit: Visit, ask: asks.DetectFaces) -> Answer:
    found = await detect(visit.house, visit.caller, ask.image.picture())
    return {"FaceDetails": [compared(face) for face in found.faces[: asks.MOST_FACES]]}


async def compare_faces(visit: Visit, ask: asks.CompareFaces) -> Answer:
    house = visit.house
    found = await compare_images(
        house,
        visit.caller,
        ask.source_image.picture(),
        ask.target_image.picture(),
        Looking(whole=True),
        source_face="largest",
        limits=bar_of_probe(ask.quality_filter, house.settings.quality),
    )
    source = found.source
    if source is None:
        raise AssertionError("two images were compared")
    scale = visit.scale(house.default)
    targets = found.likenesses[: asks.MOST_FACES]
    least = asks.least(ask.similarity_threshold)
    matches = [one for one in targets if scale.percent(one.similarity) >= least]
    matches.sort(key=lambda one: -one.similarity)
    return {
        "SourceImageFace": {
            "Confidence": confidence(source.score),
            **(
                {}
                if source.frame is None
                else {"BoundingBox": bounding_box(source.box, source.frame)}
            ),
        },
        "FaceMatches": [
            {"Similarity": scale.told(one.similarity), "Face": compared(one.face)}
            for one in matches
        ],
        "UnmatchedFaces": [
            compared(one.face) for one in targets if scale.percent(one.similarity) < least
        ],
    }

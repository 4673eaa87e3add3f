"""DetectFaces and CompareFaces: what pictures show, with nothing stored."""

from app.doors.rekognition import asks
from app.doors.rekognition.quality import bar_of_probe
from app.doors.rekognition.shapes import bounding_box, compared, confidence
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.usecases.compare import compare
from app.usecases.detect import detect


async def detect_faces(visit: Visit, ask: asks.DetectFaces) -> Answer:
    found = await detect(visit.house, visit.caller, ask.image.picture())
    return {"FaceDetails": [compared(face) for face in found.faces[: asks.MOST_FACES]]}


async def compare_faces(visit: Visit, ask: asks.CompareFaces) -> Answer:
    house = visit.house
    found = await compare(
        house,
        visit.caller,
        ask.source_image.picture(),
        ask.target_image.picture(),
        bar_of_probe(ask.quality_filter, house.settings.quality),
    )
    scale = visit.scale(house.default)
    targets = found.targets[: asks.MOST_FACES]
    least = asks.least(ask.similarity_threshold)
    matches = [each for each in targets if scale.percent(each[1]) >= least]
    matches.sort(key=lambda each: -each[1])
    source = found.source
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
            {"Similarity": scale.told(cosine), "Face": compared(face)} for face, cosine in matches
        ],
        "UnmatchedFaces": [
            compared(face) for face, cosine in targets if scale.percent(cosine) < least
        ],
    }

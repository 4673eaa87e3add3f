"""What answers look like. Similarities leave here with four decimals, and only here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, PlainSerializer

from app import types
from app.gallery.checksum import Checksum
from app.gallery.comparison import Faces
from app.store.collections import Census
from app.store.faces import EnrolledFace
from app.store.keys import ApiKey
from app.sync.audit import Audit
from app.usecases.erase import Erased
from app.usecases.matching import Match
from app.usecases.move import Moved
from app.usecases.thresholds import Source

Rounded = Annotated[float, PlainSerializer(lambda value: round(value, 4), return_type=float)]
Measured = Annotated[float, PlainSerializer(lambda value: round(value, 2), return_type=float)]
Point = tuple[Measured, Measured]


class BoundingBox(BaseModel):
    """Pixels of the upright picture; x and y are the upper left corner."""

    x: Measured
    y: Measured
    width: Measured
    height: Measured


class Landmarks(BaseModel):
    """Pixels of the upright picture; left means left in the picture."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Quality(BaseModel):
    """face_size in pixels; sharpness higher is sharper; brightness 0 to 1; angles in degrees."""

    face_size: Measured
    sharpness: Measured
    brightness: Measured
    yaw: Measured
    pitch: Measured
    roll: Measured
    detection_score: Rounded


class Face(BaseModel):
    bounding_box: BoundingBox
    landmarks: Landmarks
    detection_score: Rounded
    quality: Quality

    @classmethod
    def fields_of(cls, detection: types.Detection | types.Face, quality: types.Quality) -> Any:
        box = detection.box
        return {
            "bounding_box": BoundingBox(x=box.x, y=box.y, width=box.width, height=box.height),
            "landmarks": Landmarks(
                **{
                    name: (float(x), float(y))
                    for name, (x, y) in zip(types.LANDMARKS, detection.landmarks, strict=True)
                }
            ),
            "detection_score": detection.score,
            "quality": Quality(
                face_size=quality.size,
                sharpness=quality.sharpness,
                brightness=quality.brightness,
                yaw=quality.yaw,
                pitch=quality.pitch,
                roll=quality.roll,
                detection_score=quality.detection_score,
            ),
        }

    @classmethod
    def of(cls, face: types.Face) -> "Face":
        return cls(**cls.fields_of(face, face.quality))


class KeptFace(Face):
    """An enrolled face. `reference` is your own word for the image that it came from."""

    id: UUID
    reference: str | None

    @classmethod
    def kept(cls, face: EnrolledFace) -> "KeptFace":
        return cls(
            id=face.id, reference=face.reference, **cls.fields_of(face.detection, face.quality)
        )


class OwnedFace(KeptFace):
    """An enrolled face, and whose it is."""

    person_id: UUID

    @classmethod
    def owned(cls, face: EnrolledFace) -> "OwnedFace":
        return cls(
            id=face.id,
            person_id=face.person_id,
            reference=face.reference,
            **cls.fields_of(face.detection, face.quality),
        )


class EnrolledImageFace(KeptFace):
    """A face that was just enrolled, and the image it came from, counted from 0."""

    image_index: int


class Person(BaseModel):
    """`consent` is your reference to it; after `expires_at` the person is erased."""

    id: UUID
    name: str | None
    external_id: str | None
    metadata: Mapping[str, Any]
    consent: str | None
    expires_at: datetime | None
    face_count: int

    @classmethod
    def of(cls, person: types.Person) -> "Person":
        return cls(
            id=person.id,
            name=person.name,
            external_id=person.external_id,
            metadata=person.metadata,
            consent=person.consent,
            expires_at=person.expires_at,
            face_count=person.face_count,
        )


class PersonInCollection(Person):
    collection: str

    @classmethod
    def placed(cls, person: types.Person) -> "PersonInCollection":
        return cls(collection=person.collection, **Person.of(person).model_dump())


class RejectedImage(BaseModel):
    image_index: int
    reasons: list[str]
    detail: str


class Duplicate(BaseModel):
    """Another person of the collection who is as similar as a match."""

    person_id: UUID
    similarity: Rounded


class EnrollAnswer(BaseModel):
    person: Person
    faces: list[EnrolledImageFace]
    rejected: list[RejectedImage]
    duplicates: list[Duplicate]
    model: str
    revision: int
    request_id: str


class EmbeddedFace(Face):
    """`embedding` has length one, in the numbers of the model named beside it."""

    embedding: list[float]


class EmbeddingsAnswer(BaseModel):
    faces: list[EmbeddedFace]
    model: str
    request_id: str


class DetectAnswer(BaseModel):
    faces: list[Face]
    model: str
    request_id: str


class VerifyAnswer(BaseModel):
    """`fmr` is how often two different people score at or above the threshold, `similarity_fmr`
    how often they score as high as these two, if known. Above all that was measured both are the
    least rate that was, and so an upper bound.

    `target_face` is null and `matched_face_id` set where an enrolled person was compared.
    """

    verified: bool
    similarity: Rounded
    threshold: float
    threshold_source: Source
    fmr: float | None
    similarity_fmr: float | None
    source_face: Face
    target_face: Face | None
    matched_face_id: UUID | None
    model: str
    request_id: str


class CandidatePerson(BaseModel):
    """Only the id while PostgreSQL cannot be asked for the rest."""

    id: UUID
    name: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, match: Match) -> "CandidatePerson":
        if match.person is None:
            return cls(id=match.candidate.person_id)
        person = match.person
        return cls(
            id=person.id,
            name=person.name,
            external_id=person.external_id,
            metadata=person.metadata,
        )


class Candidate(BaseModel):
    rank: int
    similarity: Rounded
    collection: str
    person: CandidatePerson
    face_id: UUID

    @classmethod
    def ranked(cls, matches: Sequence[Match]) -> "list[Candidate]":
        return [
            cls(
                rank=rank,
                similarity=match.candidate.similarity,
                collection=match.collection,
                person=CandidatePerson.of(match),
                face_id=match.candidate.face_id,
            )
            for rank, match in enumerate(matches, 1)
        ]


class IdentifiedFace(Face):
    identified: bool
    candidates: list[Candidate]


class SearchedCollection(BaseModel):
    """`gallery_size` counts the templates that were searched, `revision` says of when."""

    name: str
    revision: int
    gallery_size: int


class IdentifyAnswer(BaseModel):
    """`gallery_size` counts the templates of all collections that were searched; `revision` is
    null where they were several. `details` is false while names could not be read."""

    faces: list[IdentifiedFace]
    threshold: float
    threshold_source: Source
    gallery_size: int
    revision: int | None
    collections: list[SearchedCollection]
    details: bool
    model: str
    request_id: str


class SearchResult(BaseModel):
    identified: bool
    candidates: list[Candidate]


class SearchAnswer(BaseModel):
    """`results` are as many as embeddings, in their order."""

    results: list[SearchResult]
    threshold: float
    threshold_source: Source
    gallery_size: int
    revision: int
    details: bool
    model: str
    request_id: str


class Collection(BaseModel):
    """`model` is null until the first enrolment binds one."""

    name: str
    person_count: int
    face_count: int
    model: str | None
    revision: int
    created_at: datetime

    @classmethod
    def of(cls, census: Census) -> "Collection":
        collection = census.collection
        return cls(
            name=collection.name,
            person_count=census.persons,
            face_count=census.faces,
            model=collection.model,
            revision=collection.position.revision,
            created_at=collection.created_at,
        )


class CollectionPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    collections: list[Collection]
    next_cursor: str | None
    request_id: str


class CollectionAnswer(Collection):
    request_id: str


class PersonPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    persons: list[Person]
    next_cursor: str | None
    request_id: str


class PersonAnswer(PersonInCollection):
    request_id: str


class FacesAnswer(BaseModel):
    faces: list[KeptFace]
    request_id: str


class FaceAnswer(OwnedFace):
    collection: str
    request_id: str


class FacePage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    faces: list[OwnedFace]
    next_cursor: str | None
    request_id: str


class MovedAnswer(BaseModel):
    """The person as it is now, the faces that came to it, and how many persons went for that."""

    person: PersonInCollection
    face_ids: list[UUID]
    merged: int
    revision: int
    request_id: str

    @classmethod
    def of(cls, moved: Moved, request_id: str) -> "MovedAnswer":
        return cls(
            person=PersonInCollection.placed(moved.person),
            face_ids=list(moved.face_ids),
            merged=moved.merged,
            revision=moved.revision,
            request_id=request_id,
        )


class ImportAnswer(BaseModel):
    """What was new, and the collection's revision."""

    persons: int
    faces: int
    revision: int
    request_id: str


class ErasedAnswer(BaseModel):
    """What went. `revision` is null where the collection itself did."""

    collection: str
    persons: int
    faces: int
    revision: int | None
    request_id: str

    @classmethod
    def of(cls, erased: Erased, request_id: str) -> "ErasedAnswer":
        return cls(
            collection=erased.collection,
            persons=erased.persons,
            faces=erased.faces,
            revision=erased.revision,
            request_id=request_id,
        )


class Side(BaseModel):
    """How many templates, and a checksum of them that no order changes."""

    templates: int
    checksum: str

    @classmethod
    def of(cls, checksum: Checksum) -> "Side":
        return cls(templates=checksum.count, checksum=checksum.hex())


class NamedFaces(BaseModel):
    """How many faces, and the first hundred of them by name."""

    count: int
    face_ids: list[UUID]

    @classmethod
    def of(cls, faces: Faces) -> "NamedFaces":
        return cls(count=faces.count, face_ids=list(faces.ids))


class AuditAnswer(BaseModel):
    """`missing` faces are not in the index, `extra` ones are in it alone, `different` ones are in
    both, but of another person or with another vector."""

    collection: str
    model: str | None
    revision: int
    digest: str
    equal: bool
    index: Side
    database: Side
    missing: NamedFaces
    extra: NamedFaces
    different: NamedFaces
    request_id: str

    @classmethod
    def of(cls, audit: Audit, request_id: str) -> "AuditAnswer":
        collection, found = audit.collection, audit.differences
        return cls(
            collection=collection.name,
            model=collection.model,
            revision=collection.position.revision,
            digest=collection.position.digest.hex(),
            equal=audit.equal,
            index=Side.of(audit.index),
            database=Side.of(audit.database),
            missing=NamedFaces.of(found.missing),
            extra=NamedFaces.of(found.extra),
            different=NamedFaces.of(found.different),
            request_id=request_id,
        )


class FmrRow(BaseModel):
    fmr: float
    threshold: float
    pairs: int
    interval: tuple[float, float]


class FnmrRow(BaseModel):
    threshold: float
    fnmr: float


class Mated(BaseModel):
    """Pairs of pictures of one person, and the share of them below each threshold."""

    pairs: int
    fnmr: list[FnmrRow]


class CalibrationSummary(BaseModel):
    """What the calibration can vouch for."""

    data: str
    subjects: int
    fmr: list[FmrRow]
    mated: Mated
    min_fpir: float
    max_fpir: float
    max_gallery_size: int


class Model(BaseModel):
    """A pack at work."""

    pack: str
    version: str
    model: str
    dimension: int
    default: bool
    licence: str
    detector: str
    detector_licence: str
    recognizer_licence: str
    providers: list[str]
    calibration: CalibrationSummary | None


class Arrangement(BaseModel):
    """How the work is laid on this machine: pictures worked on at a time, threads that search one
    gallery together, requests that share a run of the recognizer, and the size of a gallery, in
    numbers, up to which it is searched without a hand-over to another thread."""

    vision_threads: int
    search_threads: int
    embed_batch: int
    search_at_once: int


class ModelsAnswer(BaseModel):
    models: list[Model]
    arrangement: Arrangement
    request_id: str


class TargetRow(BaseModel):
    target_fpir: float
    threshold: float


class DefaultThreshold(BaseModel):
    """What POST /identify uses where nothing is asked for. `target_fpir` is null where the pack
    has no calibration."""

    threshold: float
    target_fpir: float | None


class ThresholdsAnswer(BaseModel):
    """`targets` is empty where the calibration cannot speak of a gallery of this size, or the pack
    has none."""

    collection: str
    gallery_size: int
    revision: int
    model: str
    default: DefaultThreshold
    targets: list[TargetRow]
    request_id: str


class QualityLimits(BaseModel):
    """The least a face must be to be enrolled; the measures are those of a face's quality."""

    min_face_size: float
    min_detection_score: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    max_pitch: float
    max_roll: float


class LimitsAnswer(BaseModel):
    """What images and enrolments may be here. `keep_crops`: crops of enrolled faces are kept."""

    max_image_bytes: int
    max_image_pixels: int
    max_images: int
    quality: QualityLimits
    require_consent: bool
    keep_crops: bool
    request_id: str


class Key(BaseModel):
    """An API key, without its text. `collections` null means all, a limit null means none."""

    id: str
    name: str
    scopes: list[types.Scope]
    collections: list[str] | None
    requests_a_minute: int | None
    concurrency: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def fields_of(cls, key: ApiKey) -> Any:
        return {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "collections": None if key.collections is None else sorted(key.collections),
            "requests_a_minute": key.requests_a_minute,
            "concurrency": key.concurrency,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "last_used_at": key.last_used_at,
        }


class KeyAnswer(Key):
    request_id: str


class CallerAnswer(BaseModel):
    """Who asks. `id` is null where no key was shown and none is needed; `collections` null means
    all."""

    id: str | None
    scopes: list[types.Scope]
    collections: list[str] | None
    request_id: str


class NewKeyAnswer(KeyAnswer):
    """`secret` is what callers send. It is shown this once and kept nowhere."""

    secret: str


class KeyPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    keys: list[Key]
    next_cursor: str | None
    request_id: str


class AuditRecord(BaseModel):
    """`digest` is chained over this record and all before it."""

    sequence: int
    digest: str
    record: Mapping[str, Any]


class AuditPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    records: list[AuditRecord]
    next_cursor: str | None
    request_id: str


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    ready: bool
    waiting_for: list[str]

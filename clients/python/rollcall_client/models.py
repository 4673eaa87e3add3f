"""What the service answers, in its own names (`clients/openapi.json`).

A field that is not known here is passed over, so that a newer service can be asked; one that is
missing is an UnexpectedAnswer. Words with a fixed set of values, such as scopes, are plain text for
the same reason.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, SecretStr

Point = tuple[float, float]


class Answered(BaseModel):
    """The base of all that is answered."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class BoundingBox(Answered):
    """Pixels of the upright picture; x and y are the upper left corner."""

    x: float
    y: float
    width: float
    height: float


class Landmarks(Answered):
    """Pixels of the upright picture; left means left in the picture."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Quality(Answered):
    """face_size in pixels; sharpness higher is sharper; brightness 0 to 1; angles in degrees."""

    face_size: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float
    detection_score: float


class Face(Answered):
    """A detected face."""

    bounding_box: BoundingBox
    landmarks: Landmarks
    detection_score: float
    quality: Quality


class KeptFace(Face):
    """An enrolled face. `reference` is your own word for the image that it came from."""

    id: UUID
    reference: str | None


class OwnedFace(KeptFace):
    """An enrolled face, and whose it is."""

    person_id: UUID


class FaceAnswer(OwnedFace):
    """An enrolled face, whose it is, and where."""

    collection: str
    request_id: str


class FacePage(Answered):
    faces: list[OwnedFace]
    next_cursor: str | None
    request_id: str


class EnrolledImageFace(KeptFace):
    """A face that was just enrolled, and the image it came from, counted from 0."""

    image_index: int


class Person(Answered):
    """`consent` is your reference to it; after `expires_at` the person is erased."""

    id: UUID
    name: str | None
    external_id: str | None
    metadata: dict[str, Any]
    consent: str | None
    expires_at: datetime | None
    face_count: int


class PersonInCollection(Person):
    """A person, and where."""

    collection: str


class PersonAnswer(PersonInCollection):
    request_id: str


class PersonPage(Answered):
    persons: list[Person]
    next_cursor: str | None
    request_id: str


class RejectedImage(Answered):
    """An image that was not enrolled, counted from 0, and why: codes and a sentence."""

    image_index: int
    reasons: list[str]
    detail: str


class Duplicate(Answered):
    """Another person of the collection who is as similar as a match."""

    person_id: UUID
    similarity: float


class EnrollAnswer(Answered):
    """The person, the faces that are enrolled now, and the images that could not be used."""

    person: Person
    faces: list[EnrolledImageFace]
    rejected: list[RejectedImage]
    duplicates: list[Duplicate]
    model: str
    revision: int
    request_id: str


class DetectAnswer(Answered):
    faces: list[Face]
    model: str
    request_id: str


class EmbeddedFace(Face):
    """`embedding` has length one, in the numbers of the model named beside it."""

    embedding: list[float]


class EmbeddingsAnswer(Answered):
    faces: list[EmbeddedFace]
    model: str
    request_id: str


class VerifyAnswer(Answered):
    """`fmr` is how often two different people score at or above the threshold, `similarity_fmr`
    how often they score as high as these two, if known; above all that was measured both are upper
    bounds.

    `target_face` is None and `matched_face_id` set where an enrolled person was compared.
    """

    verified: bool
    similarity: float
    threshold: float
    threshold_source: str
    fmr: float | None
    similarity_fmr: float | None
    source_face: Face
    target_face: Face | None
    matched_face_id: UUID | None
    model: str
    request_id: str


class CandidatePerson(Answered):
    """Only the id while the service cannot ask its database for the rest."""

    id: UUID
    name: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] | None = None


class Candidate(Answered):
    """A person who may be meant, by their best face; rank 1 is the most similar."""

    rank: int
    similarity: float
    collection: str
    person: CandidatePerson
    face_id: UUID


class IdentifiedFace(Face):
    """`identified` is whether there is any candidate at or above the threshold."""

    identified: bool
    candidates: list[Candidate]


class SearchedCollection(Answered):
    """`gallery_size` counts the templates that were searched, `revision` says of when."""

    name: str
    revision: int
    gallery_size: int


class IdentifyAnswer(Answered):
    """`revision` is None where several collections were searched; `details` is false while names
    could not be read."""

    faces: list[IdentifiedFace]
    threshold: float
    threshold_source: str
    gallery_size: int
    revision: int | None
    collections: list[SearchedCollection]
    details: bool
    model: str
    request_id: str


class SearchResult(Answered):
    """What one embedding found."""

    identified: bool
    candidates: list[Candidate]


class SearchAnswer(Answered):
    """`results` are as many as embeddings, in their order."""

    results: list[SearchResult]
    threshold: float
    threshold_source: str
    gallery_size: int
    revision: int
    details: bool
    model: str
    request_id: str


class ImportAnswer(Answered):
    """What was new, and the collection's revision."""

    persons: int
    faces: int
    revision: int
    request_id: str


class TargetRow(Answered):
    target_fpir: float
    threshold: float


class DefaultThreshold(Answered):
    """What a search uses where nothing is asked for; without a calibration no `target_fpir`."""

    threshold: float
    target_fpir: float | None


class ThresholdsAnswer(Answered):
    """`targets` is empty where the calibration cannot speak of a gallery of this size, or the pack
    has none."""

    collection: str
    gallery_size: int
    revision: int
    model: str
    default: DefaultThreshold
    targets: list[TargetRow]
    request_id: str


class Collection(Answered):
    """`model` is None until the first enrolment binds one."""

    name: str
    person_count: int
    face_count: int
    model: str | None
    revision: int
    created_at: datetime


class CollectionAnswer(Collection):
    request_id: str


class CollectionPage(Answered):
    collections: list[Collection]
    next_cursor: str | None
    request_id: str


class FacesAnswer(Answered):
    faces: list[KeptFace]
    request_id: str


class MovedAnswer(Answered):
    """The person as it is now, the faces that came to it, and how many persons went for that."""

    person: PersonInCollection
    face_ids: list[UUID]
    merged: int
    revision: int
    request_id: str


class ErasedAnswer(Answered):
    """What went. `revision` is None where the collection itself did."""

    collection: str
    persons: int
    faces: int
    revision: int | None
    request_id: str


class Side(Answered):
    """How many templates, and a checksum of them that no order changes."""

    templates: int
    checksum: str


class NamedFaces(Answered):
    """How many faces, and the first hundred of them by name."""

    count: int
    face_ids: list[UUID]


class AuditAnswer(Answered):
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


class FmrRow(Answered):
    """The threshold for a false match rate, from so many pairs, with its 95 % interval."""

    fmr: float
    threshold: float
    pairs: int
    interval: tuple[float, float]


class FnmrRow(Answered):
    threshold: float
    fnmr: float


class Mated(Answered):
    """Pairs of pictures of one person, and the share of them below each threshold."""

    pairs: int
    fnmr: list[FnmrRow]


class CalibrationSummary(Answered):
    """What a calibration can vouch for."""

    data: str
    subjects: int
    fmr: list[FmrRow]
    mated: Mated
    min_fpir: float
    max_fpir: float
    max_gallery_size: int


class Model(Answered):
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


class Arrangement(Answered):
    """How the work is laid on the service's machine."""

    vision_workers: int
    search_threads: int
    embed_batch: int
    search_at_once: int


class ModelsAnswer(Answered):
    models: list[Model]
    arrangement: Arrangement
    request_id: str


class QualityLimits(Answered):
    """The least a face must be to be enrolled; the measures are those of a face's quality."""

    min_face_size: float
    min_detection_score: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    max_pitch: float
    max_roll: float


class LimitsAnswer(Answered):
    """What images and enrolments may be. `keep_crops`: crops of enrolled faces are kept."""

    max_image_bytes: int
    max_image_pixels: int
    max_images: int
    quality: QualityLimits
    require_consent: bool
    keep_crops: bool
    request_id: str


class CallerAnswer(Answered):
    """Who asks. `id` is None where no key was shown and none is needed; `collections` None means
    all."""

    id: str | None
    scopes: list[str]
    collections: list[str] | None
    request_id: str


class Key(Answered):
    """An API key, without its text. `collections` None means all, a limit None means none."""

    id: str
    name: str
    scopes: list[str]
    collections: list[str] | None
    requests_a_minute: int | None
    concurrency: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyAnswer(Key):
    request_id: str


class NewKeyAnswer(KeyAnswer):
    """`secret` is what callers send: `.secret.get_secret_value()`. It is shown this once."""

    secret: SecretStr


class KeyPage(Answered):
    keys: list[Key]
    next_cursor: str | None
    request_id: str


class AuditRecord(Answered):
    """`digest` is chained over this record and all before it."""

    sequence: int
    digest: str
    record: dict[str, Any]


class AuditPage(Answered):
    records: list[AuditRecord]
    next_cursor: str | None
    request_id: str


class Health(Answered):
    status: str


class Readiness(Answered):
    """`waiting_for` says what is not there yet while `ready` is false."""

    ready: bool
    waiting_for: list[str]

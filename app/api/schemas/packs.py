"""What is at work here: packs, calibrations, thresholds, limits."""

from pydantic import BaseModel


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
    """How the work is laid on this machine: workers that look at pictures, threads that search one
    gallery together, requests that share a run of the recognizer, and the size of a gallery, in
    numbers, up to which it is searched without a hand-over to another thread."""

    vision_workers: int
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

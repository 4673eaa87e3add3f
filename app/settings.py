"""Every ROLLCALL_* setting, typed, documented and checked at start. Only `main` reads them.

Rooms are handed the small value objects that concern them (`limits`, `quality`), never the whole.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from app.errors import CannotStart
from app.types import ImageLimits

Device = Literal["cpu", "cuda"]

Foreign = Literal["rekognition", "compreface"]
"""The services whose callers may come in by a door of their own (app.doors)."""


@lru_cache(maxsize=64)
def is_loopback(name: str) -> bool:
    """Whether a host name or an address is this machine's own, told without asking DNS."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class QualityLimits(BaseModel):
    """The least a face must be to be enrolled. Units as in `app.types.Quality`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_face_size: float = 40.0
    min_detection_score: float = 0.6
    min_sharpness: float = 15.0
    min_brightness: float = 0.1
    max_brightness: float = 0.95
    max_yaw: float = 55.0
    max_pitch: float = 45.0
    max_roll: float = 60.0


class Settings(BaseSettings):
    """Read from the environment; an unknown ROLLCALL_* variable stops the start."""

    model_config = SettingsConfigDict(
        env_prefix="ROLLCALL_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    header_seconds: float = Field(10.0, gt=0, description="seconds for the head of a request")
    body_seconds: float = Field(
        30.0, gt=0, description="seconds for a body, and its bytes divided by body_rate on top"
    )
    body_rate: int = Field(
        32_768, ge=1, description="least bytes a second of a body, and of an answer being read"
    )
    body_memory: int = Field(
        512_000_000, ge=1_000_000, description="bytes of all bodies in flight together"
    )
    max_connections: int = Field(1000, ge=1, description="connections open at once")

    data_dir: Path = Field(
        Path(".rollcall"), description="embedded PostgreSQL and index snapshots live here"
    )
    database_url: SecretStr | None = Field(
        None,
        description="postgresql://user:password@host/name (?sslmode=verify-full for TLS); "
        "unset starts an embedded server",
    )
    database_pool: int = Field(10, ge=2, le=200, description="connections a process may hold")
    database_wait: float = Field(
        30.0, gt=0, description="seconds to wait for PostgreSQL at start before giving up"
    )
    secret: SecretStr | None = Field(
        None,
        description="at least 32 random bytes in hex or base64, which every stored key hangs on; "
        "unset on loopback with an embedded PostgreSQL: made once, in data_dir/secret",
    )
    other_secrets: tuple[SecretStr, ...] = Field(
        (), description="further secrets that open what they wrapped, for rotation (JSON list)"
    )
    keep_crops: bool = Field(
        False, description="keep the aligned crop of each enrolled face, encrypted"
    )
    migrate: bool = Field(True, description="bring the schema up to date at start")

    require_keys: bool = Field(
        False, description="ask for an API key on loopback too; beyond loopback it always is"
    )
    verify_failures: int = Field(
        30,
        ge=0,
        description="refused verifications of one person that a key may cause in an hour; 0: any",
    )
    require_consent: bool = Field(
        False, description="refuse to enrol a person without a consent reference"
    )

    console: bool = Field(True, description="serve the console at /")
    doors: tuple[Foreign, ...] = Field(
        (),
        description="answer callers of other services in their own protocol: rekognition, "
        "compreface (JSON list)",
    )

    pack: str = Field("starter", description="a pack in models/packs, or a folder anywhere")
    extra_packs: tuple[str, ...] = Field(
        (), description="further packs, for collections bound to another model (JSON list)"
    )
    packs_dir: Path = Field(
        Path(__file__).parent.parent / "models" / "packs", description="where packs are looked up"
    )
    device: Device = Field(
        "cpu", description="cpu or cuda; cuda that cannot be used stops the start"
    )
    search_device: Device = Field("cpu", description="where the gallery is searched: cpu or cuda")
    gallery_storage: Literal["float32", "float16", "int8"] = Field(
        "float32",
        description="how templates lie in memory for the scan: 4, 2 or 1 bytes a dimension; "
        "answers are the same, the exact rows of the smaller ones lie encrypted in data_dir",
    )
    search: Literal["exact", "two_stage"] = Field(
        "exact",
        description="exact, or two_stage: short codes choose the rows that are looked at, several "
        "times faster among a million; a person can be missed",
    )
    search_shortlist: int = Field(
        1000, ge=10, le=100_000, description="two_stage: rows that the first stage leaves"
    )
    workers: int = Field(
        0,
        ge=0,
        description="workers for vision, threads for search; 0 chooses by cores and quota",
    )
    embed_batch: int = Field(0, ge=0, description="crops in a batch; 0 chooses by device")

    max_image_bytes: int = Field(10_000_000, ge=1_000, description="largest image accepted")
    max_image_pixels: int = Field(50_000_000, ge=10_000, description="largest width times height")
    decode_seconds: float = Field(
        10.0, ge=1, le=300, description="seconds that decoding one image may take"
    )
    max_images: int = Field(16, ge=1, le=100, description="most images in one enrolment")
    queue_depth: int = Field(1024, ge=1, description="most images waiting for a stage")
    queue_seconds: float = Field(
        1.5, gt=0, description="longest wait for a stage to promise; beyond it 503 at once"
    )
    deadline: float = Field(30.0, gt=0, description="seconds a request may wait in queues")

    quality: QualityLimits = Field(
        QualityLimits(), description="limits of enrolment, ROLLCALL_QUALITY__MIN_FACE_SIZE=60 …"
    )
    default_target_fmr: float = Field(
        1e-3, gt=0, lt=1, description="verify: the FMR aimed at when the caller names nothing"
    )
    default_target_fpir: float = Field(
        1e-2, gt=0, lt=1, description="identify: the FPIR aimed at when the caller names nothing"
    )
    default_threshold: float = Field(
        0.4, ge=-1, le=1, description="used when the pack has no calibration"
    )

    snapshot_interval: float = Field(60.0, gt=0, description="seconds between index snapshots")
    poll_interval: float = Field(1.0, gt=0, description="seconds between looks for missed changes")
    changes_kept: int = Field(
        100_000, ge=100, description="changes kept a collection; a follower further behind reloads"
    )
    idempotency_hours: float = Field(24.0, gt=0, description="how long an answer can be replayed")
    failpoints: str = Field(
        "", description="for tests only: where this process kills itself or PostgreSQL"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(
            ("postgresql://", "postgres://")
        ):
            raise ValueError("must begin with postgresql://")
        return url

    @property
    def keys_required(self) -> bool:
        """Whoever can reach the port from elsewhere has to show a key."""
        return self.require_keys or not is_loopback(self.host)

    @property
    def images(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)


def read_settings(environment: Mapping[str, str], **given: Any) -> Settings:
    """Settings from the environment. Raises CannotStart that names each wrong variable."""
    known = {f"ROLLCALL_{name}".upper() for name in Settings.model_fields}
    # What compose, the tests and commands that ask a running service read themselves.
    known |= {"ROLLCALL_BIND", "ROLLCALL_VERSION", "ROLLCALL_TEST_DATA"}
    known |= {"ROLLCALL_KEY", "ROLLCALL_PASSPHRASE", "ROLLCALL_URL"}
    unknown = [
        name
        for name in sorted(environment)
        if name.startswith("ROLLCALL_") and name.split("__")[0] not in known
    ]
    if unknown:
        raise CannotStart(
            f"There is no setting {', '.join(unknown)}. `rollcall config` lists them."
        )
    try:
        return Settings(**given)
    except SettingsError as error:  # a list or an object that is no JSON; it may be a secret
        raise CannotStart(f"Settings are wrong. {error}. Lists and objects are JSON.") from None
    except ValidationError as error:
        wrong = "; ".join(
            "ROLLCALL_" + "__".join(str(part) for part in each["loc"]).upper() + ": " + each["msg"]
            for each in error.errors(include_input=False, include_url=False)
        )
        raise CannotStart(f"Settings are wrong. {wrong}") from None

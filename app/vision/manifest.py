"""`pack.json`, field by field: written by training, read by `app.vision.pack`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Colour = Literal["rgb", "bgr"]
Channels = float | tuple[float, float, float]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorEntry(_Entry):
    """`file` lies in the pack's folder, or is `package:NAME/FILE`: inside an installed package.

    `input_sizes`: longest sides in pixels that the network was made for; pictures are shrunk to
    the largest and never blown up.
    """

    file: str
    sha256: Sha256
    kind: str
    input_sizes: tuple[Annotated[int, Field(ge=32, le=4096, multiple_of=32)], ...] = Field(
        min_length=1
    )
    score_threshold: float = Field(gt=0, lt=1)
    nms_threshold: float = Field(gt=0, lt=1)
    licence: str


class RecognizerEntry(_Entry):
    """`mean` and `std`: (value - mean) / std of 0 to 255, one number or one a channel in the order
    of `colour`. `flip_test`: the embedding is that of the crop and its mirror image together."""

    file: str
    sha256: Sha256
    input: str
    size: tuple[Literal[112], Literal[112]]
    colour: Colour
    mean: Channels
    std: (
        Annotated[float, Field(gt=0)]
        | tuple[
            Annotated[float, Field(gt=0)],
            Annotated[float, Field(gt=0)],
            Annotated[float, Field(gt=0)],
        ]
    )
    dimension: int = Field(ge=1, le=4096)
    alignment: Literal["arcface-112"]
    flip_test: bool
    licence: str


class Manifest(_Entry):
    """`calibration_sha256`: of calibration.json, where the pack has one and vouches for it."""

    format: Literal[1]
    name: str
    version: str
    licence: str
    made_by: str
    data: str
    created: str
    detector: DetectorEntry
    recognizer: RecognizerEntry
    calibration_sha256: Sha256 | None = None
    training: dict[str, Any] = Field(default_factory=dict)

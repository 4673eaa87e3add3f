"""Who looks at pictures for a pack: processes on a CPU, threads before a GPU."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from app.stages import Stages, current
from app.types import Face, Floats, Pixels


@dataclass(frozen=True, slots=True)
class Look:
    """An image, how many of its largest faces are wanted (0: all), and whether embedded too."""

    image: bytes
    most: int
    embed: bool
    stages: Stages = field(default_factory=current)


class Seen(NamedTuple):
    """Faces and their embeddings float32[N, D] of length one; [0, D] where none were wanted."""

    faces: list[Face]
    embeddings: Floats


@dataclass(frozen=True, slots=True)
class Crops:
    """The crops of one request, uint8[N, 112, 112, 3]."""

    pixels: Pixels
    stages: Stages = field(default_factory=current)


class Crew(Protocol):
    """Each method takes what waits and answers in its order, an error in the place of what failed.

    `looks` images are looked at and `batches` of crops embedded at a time, of no more than `limit`
    requests each. `embeds_at_once`: whether an image is best embedded by whoever looked at it.
    `deaths` counts the processes that an image ended.
    """

    dimension: int
    providers: tuple[str, ...]
    looks: int
    batches: int
    limit: int
    embeds_at_once: bool

    @property
    def deaths(self) -> int: ...

    def look(self, asked: Sequence[Look]) -> Awaitable[Sequence[Seen | Exception]]: ...

    def embed(self, asked: Sequence[Crops]) -> Awaitable[Sequence[Floats | Exception]]: ...

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...

"""Packs by name, at work: who looks is chosen by the device."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.settings import Device
from app.types import ImageLimits
from app.vision.crew import Crew
from app.vision.faces import Vision
from app.vision.pack import Pack, read_pack
from app.vision.workers import OfPack, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """`workers` processes (on a CPU) or threads (before a GPU) look at images, which `seconds` may
    be decoded; `embed_batch` requests share a run of the recognizer. The rest is MicroBatcher's."""

    device: Device
    limits: ImageLimits
    seconds: float
    workers: int
    embed_batch: int
    depth: int
    patience: float
    deadline: float


@asynccontextmanager
async def open_visions(folders: Sequence[Path], how: Opening) -> AsyncIterator[list[Vision]]:
    """Each pack at work, not yet warm. Raises PackInvalid, ProviderUnavailable, CannotStart."""
    crews = _on_cpu if how.device == "cpu" else _on_gpu
    async with crews(folders, how) as opened, AsyncExitStack() as stack:
        visions = []
        for pack, crew in opened:
            vision = Vision(
                pack, crew, depth=how.depth, patience=how.patience, deadline=how.deadline
            )
            stack.push_async_callback(vision.close)
            visions.append(vision)
        yield visions


@asynccontextmanager
async def _on_cpu(folders: Sequence[Path], how: Opening) -> AsyncIterator[list[tuple[Pack, Crew]]]:
    workers = Workers(folders, how.limits, count=how.workers, seconds=how.seconds)
    try:
        await workers.open()
        yield [
            (each.pack, OfPack(workers, number, how.embed_batch))
            for number, each in enumerate(workers.loaded)
        ]
    finally:
        await workers.close()


@asynccontextmanager
async def _on_gpu(folders: Sequence[Path], how: Opening) -> AsyncIterator[list[tuple[Pack, Crew]]]:
    # The networks' libraries are loaded in this process only where it runs networks.
    from app.vision.decoder import Decoder
    from app.vision.threads import Threads

    decoder = Decoder(how.limits, seconds=how.seconds)

    def crew(folder: Path) -> tuple[Pack, Crew]:
        pack = read_pack(folder)
        return pack, Threads(
            pack, how.device, workers=how.workers, embed_batch=how.embed_batch, decoder=decoder
        )

    try:
        yield [await asyncio.to_thread(crew, each) for each in folders]
    finally:
        decoder.close()

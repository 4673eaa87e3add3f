"""Threads that look at pictures, and one that owns the recognizer's batches: before a GPU, which
is the process's own."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from app.batching import in_thread
from app.errors import ImageRefused
from app.settings import Device
from app.types import Floats
from app.vision.crew import Crops, Look, Seen
from app.vision.decoder import Decoder
from app.vision.detect import open_detector
from app.vision.directions import unit_rows
from app.vision.embed import Recognizer
from app.vision.errors import DecoderUnavailable, EmbeddingFailed
from app.vision.pack import Pack
from app.vision.sight import Sight


class Threads:
    """A crew of `workers` threads; images are decoded by `decoder`, which its maker closes.

    Raises PackInvalid and ProviderUnavailable. Blocks while the networks are loaded.
    """

    embeds_at_once = False
    batches = 1

    def __init__(
        self, pack: Pack, device: Device, *, workers: int, embed_batch: int, decoder: Decoder
    ) -> None:
        recognizer = Recognizer(pack.recognizer, device)
        self.dimension = recognizer.dimension
        self.providers: tuple[str, ...] = recognizer.providers
        self.looks = workers
        self.limit = embed_batch
        self._decoder = decoder
        self._sight = Sight(open_detector(pack.detector, device), recognizer, decoder)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vision")
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="device")

    def look(self, asked: Sequence[Look]) -> Awaitable[Sequence[Seen | Exception]]:
        return in_thread(self._pool, self._look)(asked)

    def embed(self, asked: Sequence[Crops]) -> Awaitable[Sequence[Floats | Exception]]:
        return in_thread(self._owner, self._embed)(asked)

    @property
    def deaths(self) -> int:
        return self._decoder.deaths

    async def warm_up(self) -> None:
        await asyncio.to_thread(self._warm_up)

    async def close(self) -> None:
        """Let what runs end."""
        self._pool.shutdown()
        self._owner.shutdown()

    def _warm_up(self) -> None:
        # It is logged, and requests say it by name until a process can be started.
        with contextlib.suppress(DecoderUnavailable):
            self._decoder.warm_up()
        self._sight.warm_up()

    def _look(self, asked: Sequence[Look]) -> list[Seen | Exception]:
        return [self._try(each) for each in asked]

    def _try(self, asked: Look) -> Seen | Exception:
        try:
            return self._sight.see(asked.image, asked.most, asked.embed, asked.stages)
        except (ImageRefused, EmbeddingFailed) as error:
            return error

    def _embed(self, asked: Sequence[Crops]) -> list[Floats | Exception]:
        begin = perf_counter()
        raw = self._sight.recognizer.raw(np.concatenate([each.pixels for each in asked]))
        seconds = perf_counter() - begin
        for each in asked:
            each.stages.add("embed", seconds)
        return unit_rows(raw, [len(each.pixels) for each in asked])

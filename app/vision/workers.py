"""Processes that look at pictures: on a CPU, where threads would wait for Python's lock.

The service itself parses no image and computes no network. A worker takes bytes and gives back
numbers; what a hostile image breaks there costs that image. All are forked from one process that
has the packs loaded (`app.vision.worker_process`), so one that is lost is replaced in milliseconds.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from app.errors import CannotStart, ImageRefused
from app.stages import Stages
from app.types import Floats, ImageLimits
from app.vision import worker_wire as wire
from app.vision.crew import Crops, Look, Seen
from app.vision.decoder import PICTURES
from app.vision.directions import unit_rows
from app.vision.errors import DecoderUnavailable, EmbeddingFailed, ImageBroken, PackInvalid
from app.vision.limits import check_bytes
from app.vision.worker_ends import NOT_STARTED, Answer, Host, Loaded, Lost, Worker

log = structlog.get_logger()

MODULE: Final = "app.vision.worker_process"
AHEAD: Final = 2
"""Pictures that one worker has at a time: it begins the next one without waiting to be told."""

NETWORK_SECONDS: Final = 20.0
"""What a picture may take beyond its decoding, and crops altogether."""


class Workers:
    """`count` processes at most, for several packs; begun with `open`, which fails as packs do.

    `seconds` is the time that decoding one image may take, `more` what all else may. A process is
    replaced after `pictures`. `deaths` counts those that an image ended.
    """

    def __init__(
        self,
        packs: Sequence[Path],
        limits: ImageLimits,
        *,
        count: int,
        seconds: float,
        more: float = NETWORK_SECONDS,
        pictures: int = PICTURES,
        module: str = MODULE,
    ) -> None:
        self.count = count
        self.deaths = 0
        self.loaded: list[Loaded] = []
        self._packs = packs
        self._limits = limits
        self._seconds = seconds
        self._more = more
        self._pictures = pictures
        self._module = module
        self._host: Host | None = None
        self._workers: list[Worker] = []
        self._turn = asyncio.Lock()
        self._warm = False

    async def open(self) -> None:
        """Load the packs. Raises PackInvalid, ProviderUnavailable, CannotStart."""
        try:
            self.loaded = (await self._living_host()).loaded
        except DecoderUnavailable:
            raise CannotStart(
                "The process that loads the packs did not start; what it said stands above."
            ) from None

    async def warm_up(self) -> None:
        """Have every network run once, and one worker ready. All packs are warm after the first."""
        if self._warm:
            return
        self._warm = True
        # It is logged, and requests say it by name until a process can be started.
        with contextlib.suppress(DecoderUnavailable):
            await (await self._living_host()).warm_up()
            await self._take()

    async def close(self) -> None:
        """Let the processes end. Nothing may be under way."""
        for worker in self._workers:
            worker.close()
        if self._host is not None:
            await self._host.close()

    async def look(self, pack: int, image: bytes, most: int, stages: Stages, embed: bool) -> Seen:
        """As `app.vision.sight.Sight.see`, whose errors it raises.

        An image that crashes its worker, fills its memory or takes too long is an ImageBroken or
        ImageTooLarge. Raises DecoderUnavailable where no process can be started.
        """
        check_bytes(image, self._limits)
        kind = wire.LOOK_AND_EMBED if embed else wire.LOOK
        try:
            answer, dimension = await self._ask(pack, kind, most, image, self._seconds + self._more)
            try:
                return wire.seen_in(answer.body, answer.count, dimension, stages, embed=embed)
            except ValueError as wrong:
                raise Lost(f"answered {wrong}") from None
        except Lost as lost:
            self.deaths += 1
            log.warning("decoder.lost", why=lost.why, bytes=len(image))
            raise self._refusal(lost) from None

    async def rows(self, pack: int, crops: bytes) -> tuple[Floats, float]:
        """The recognizer's answers float32[N, D], of any length, for crops uint8[N, 112, 112, 3];
        and the seconds that it took. Raises DeviceFailed, DecoderUnavailable."""
        try:
            answer, dimension = await self._ask(pack, wire.EMBED, 0, crops, self._more)
        except Lost as lost:
            log.error("worker.lost", why=lost.why)
            raise DecoderUnavailable("The process that embedded was lost. Try again.") from None
        return wire.rows_in(answer.body, answer.count, dimension)

    async def _ask(
        self, pack: int, kind: int, most: int, data: bytes, seconds: float
    ) -> tuple[Answer, int]:
        """Raises Lost where the worker failed over it, and what the worker refuses."""
        dimension = self.loaded[pack].dimension
        head = wire.ASK.pack(kind, pack, most, len(data))
        while True:
            worker = await self._take()
            try:
                answer = await worker.ask(head, data, seconds, dimension, embed=kind != wire.LOOK)
            except Lost as lost:
                if not lost.begun:
                    continue  # it stood behind the picture that ended the worker
                host = self._host
                if host is None or not host.lives:
                    raise DecoderUnavailable(
                        "The processes that look at pictures were ended from outside. Try again."
                    ) from None
                raise
            if answer.kind in (wire.SEEN, wire.EMBEDDED):
                return answer, dimension
            raise _error_in(answer)

    async def _take(self) -> Worker:
        """The worker that will be ready first, or a new one. Raises DecoderUnavailable."""
        async with self._turn:
            for each in self._workers:
                if each.asked >= self._pictures:
                    each.retire()
            self._workers = [each for each in self._workers if each.lives]
            # Of those with as much before them, whoever has been at it the longest.
            best = min(self._workers, key=lambda each: (each.busy, each.since), default=None)
            if best is not None and (not best.busy or len(self._workers) >= self.count):
                return best
            worker = await (await self._living_host()).fork()
            self._workers.append(worker)
            return worker

    async def _living_host(self) -> Host:
        if self._host is None or not self._host.lives:
            if self._host is not None:
                await self._host.close()
            try:
                self._host = await Host.start(
                    self._module, self._packs, self._limits, self._seconds
                )
                self._require_the_same(self._host)
            except CannotStart as error:
                if not self.loaded:
                    raise
                log.error("decoder.not_started", exc_info=error)
                raise DecoderUnavailable(
                    "The packs cannot be read any more. Look at the service's log."
                ) from None
            except (OSError, TimeoutError, Lost) as error:
                log.error("decoder.not_started", exc_info=error)
                raise DecoderUnavailable(NOT_STARTED) from None
        return self._host

    def _require_the_same(self, host: Host) -> None:
        """Raises PackInvalid where a pack is not what it was when the service started."""
        for was, now in zip(self.loaded, host.loaded, strict=False):
            if was.pack.model != now.pack.model:
                raise PackInvalid(
                    f"{now.pack.folder} holds another model than at the start. Restart the service."
                )

    def _refusal(self, lost: Lost) -> ImageBroken:
        if lost.late:
            return ImageBroken(
                f"The image was not decoded within {self._seconds:g} s. Save it anew, or smaller, "
                "and send it again."
            )
        return ImageBroken(
            "The image cannot be decoded: it made its decoder fail. Save it anew and send it again."
        )


def _error_in(answer: Answer) -> Exception:
    """What an answer in words says."""
    try:
        told = json.loads(bytes(answer.body))
        if answer.kind == wire.REFUSED:
            return wire.error_of(told)
        what = f"{told['error']} in {told['where']}"
    except (ValueError, KeyError, TypeError):
        return Lost("answered nonsense")
    return Lost(what) if answer.kind == wire.FAULT else RuntimeError(f"A worker failed: {what}")


class OfPack:
    """The crew of one pack; `workers` serve others too, and are closed by their maker."""

    embeds_at_once = True

    def __init__(self, workers: Workers, number: int, embed_batch: int) -> None:
        loaded = workers.loaded[number]
        self.dimension, self.providers = loaded.dimension, loaded.providers
        self.looks = AHEAD * workers.count
        self.batches = workers.count
        self.limit = embed_batch
        self._workers = workers
        self._number = number

    @property
    def deaths(self) -> int:
        return self._workers.deaths

    async def look(self, asked: Sequence[Look]) -> Sequence[Seen | Exception]:
        return [await self._look(each) for each in asked]

    async def embed(self, asked: Sequence[Crops]) -> Sequence[Floats | Exception]:
        crops = np.concatenate([each.pixels for each in asked])
        raw, seconds = await self._workers.rows(self._number, crops.tobytes())
        for each in asked:
            each.stages.add("embed", seconds)
        return unit_rows(raw, [len(each.pixels) for each in asked])

    async def warm_up(self) -> None:
        await self._workers.warm_up()

    async def close(self) -> None:
        return

    async def _look(self, asked: Look) -> Seen | Exception:
        try:
            return await self._workers.look(
                self._number, asked.image, asked.most, asked.stages, asked.embed
            )
        except (ImageRefused, EmbeddingFailed) as error:
            return error

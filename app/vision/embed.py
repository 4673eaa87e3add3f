"""Crops to embeddings."""

from typing import Final, NamedTuple

import numpy as np

from app.settings import Device
from app.types import Floats, Pixels
from app.vision.directions import normalised
from app.vision.errors import DeviceFailed, PackInvalid
from app.vision.pack import Contract, RecognizerPart
from app.vision.session import LOAD_ERRORS, RUN_ERRORS, give_back, open_session

BUCKETS: Final[dict[Device, tuple[int, ...]]] = {
    # Nothing is gained by a batch on CPU, so nothing is padded either.
    "cpu": (1, 2, 3, 4, 5, 6, 7, 8),
    # A GPU is to see few shapes: each new one is planned anew.
    "cuda": (1, 4, 16, 64),
}


class Run(NamedTuple):
    """One run of the network: `take` rows, padded to `shape`."""

    take: int
    shape: int


def runs(rows: int, buckets: tuple[int, ...]) -> list[Run]:
    """Cut `rows` into known shapes; only the last is padded. `buckets` ascend."""
    whole, rest = divmod(rows, buckets[-1])
    cut = [Run(take=buckets[-1], shape=buckets[-1])] * whole
    return cut if not rest else [*cut, Run(rest, next(each for each in buckets if each >= rest))]


class Recognizer:
    """A recognizer and its contract. Threads may share it."""

    def __init__(self, part: RecognizerPart, device: Device) -> None:
        self.dimension = part.dimension
        self.buckets = BUCKETS[device]
        self._contract = part.contract
        self._input = part.input
        self._session = open_session(part.path, device, few_shapes=True)
        self.providers = tuple(self._session.get_providers())
        blank = np.zeros((1, *part.contract.size, 3), dtype=np.uint8)
        try:
            width = self._run(blank, self.buckets).shape[1:]
        except (*RUN_ERRORS, *LOAD_ERRORS) as error:
            raise PackInvalid(f"{part.path} does not take crops as promised: {error}") from None
        if width != (part.dimension,):
            raise PackInvalid(
                f"{part.path} answers with {width} numbers, pack.json promises {part.dimension}."
            )

    def embed(self, crops: Pixels) -> Floats:
        """Embeddings float32[N, D] of length one for crops uint8[N, 112, 112, 3], RGB.

        Raises EmbeddingFailed and DeviceFailed, as `normalised` and `raw` do.
        """
        return normalised(self.raw(crops))

    def raw(self, crops: Pixels) -> Floats:
        """The network's answers float32[N, D], of any length, for crops uint8[N, 112, 112, 3].

        What a crop gets does not depend on what else is in the batch. Under `flip_test` it is the
        sum for the crop and its mirror image, as InsightFace evaluates. Raises DeviceFailed where
        the device gave up even on half the batch.
        """
        if not len(crops):
            return np.empty((0, self.dimension), dtype=np.float32)
        if not self._contract.flip_test:
            return self._patient(crops)
        both = self._patient(np.concatenate([crops, crops[:, :, ::-1]]))
        return np.asarray(both[: len(crops)] + both[len(crops) :], dtype=np.float32)

    def give_back(self) -> None:
        """Free the memory that runs took."""
        give_back(self._session)

    def _patient(self, crops: Pixels) -> Floats:
        """`_run`, with the batch halved once where the device runs out of memory."""
        try:
            return self._run(crops, self.buckets)
        except RUN_ERRORS:
            smaller = tuple(each for each in self.buckets if each <= max(1, self.buckets[-1] // 2))
        try:
            return self._run(crops, smaller)
        except RUN_ERRORS as error:
            raise DeviceFailed(
                f"The recognizer's device ({self.providers[0]}) failed: {error}. If it is out of "
                "memory, lower ROLLCALL_EMBED_BATCH or give it more."
            ) from None

    def _run(self, crops: Pixels, buckets: tuple[int, ...]) -> Floats:
        answers, done = [], 0
        for run in runs(len(crops), buckets):
            batch = prepared(crops[done : done + run.take], run.shape, self._contract)
            answer = self._session.run(None, {self._input: batch})[0]
            answers.append(answer[: run.take])
            done += run.take
        return np.concatenate(answers).astype(np.float32, copy=False)


def prepared(crops: Pixels, rows: int, contract: Contract) -> Floats:
    """Crops uint8[n, 112, 112, 3] as the network wants them: float32[rows, 3, 112, 112].

    Channels are ordered and scaled by the contract; rows from n on are zero.
    """
    count, height, width, _ = crops.shape
    batch = np.zeros((rows, 3, height, width), dtype=np.float32)
    used = batch[:count]
    planes = crops if contract.colour == "rgb" else crops[..., ::-1]
    np.subtract(planes.transpose(0, 3, 1, 2), _channels(contract.mean), out=used)
    np.divide(used, _channels(contract.std), out=used)
    return batch


def _channels(values: tuple[float, float, float]) -> Floats:
    return np.array(values, dtype=np.float32)[:, None, None]

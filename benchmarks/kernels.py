"""How near is a scan to the memory, and a batch to the matrix product? Each kernel by itself.

    python -m benchmarks.kernels [--rows 1000000]

Blocks as a gallery has them, spread over one thread a core. In turns with the scans the same
memory is read and added up, the same rows are multiplied by NumPy's SGEMM on all cores (scores
only), and a quarter of them is searched by FAISS' `IndexFlatIP` as it comes, its time taken four
times.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from app.gallery import compiled
from app.gallery.blocks import Block
from app.gallery.index import BLOCK_ROWS
from app.gallery.kernels import CpuKernel
from app.gallery.storage import Compressed, Maker, Storage
from app.types import Floats
from benchmarks.bandwidth import read_all
from benchmarks.report import Report, in_turns, options, ratio

DIMENSION = 512
BATCHES = (1, 8, 64)
WANTED = 18
"""Rows that a search for the best five asks of a block."""


def main() -> None:
    asked = options(__doc__ or "")
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=7)
    given = asked.parse_args()
    rows = 100_000 if given.quick else given.rows
    report = Report("kernels", f"Each kernel over {rows:,} x {DIMENSION}")
    generator = np.random.default_rng(0)
    queries = _unit(generator.standard_normal((max(BATCHES), DIMENSION), dtype=np.float32))
    with (
        tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        kinds = {"float32": Storage()}
        if compiled.built():
            kinds |= {
                "float16": Storage("float16", Path(folder)),
                "int8": Storage("int8", Path(folder)),
                "codes": Storage(codes=True),
            }
        else:
            report.notes.append("The compiled kernels are not built: float32 alone was measured.")
        for name, storage in kinds.items():
            blocks = _blocks(storage, rows, np.random.default_rng(1))
            _measure(report, name, blocks, queries, pool, given.rounds)
            del blocks
    report.save(given.out)


def _measure(
    report: Report,
    name: str,
    blocks: Sequence[Block],
    queries: Floats,
    pool: ThreadPoolExecutor,
    rounds: int,
) -> None:
    scanned = [_scanned(block) for block in blocks]
    gigabytes = sum(each.nbytes for each in scanned) / 1e9
    sides: dict[str, Callable[[], float]] = {
        "read": partial(_timed, partial(read_all, scanned, pool, len(os.sched_getaffinity(0))))
    }
    for batch in BATCHES:
        part = queries[:batch]
        sides[str(batch)] = partial(
            _spread, pool, [partial(_scan, name, block, part) for block in blocks]
        )
    if name == "float32":
        exact = [block.stored.take(slice(None)) for block in blocks]
        sides["sgemm"] = partial(_timed, partial(_sgemm, exact, queries))
        sides["plain"] = _plain(exact[: max(1, len(exact) // 4)], queries, len(exact))
    times = in_turns(sides, rounds)
    for batch in BATCHES:
        seconds = float(np.median(times[str(batch)]))
        report.rows.append(
            {
                "rows as": name,
                "batch": batch,
                "ms": seconds * 1e3,
                "GB/s": gigabytes / seconds,
                "of reading": ratio(times["read"], times[str(batch)]).median,
                "GFLOP/s": 2 * batch * gigabytes / 4 / seconds if name == "float32" else None,
            }
        )
    if name == "float32":
        one = ratio(times["read"], times["1"])
        product = ratio(times["sgemm"], times["64"])
        plain = ratio(times["plain"], times["64"])
        report.goal("one query, of reading", aim=">= 0.8", figure=one, met=one.median >= 0.8)
        report.goal("64, of SGEMM", aim=">= 0.7", figure=product, met=product.median >= 0.7)
        report.goal("64, times plain FAISS", aim=">= 8", figure=plain, met=plain.median >= 8)


def _blocks(storage: Storage, rows: int, generator: np.random.Generator) -> list[Block]:
    maker = Maker(storage, DIMENSION)
    blocks = []
    for begin in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - begin)
        block = Block(maker.stored(count), maker.codes(count))
        ids = np.zeros((2, count), dtype=np.uint64)
        vectors = _unit(generator.standard_normal((count, DIMENSION), dtype=np.float32))
        block.write(0, ids, ids, vectors)
        blocks.append(block)
    return blocks


def _scanned(block: Block) -> Floats:
    """The memory that a scan goes through, as numbers that can be added."""
    if block.codes is not None:
        return block.codes.bits.reshape(-1).view(np.float32)
    if isinstance(block.stored, Compressed):
        return block.stored.scanned.reshape(-1).view(np.float32)
    return block.stored.take(slice(None)).reshape(-1)


def _scan(name: str, block: Block, queries: Floats) -> None:
    if name != "codes":
        CpuKernel().best(block, block.capacity, queries, WANTED)
        return
    if block.codes is None:
        raise ValueError("the block was made without codes")
    compiled.scan_codes(
        np.array([block.codes.address], dtype=np.uintp),
        np.array([block.codes.factors_address], dtype=np.uintp),
        np.zeros(1, dtype=np.uintp),
        np.array([block.capacity]),
        DIMENSION,
        queries,
        WANTED,
    )


def _spread(pool: ThreadPoolExecutor, tasks: Sequence[Callable[[], None]]) -> float:
    """Seconds that all tasks take, each thread taking the next when it is ready."""
    left = iter(tasks)

    def work() -> None:
        for task in left:
            task()

    def spread() -> None:
        for done in [pool.submit(work) for _ in os.sched_getaffinity(0)]:
            done.result()

    return _timed(spread)


def _timed(work: Callable[[], None]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _sgemm(blocks: Sequence[Floats], queries: Floats) -> None:
    out = np.empty((len(queries), max(len(block) for block in blocks)), dtype=np.float32)
    for block in blocks:
        np.matmul(queries, block.T, out=out[:, : len(block)])


def _plain(blocks: Sequence[Floats], queries: Floats, of: int) -> Callable[[], float]:
    """Searches these blocks by `IndexFlatIP` as it comes; seconds, were they `of` in number."""
    index = faiss.IndexFlatIP(DIMENSION)
    for block in blocks:
        index.add(block)

    def search() -> float:
        chosen = faiss.cvar.distance_compute_blas_threshold
        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        faiss.cvar.distance_compute_blas_threshold = 128_000  # as FAISS 1.15.1 sets it
        try:
            return _timed(partial(index.search, queries, 5)) * of / len(blocks)
        finally:
            faiss.cvar.distance_compute_blas_threshold = chosen

    return search


def _unit(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()

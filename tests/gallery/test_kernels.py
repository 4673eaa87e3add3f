from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from app.errors import CannotStart
from app.gallery.blocks import Block
from app.gallery.kernels import CpuKernel, GpuKernel
from app.gallery.storage import Exact

from .oracle import directions


@pytest.mark.parametrize("queries", [1, 3, 4, 40])
def test_the_cpu_kernel_gives_the_best_rows_in_order(queries: int) -> None:
    generator = np.random.default_rng(queries)
    stored = Exact(1000, 128)
    block = Block(stored)
    stored.vectors[:] = directions(generator, 1000, 128)
    probes = directions(generator, queries, 128)
    scores, rows = CpuKernel().best(block, 900, probes, 20)
    exact = probes.astype(np.float64) @ stored.vectors[:900].astype(np.float64).T
    assert np.allclose(scores, -np.sort(-exact, axis=1)[:, :20], atol=1e-6)
    assert np.allclose(np.take_along_axis(exact, rows, axis=1), scores, atol=1e-6)


def test_a_search_takes_one_thread_whatever_openmp_would() -> None:
    with ThreadPoolExecutor(1) as pool:
        stored = Exact(1, 4)
        stored.vectors[:] = 0.5
        pool.submit(CpuKernel().best, Block(stored), 1, stored.vectors, 1).result()
        assert pool.submit(faiss.omp_get_max_threads).result() == 1


@pytest.mark.skipif(faiss.get_num_gpus() > 0, reason="FAISS can use a GPU here")
def test_a_gpu_that_cannot_be_used_stops_the_start() -> None:
    with pytest.raises(CannotStart, match="GPU") as refused:
        GpuKernel()
    assert refused.value.code == "provider_unavailable"

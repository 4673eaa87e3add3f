"""The arrangement is a function of the machine and the settings, tested without either."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.arrangement import AT_ONCE, Machine, plan, this_machine


def test_a_cpu_has_a_worker_a_core_and_no_batches() -> None:
    made = plan(Machine(4), "cpu", "cpu", workers=0, embed_batch=0)
    assert (made.vision_workers, made.search_threads, made.embed_batch) == (4, 4, 1)
    assert made.search_at_once == AT_ONCE


def test_a_gpu_takes_batches_and_searches_in_one_thread() -> None:
    made = plan(Machine(8), "cuda", "cuda", workers=0, embed_batch=0)
    assert (made.vision_workers, made.search_threads, made.embed_batch) == (8, 1, 64)
    assert made.search_at_once == 0


@pytest.mark.parametrize(
    ("quota", "threads"), [(None, 8), (0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2), (16.0, 8)]
)
def test_a_quota_is_kept_and_never_exceeded(quota: float | None, threads: int) -> None:
    made = plan(Machine(8, quota), "cpu", "cpu", workers=0, embed_batch=0)
    assert made.vision_workers == threads


@given(st.integers(1, 256), st.none() | st.floats(0.01, 256), st.integers(0, 64))
def test_there_is_always_a_worker_and_a_setting_overrules(
    cores: int, quota: float | None, workers: int
) -> None:
    made = plan(Machine(cores, quota), "cpu", "cpu", workers=workers, embed_batch=0)
    assert made.vision_workers >= 1
    assert made.vision_workers == workers or (workers == 0 and made.vision_workers <= cores)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
    ],
)
def test_the_quota_of_a_container_is_read_in_both_versions(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="ascii")
    assert this_machine(tmp_path).quota == quota

"""How fast all cores together read memory: the limit of every scan for one query."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final

from app.types import Floats

_SOURCE: Final = """
#include <stddef.h>
float read_all(const float *at, size_t count) {
    float sums[128] = {0}, total = 0;
    for (size_t i = 0; i + 128 <= count; i += 128)
        for (int lane = 0; lane < 128; lane++) sums[lane] += at[i + lane];
    for (int lane = 0; lane < 128; lane++) total += sums[lane];
    return total;
}
"""


def read_all(parts: Sequence[Floats], pool: ThreadPoolExecutor, threads: int) -> None:
    """Let `threads` of `pool` add up C-contiguous arrays, each taking the next."""
    read = _reader()
    left = iter(parts)

    def work() -> None:
        for part in left:
            read(part.ctypes.data_as(ctypes.c_void_p), part.size)

    working = [pool.submit(work) for _ in range(threads)]
    for each in working:
        each.result()


@cache
def _reader() -> Callable[[ctypes.c_void_p, int], float]:
    """The compiled loop; it releases the GIL."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("The bandwidth of memory is measured in C: install a compiler (cc).")
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        source, library = Path(folder, "read.c"), Path(folder, "read.so")
        source.write_text(_SOURCE, encoding="ascii")
        flags = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
        read = ctypes.CDLL(str(library)).read_all
    read.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    read.restype = ctypes.c_float
    return lambda address, count: float(read(address, count))

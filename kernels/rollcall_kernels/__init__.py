"""The compiled scans: `lib` has the functions that kernels.h declares, `ffi` makes their arguments.

A call releases the GIL and runs on its thread alone.
"""

from pathlib import Path

import cffi

_HERE = Path(__file__).parent

ffi = cffi.FFI()
ffi.cdef((_HERE / "kernels.h").read_text(encoding="ascii"))
lib = ffi.dlopen(str(next(_HERE.glob("library*.so"))))

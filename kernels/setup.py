"""Builds the scan kernels as a plain shared library: it needs a C compiler, not Python's headers.

It is loaded by cffi from what `kernels.h` declares, so it fits every Python on the same machine.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "rollcall_kernels.library",
            [f"rollcall_kernels/{name}.c" for name in ("machine", "rows", "codes")],
            depends=[f"rollcall_kernels/{name}.h" for name in ("best", "machine", "kernels")],
            extra_compile_args=["-std=c11", "-O3", "-fno-math-errno", "-fvisibility=default"],
            libraries=["m"],
            py_limited_api=True,
        )
    ]
)

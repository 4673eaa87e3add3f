"""Memory that was used for a while and is free, given back to the system."""

import ctypes


def give_back() -> None:
    """Where the C library can: glibc keeps what a start or a load freed, tens of megabytes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

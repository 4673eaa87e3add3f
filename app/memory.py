"""Memory that was used for a while and is free, given back to the system."""

import ctypes
import gc
from typing import Final

# malloc.h of the GNU C library
_M_ARENA_MAX: Final = -8


def keep_in_one_heap() -> None:
    """Have all threads allocate where `give_back` reaches: of the heaps that glibc makes for each
    thread it leaves the ends alone, tens of megabytes after a load. To be called before there are
    threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """What stands after a start stays: collect what was only needed for it, look at the rest never
    again, and give back what came free. A full collection else stops every request for as long as
    it takes to visit all that was imported."""
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Where the C library can: glibc keeps what a start or a load freed, tens of megabytes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

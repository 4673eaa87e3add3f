"""Photos that are named on the command line, one by one."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from rollcall_client.errors import RollcallError

from app.commands.bulk import Unusable
from app.commands.photo_files import reader

STDIN: Final = Path("-")


async def read_photo(path: Path) -> bytes:
    """The bytes of a photo; `-` is standard input. Raises Unusable."""
    if path == STDIN:
        return await asyncio.to_thread(sys.stdin.buffer.read)
    try:
        return await asyncio.to_thread(reader(path))
    except OSError as error:
        raise Unusable("file_unreadable", f"It cannot be read: {error.strerror}.") from None


def of_photo(error: RollcallError) -> bool:
    """Whether it is said of one photo, so that the next may fare better."""
    return error.status in (413, 415, 422) and error.code not in (
        "invalid_request",
        "target_unsupported",
    )

"""NextToken: where a list goes on, opaque to callers."""

import base64
import binascii
import re
from typing import Final

from app.doors.rekognition.errors import Refused

PAGE: Final = 1000
"""Entries of a page where the caller does not say."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def token_of(kind: str, place: str | int | None) -> str | None:
    """The token for a `place` in a list of that kind; None at its end."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode()


def place_of(kind: str, token: str | None) -> str:
    """The place that a token stands for, '' for none. Raises Refused."""
    if token is None:
        return ""
    try:
        given, _, place = (
            base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").partition(":")
        )
    except (binascii.Error, ValueError):
        given = place = ""
    if given != kind or not _NAME.fullmatch(place):
        raise Refused(
            "InvalidPaginationTokenException", "Send the NextToken of the page before, unchanged."
        )
    return place


def number_of(kind: str, token: str | None) -> int:
    """The same, for lists in which places are numbers."""
    place = place_of(kind, token)
    if place and (not place.isdecimal() or len(place) > 18):
        return number_of(kind, "?")
    return int(place or 0)

"""The families of errors that rooms raise. None knows HTTP: api/problems.py gives each a status.

Every class has a stable `code`; the message says what is wrong and what to do about it. `facts`
are shown to the caller beside it, so they hold nothing that was not asked for.
"""

from typing import Any


class RollcallError(Exception):
    """The root. Raised only through its families."""

    code = "internal"
    retry_after: int | None = None  # seconds after which the same request may fare better

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts


class BadRequest(RollcallError):
    """What was asked cannot be asked that way."""

    code = "invalid_request"


class ImageRefused(RollcallError):
    """An image that cannot be used as it is. `image` in `facts` names the field it came in."""

    code = "image_invalid"


class NotFound(RollcallError):
    code = "not_found"


class Conflict(RollcallError):
    """Right in itself, but not with what is already there."""

    code = "conflict"


class Unauthenticated(RollcallError):
    """The caller did not show who it is."""

    code = "key_invalid"


class Forbidden(RollcallError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class TooMany(RollcallError):
    """The caller asks more often than it may; `retry_after` says when it may again."""

    code = "too_many_requests"

    def __init__(self, detail: str, *, retry_after: int, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.retry_after = retry_after


class Unavailable(RollcallError):
    """A fault on our side that may pass; the caller may try again after `retry_after` seconds."""

    code = "unavailable"
    retry_after = 1


class Overloaded(Unavailable):
    """A bounded queue is full or too slow, or the deadline passed while waiting in one."""

    code = "overloaded"

    def __init__(self, detail: str, *, retry_after: int = 1, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.retry_after = retry_after


class CannotStart(RollcallError):
    """The installation is wrong in a way that serving would hide; the start stops with this."""

    code = "cannot_start"

"""What can go wrong: a family for each status, and in `codes` a class for each stable code."""

from collections.abc import Mapping
from typing import Any, Final


class RollcallError(Exception):
    """The root of all that a client raises about the service.

    detail: what is wrong, for people. code: stable, for programs. status: of the answer; None
    where none came. request_id: as the service's log has it. retry_after: seconds after which it
    may be tried again, where the service said so. facts: what this error has to add, such as
    `rejected` or `image` (docs/errors.md).
    """

    code = "unknown"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = type(self).code if code is None else code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.facts: Mapping[str, Any] = facts or {}

    def __str__(self) -> str:
        named = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.detail}{named}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are copied between processes by their arguments; these have names.
        return _again, (type(self), self.detail, self.__dict__.copy())


def _again(kind: type[RollcallError], detail: str, state: dict[str, Any]) -> RollcallError:
    error = kind(detail)
    error.__dict__.update(state)
    return error


class BadRequest(RollcallError):
    """4xx: what was sent cannot be used as it is (400, 405, 408, 413, 415, 422)."""


class Unauthenticated(RollcallError):
    """401"""


class Forbidden(RollcallError):
    """403"""


class NotFound(RollcallError):
    """404"""


class Conflict(RollcallError):
    """409: right in itself, but not with what is already there."""


class TooManyRequests(RollcallError):
    """429: more than the key may ask."""


class ServerFault(RollcallError):
    """5xx: a fault of the service."""


class Unavailable(RollcallError):
    """503, and a proxy's 502 and 504: a fault that may pass."""


class Unreachable(RollcallError):
    """No answer came: no connection, or one that broke."""

    code = "unreachable"


class TimedOut(Unreachable):
    """No answer came in time."""

    code = "timed_out"


class UnexpectedAnswer(RollcallError):
    """What came is no answer of Rollcall's: a redirect, a proxy's page, fields missing."""

    code = "unexpected_answer"


FAMILIES: Final[Mapping[int, type[RollcallError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def family(status: int) -> type[RollcallError]:
    """The class of an error of which nothing but the status is known."""
    if status < 400:
        return UnexpectedAnswer
    return FAMILIES.get(status, BadRequest if status < 500 else ServerFault)

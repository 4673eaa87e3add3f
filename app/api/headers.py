"""Headers that every answer carries, for the browsers among the callers."""

from typing import Final

_COMMON: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# FastAPI's pages of documentation hold an inline script and load the rest from these two places.
_PAGES: Final = (
    b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    b"font-src https://fonts.gstatic.com; worker-src blob:; connect-src 'self'; "
    b"img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_DOCUMENTATION: Final = ("/docs", "/docs/oauth2-redirect", "/redoc")


def protecting(path: str, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What is added to an answer for `path` that has the headers `given` already."""
    policy = _PAGES if path in _DOCUMENTATION else _NOTHING
    added = [*_COMMON, (b"content-security-policy", policy)]
    if all(name.lower() != b"cache-control" for name, _ in given):
        added.append(_NO_STORE)
    return added

"""Headers that every answer carries, for the browsers among the callers."""

from typing import Final

_COMMON: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_NOTHING: Final = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)


def protecting(given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What is added to an answer that has the headers `given` already."""
    names = {name.lower() for name, _ in given}
    own = (each for each in (_NOTHING, _NO_STORE) if each[0] not in names)
    return [*_COMMON, *own]

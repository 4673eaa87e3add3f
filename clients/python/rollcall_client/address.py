"""Where requests go and how they show who asks."""

from collections.abc import Callable, Generator
from ipaddress import ip_address
from typing import Any, Final

import httpx

VERSION: Final = "0.1.0"
_CONNECT_SECONDS: Final = 5.0


class _Bearer(httpx.Auth):
    """Shows the key with each request. Holds it where neither repr nor a header dump finds it."""

    def __init__(self, key: str) -> None:
        self._header: Callable[[], str] = lambda: f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header()
        yield request


def options(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    """What both of httpx's clients are made with.

    Raises ValueError for an address that is none, and for a key that cannot be sent; HTTP
    libraries would show it in their complaint.
    """
    address = httpx.URL(url)
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError("the address of a service begins with http:// or https:// and a host")
    if address.userinfo:
        raise ValueError("leave user and password out of the address: a key shows who asks")
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
        raise ValueError("the key has characters that no key has; a line end, perhaps")
    return {
        "base_url": address,
        "auth": None if key is None else _Bearer(key),
        "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
        # Key and pictures would go wherever an answer says.
        "follow_redirects": False,
        # A proxy that the environment names would read what this machine sends to itself.
        "trust_env": address.scheme == "https" or not _is_loopback(address.host),
        "headers": {"User-Agent": f"rollcall-client/{VERSION}"},
    }


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

"""The guard of a service without keys: only programs of its own machine may use it.

A service on loopback without keys trusts whoever can reach it, and a browser can: any web page may
send requests to 127.0.0.1, and one whose own name is made to point there (DNS rebinding) may even
read the answers. Browsers say where a request comes from, so such requests are refused.
"""

import re
from collections.abc import Iterable
from typing import Final

from app.errors import Forbidden
from app.settings import is_loopback

# name:port, 127.0.0.1:port, [::1]:port
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", re.ASCII)


class CrossSite(Forbidden):
    """A web page, not a program of this machine, sent the request."""

    code = "cross_site"


def refuse_other_sites(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises CrossSite unless Host is a loopback name and no other site asks.

    `headers` as ASGI has them: names in lower case, in the order in which they came.
    """
    given: dict[bytes, list[str]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
    for name, value in headers:
        if name in given:
            given[name].append(value.decode("latin-1").strip().lower())
    hosts = given[b"host"]
    if len(hosts) != 1 or not is_loopback_host(hosts[0]):
        raise CrossSite(
            "Without keys this service answers to localhost, 127.0.0.1 and [::1] only, and the "
            "Host header says otherwise. Ask for it by such a name; behind a proxy, use keys "
            "(ROLLCALL_REQUIRE_KEYS=true)."
        )
    own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
    if any(site in ("cross-site", "same-site") for site in given[b"sec-fetch-site"]) or any(
        origin not in own for origin in given[b"origin"]
    ):
        raise CrossSite(
            "A page of another site sent this request from a browser. Without keys this service "
            "answers only to programs and to its own pages; use keys (ROLLCALL_REQUIRE_KEYS=true)."
        )


def is_loopback_host(host: str) -> bool:
    """Whether a Host header, in lower case, names this machine: localhost, 127.0.0.0/8 or [::1]."""
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found["name"].strip("[]"))

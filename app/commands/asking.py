"""How a command asks a running service: JSON over HTTP, with the key of its caller."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

# An audit of a large gallery takes a while, and nothing is sent before it is done.
_SECONDS = 600.0


class Refused(Exception):
    """There was no answer, or one that is not 200; the message says which."""


class Asking:
    """GET requests to the service at `url`.

    No redirect is followed: the key is for this address alone.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._parts = urlsplit(url)
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def get(self, path: str, query: str = "") -> Any:
        """What stands at `path`, read as JSON. Raises Refused."""
        target = self._parts.path.rstrip("/") + quote(path) + (f"?{query}" if query else "")
        connection = None
        try:
            connection = self._connection()
            connection.request("GET", target, headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refused(f"no answer: {error or type(error).__name__}") from None
        finally:
            if connection is not None:
                connection.close()
        if answer.status != http.client.OK:
            raise Refused(f"answered {answer.status}: {_detail(body)}")
        try:
            return json.loads(body)
        except ValueError:
            raise Refused("answered with something that is not JSON") from None

    def every(self, path: str, member: str) -> Iterator[Any]:
        """The entries of all pages of a list. Raises Refused."""
        query = ""
        while True:
            page = self.get(path, query)
            yield from page[member]
            if page["next_cursor"] is None:
                return
            query = f"cursor={quote(page['next_cursor'])}"

    def _connection(self) -> http.client.HTTPConnection:
        """Raises ValueError for a URL that is none of HTTP."""
        host, port = self._parts.hostname, self._parts.port
        if host is None or self._parts.scheme not in ("http", "https"):
            raise ValueError("the URL must look like http://host:port")
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=_SECONDS)
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)


def _detail(body: bytes) -> str:
    """What a problem document says, or the beginning of what came instead."""
    try:
        problem = json.loads(body)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")

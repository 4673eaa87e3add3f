"""GET / and /docs: the console and the reference of the API, files as they lie in app/console.

They are the same for everybody and hold no data, so no key is asked for: what is shown comes over
the public API, with the caller's key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FILES: Final = Path(__file__).parent.parent / "console"
REFERENCE: Final = frozenset(
    {"reference.html", "reference.js", "reference.css", "base.css", "dom.js", "mark.svg"}
)
"""What /docs is made of: there also where the console is switched off."""

_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final[Mapping[str, str]] = {
    # Asked for again each time, and answered with 304 where nothing is new.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    tag: str


def router(*, console: bool) -> APIRouter:
    """The routes of both pages, or of the reference alone. Reads every file once, now."""
    files = {
        path.name: _read(path)
        for path in sorted(FILES.iterdir())
        if path.suffix in _TYPES and (console or path.name in REFERENCE)
    }
    routes = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        return _answer(request, files["index.html"])

    async def reference(request: Request) -> Response:
        return _answer(request, files["reference.html"])

    async def part(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return _answer(request, files[name])

    if console:
        routes.add_api_route("/", page, methods=["GET", "HEAD"])
    routes.add_api_route("/docs", reference, methods=["GET", "HEAD"])
    routes.add_api_route("/console/{name}", part, methods=["GET", "HEAD"])
    return routes


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, _TYPES[path.suffix], f'"{sha256(content).hexdigest()[:32]}"')


def _answer(request: Request, file: _File) -> Response:
    headers = {**_HEADERS, "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = b"" if request.method == "HEAD" else file.content
    answer = Response(content, media_type=file.kind, headers=headers)
    answer.headers["Content-Length"] = str(len(file.content))
    return answer

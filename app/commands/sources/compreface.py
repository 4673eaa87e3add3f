"""CompreFace as a source: what its REST API (0.6 and later) tells of a face collection."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import httpx

from app.commands.bulk import PersonKey, Photo, Unusable
from app.commands.exits import Failed, NotNow

PAGE: Final = 500
_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_TIMEOUT: Final = 60.0
_MOST_BYTES: Final = 50_000_000
# What may pass: too many requests, and a service that is down or behind a proxy that says so.
_LATER: Final = (429, 500, 502, 503, 504)
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """A face as it is listed: whose, and the id of its image."""

    subject: str
    image_id: UUID


class CompreFace:
    """A recognition service of CompreFace at `url` (http://host:port), by its key.

    sleep: how a repeated request waits. Threads may share one. Methods raise NotNow where nobody
    answers, however often asked, and Failed where the answer is a refusal or makes no sense.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/") + "/api/v1/recognition/",
                headers={"x-api-key": key},
                timeout=_TIMEOUT,
                transport=transport,
                follow_redirects=False,  # the key is for this address alone
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise Failed("url_invalid", f"{url} is no address: {error}") from None

    def close(self) -> None:
        self._http.close()

    def examples(self) -> list[Example]:
        """Every face, those of one subject together, always in the same order."""
        found: set[Example] = set()
        page, pages = 0, 1
        while page < pages:
            listed = self._json("faces", {"page": page, "size": PAGE})
            try:
                found.update(
                    Example(str(one["subject"]), UUID(one["image_id"])) for one in listed["faces"]
                )
                pages = int(listed["total_pages"])
            except (KeyError, TypeError, ValueError):
                raise _nonsense("faces") from None
            page += 1
        return sorted(found)

    def subjects(self) -> list[str]:
        listed = self._json("subjects")
        if not isinstance(listed, dict) or not isinstance(listed.get("subjects"), list):
            raise _nonsense("subjects")
        return [str(subject) for subject in listed["subjects"]]

    def photos(self, examples: list[Example]) -> Iterator[Photo]:
        """The images of examples; each is fetched when its turn comes."""
        for example in examples:
            person = PersonKey(external_id=example.subject, name=example.subject)
            load = partial(self._image, example.image_id)
            yield Photo(person, f"compreface:{example.image_id}", load)

    def _image(self, image_id: UUID) -> bytes:
        answer = self._get(f"faces/{image_id}/img")
        if answer.status_code == _NOT_FOUND or not answer.content:
            raise Unusable(
                "image_not_kept",
                "The source has no image of this face: it was deleted, or images are not saved "
                "there (save_images_to_db). Its embedding is of another model; enrol a photo.",
            )
        if answer.is_error:
            raise _refused(answer)
        if len(answer.content) > _MOST_BYTES:
            raise Unusable("image_too_large", f"The image has {len(answer.content):,} bytes.")
        return answer.content

    def _json(self, path: str, query: dict[str, Any] | None = None) -> Any:
        answer = self._get(path, query)
        if not answer.is_success:
            raise _refused(answer)
        try:
            return answer.json()
        except ValueError:
            raise _nonsense(path) from None

    def _get(self, path: str, query: dict[str, Any] | None = None) -> httpx.Response:
        pause = _FIRST_PAUSE
        for _ in range(_TRIES - 1):
            try:
                answer = self._http.get(path, params=query)
            except httpx.TransportError:
                wait = pause
            else:
                if answer.status_code not in _LATER:
                    return answer
                wait = _wanted_pause(answer, pause)
            self._sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            answer = self._http.get(path, params=query)
        except httpx.TransportError as error:
            raise NotNow(
                "source_silent", f"{self._http.base_url} does not answer: {error}."
            ) from None
        if answer.status_code in _LATER:
            raise NotNow("source_unavailable", _words(answer))
        return answer


def _wanted_pause(answer: httpx.Response, pause: float) -> float:
    named = answer.headers.get("retry-after", "")
    return min(float(named), _LONGEST_PAUSE) if named.isdigit() else pause


def _refused(answer: httpx.Response) -> Failed:
    return Failed("source_refused", _words(answer))


def _words(answer: httpx.Response) -> str:
    """What the source said, without what was asked of it."""
    said = ""
    try:
        told = answer.json()
        said = str(told["message"]) if isinstance(told, dict) and "message" in told else ""
    except ValueError:
        pass
    return f"The source answered {answer.status_code}{': ' + said if said else ''}."


def _nonsense(path: str) -> Failed:
    return Failed(
        "source_unknown",
        f"What the source answers to {path} is not what CompreFace answers. Name its address as "
        "http://host:port, of version 0.6 or later.",
    )

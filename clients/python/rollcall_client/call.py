"""A call: one request to the service as a value, not sent yet, and how to read its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import httpx
from pydantic import ValidationError

from rollcall_client.errors import UnexpectedAnswer
from rollcall_client.models import Answered
from rollcall_client.uploads import Upload

T = TypeVar("T")
Model = TypeVar("Model", bound=Answered)
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Seen:
    """A collection was at `revision` when it answered; None says that it is gone."""

    collection: str
    revision: int | None


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """Some entries of a list; `next_cursor` asks for those after, None is the end."""

    entries: list[Entry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A request and how to read its answer.

    path: below the service's address, each part of it quoted. images: field name and upload; they
    make the request a form with `fields`, each of which may come again. repeatable: sent twice it
    does no more than once, so it may be sent again when it is not known what became of it.
    searches: the collection whose last seen revision the answer must not be older than. learns:
    what an answer says of a collection.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    fields: Sequence[tuple[str, str]] = ()
    images: Sequence[tuple[str, Upload]] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    also: frozenset[int] = frozenset()  # statuses beside 2xx that `read` understands
    searches: str | None = None
    learns: Callable[[T], Seen | None] = lambda _: None


def following(call: Call[Page[Entry]], cursor: str) -> Call[Page[Entry]]:
    """The call for the page that begins at `cursor`."""
    return replace(call, query={**call.query, "cursor": cursor})


def reading(model: type[Model]) -> Callable[[httpx.Response], Model]:
    """Reads answers as `model`. Raises UnexpectedAnswer for those that are none."""

    def read(response: httpx.Response) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as wrong:
            # Without what came: an answer holds names.
            what = "; ".join(
                f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}"
                for each in wrong.errors(include_input=False, include_url=False)
            )
            raise UnexpectedAnswer(
                f"The answer is no {model.__name__}. {what}", status=response.status_code
            ) from None

    return read


def reading_page(
    model: type[Model], entries: Callable[[Model], list[Entry]]
) -> Callable[[httpx.Response], Page[Entry]]:
    """Reads answers as `model`, which has `next_cursor`, and keeps its entries."""
    whole = reading(model)

    def read(response: httpx.Response) -> Page[Entry]:
        page = whole(response)
        cursor: str | None = getattr(page, "next_cursor")  # noqa: B009 (of every page, not of Model)
        return Page(entries(page), cursor)

    return read

"""Methods of the two clients out of functions that make calls: same parameters, same words."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rollcall_client.call import Call, Page

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Protocol):
    """A client that carries calls out while its caller waits."""

    def run(self, call: Call[T], /) -> T: ...

    def walk(self, call: Call[Page[T]], /) -> Iterator[T]: ...


class Awaited(Protocol):
    """A client that carries calls out while its caller awaits."""

    async def run(self, call: Call[T], /) -> T: ...

    def walk(self, call: Call[Page[T]], /) -> AsyncIterator[T]: ...


def running(make: Callable[P, Call[T]]) -> Callable[Concatenate[Blocking, P], T]:
    def method(client: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(make(*args, **kwargs))

    return update_wrapper(method, make)


def walking(make: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[Blocking, P], Iterator[T]]:
    def method(client: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return client.walk(make(*args, **kwargs))

    return update_wrapper(method, make)


def awaiting(
    make: Callable[P, Call[T]],
) -> Callable[Concatenate[Awaited, P], Coroutine[Any, Any, T]]:
    async def method(client: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.run(make(*args, **kwargs))

    return update_wrapper(method, make)


def streaming(
    make: Callable[P, Call[Page[T]]],
) -> Callable[Concatenate[Awaited, P], AsyncIterator[T]]:
    def method(client: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return client.walk(make(*args, **kwargs))

    return update_wrapper(method, make)

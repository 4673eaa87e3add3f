"""Many at once: bounded, in the order they end, each with its own fate."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from rollcall_client import AsyncRollcall, Enrolment, Probe
from rollcall_client.bulk import Outcome, each_of
from rollcall_client.codes import FaceNotFound, NothingEnrolled

from tests.service import Service


def test_a_crowd_is_enrolled_and_found_again(
    shared_service: Service, collection: str, hanks: bytes, astronaut: bytes, faceless: bytes
) -> None:
    photos = {"Tom": hanks, "Coffee": faceless, "Eileen": astronaut}

    def wishes() -> Iterator[Enrolment]:
        for name, photo in photos.items():
            yield Enrolment(photo, name=name, collection=collection)
        yield Enrolment(Path("/there/is/no/such.jpg"), collection=collection)

    async def use() -> None:
        async with AsyncRollcall(shared_service.url) as rollcall:
            done = [each async for each in rollcall.enroll_many(wishes(), concurrency=2)]
            by_index = sorted(done, key=lambda each: each.index)
            assert [type(each.error) for each in by_index] == [
                type(None),
                NothingEnrolled,
                type(None),
                FileNotFoundError,
            ]
            assert [each.item.name for each in by_index] == ["Tom", "Coffee", "Eileen", None]
            probes = [Probe(photo, collection=collection) for photo in photos.values()]
            found = {each.index: each async for each in rollcall.identify_many(probes)}
        with pytest.raises(FaceNotFound):
            found[1].value()
        for index, name in ((0, "Tom"), (2, "Eileen")):
            [face] = found[index].value().faces
            assert face.candidates[0].person.name == name

    asyncio.run(use())


def test_so_many_run_at_a_time_and_items_are_taken_when_there_is_room() -> None:
    running: list[int] = []
    most = taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(20):
            taken += 1
            yield item

    async def run(item: int) -> int:
        nonlocal most
        running.append(item)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(item)
        return -item

    async def use() -> None:
        heard = 0
        async for _ in each_of(items(), run, 3):
            heard += 1
            await asyncio.sleep(0.001)  # slower than the work, which must not run ahead
            assert taken <= heard + 2 * 3 + 1
        assert heard == 20

    asyncio.run(use())
    assert most == 3


def test_outcomes_come_in_the_order_they_end_and_a_failure_ends_nobody_else() -> None:
    async def use() -> list[Outcome[str, str]]:
        gates = {name: asyncio.Event() for name in "abc"}

        async def run(name: str) -> str:
            if name == "c":
                gates["b"].set()
            await gates[name].wait()
            if name == "b":
                gates["a"].set()
                raise KeyError(name)
            if name == "a":
                gates["c"].set()
            return name

        return [each async for each in each_of("abc", run, 3)]

    outcomes = asyncio.run(use())
    assert [each.item for each in outcomes] == ["b", "a", "c"]
    assert [each.index for each in outcomes] == [1, 0, 2]
    assert [each.answer for each in outcomes] == [None, "a", "c"]
    with pytest.raises(KeyError):
        outcomes[0].value()


def test_who_stops_listening_ends_what_is_under_way() -> None:
    ended: list[int] = []

    async def run(item: int) -> int:
        if item:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(item)
        return item

    async def use() -> None:
        outcomes = each_of(range(100), run, 4)
        assert (await anext(outcomes)).item == 0
        await asyncio.sleep(0)
        await outcomes.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())
    assert sorted(ended) == [1, 2, 3, 4]


def test_items_may_be_awaited_and_their_own_fault_is_raised() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2
        raise OSError("the list broke")

    async def run(item: int) -> int:
        return item

    async def use() -> list[int]:
        seen = []
        with pytest.raises(OSError, match="the list broke"):
            async for each in each_of(items(), run, 1):
                seen.append(each.value())
        return seen

    assert asyncio.run(use()) == [1, 2]


def test_nothing_at_a_time_is_refused() -> None:
    async def use() -> None:
        async for _ in each_of([1], asyncio.sleep, 0):
            pass

    with pytest.raises(ValueError, match="1 or more"):
        asyncio.run(use())

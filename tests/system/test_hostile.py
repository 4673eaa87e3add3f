"""Broken and hostile files through HTTP: the right answer or a clear 4xx, soon, and no growth."""

from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

from tests.hostile import hostile_files
from tests.service import Service


class House:
    """The processes of one service: it and its decoders. PostgreSQL is another's here."""

    def __init__(self, service: Service) -> None:
        self._service = psutil.Process(service.process.pid)

    def resident(self) -> int:
        """Bytes of memory of all of them."""
        return sum(each.memory_info().rss for each in self._processes())

    def computed(self) -> float:
        """Seconds of computing of all of them, since they began."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def _processes(self) -> Iterator[psutil.Process]:
        yield self._service
        yield from self._service.children(recursive=True)


@pytest.mark.timeout(900)
def test_hostile_files_get_a_clear_answer_soon_and_memory_stays_flat(
    serve: Callable[..., Service], collection: str, hanks: bytes
) -> None:
    """Seconds are counted in computing: a busy machine makes every answer late."""
    files = hostile_files(hanks)
    assert len(files) >= 300
    service = serve(ROLLCALL_WORKERS="1")
    house = House(service)
    with service.client() as client:
        for _ in range(3):
            assert client.post("/detect", files={"image": hanks}).status_code == 200
        before = most = house.resident()
        for number, each in enumerate(files):
            began = house.computed()
            answer = client.post("/detect", files={"image": each.data})
            assert house.computed() - began < 2, each.name
            assert_right(answer, each.expect, each.unsure, each.name)
            if number % 8 == 0:
                enrolled = client.post(
                    "/enroll", files={"images": each.data}, data={"collection": collection}
                )
                assert enrolled.status_code in (201, 422), (each.name, enrolled.text)
            most = max(most, house.resident())
        metrics = client.get("/metrics").text
        assert client.get("/readyz").status_code == 200
    assert most - before < 200e6, f"{(most - before) / 1e6:.0f} MB"
    # None of them even got as far as to end a decoder.
    assert "rollcall_decoder_deaths_total 0.0" in metrics


def assert_right(answer: httpx.Response, expect: str | None, unsure: bool, name: str) -> None:
    if answer.status_code == 200:
        assert expect is None, (name, answer.text)
        return
    assert answer.status_code in (413, 415, 422), (name, answer.text)
    assert answer.json()["image"] == "image"
    code = answer.json()["code"]
    assert code.startswith("image_") if unsure else code == expect, (name, code)

"""What a fault that nobody expected says: its type and where it was, and not what it holds."""

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import app.__main__
from app import logs

CANARY = "Kanarienvogel"


@pytest.fixture(autouse=True)
def logging_as_served() -> Iterator[None]:
    before, threading.excepthook = threading.excepthook, logs.thread_failed
    yield
    threading.excepthook = before
    logs.configure("error")


def fail() -> None:
    raise ValueError(f"Failing row contains ({CANARY})")


def told(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    return [json.loads(line) for line in said.err.splitlines()]


def test_of_a_task_that_nobody_awaited(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")

    async def forget() -> None:
        async def work() -> None:
            fail()

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(forget())
    [line] = told(capsys)
    assert line["event"] == "Task exception was never retrieved"
    assert line["error"] == "ValueError"


def test_of_a_thread_that_ended(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    [line] = told(capsys)
    assert (line["event"], line["error"]) == ("thread.failed", "ValueError")
    assert line["where"][-1].endswith(" fail")


def test_of_a_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.__main__, "read_settings", lambda _: fail())
    assert app.__main__.main(["config"]) == 1
    [line] = told(capsys)
    assert (line["event"], line["error"]) == ("crashed", "ValueError")

"""The worker processes of a running service: what ends one costs the request that it served."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable

import httpx
import psutil

from tests.service import Service


def workers(service: Service) -> list[psutil.Process]:
    """Those that see images; the one that they are forked from does not."""
    children = psutil.Process(service.process.pid).children()
    [host] = [each for each in children if "app.vision.worker_process" in each.cmdline()]
    return host.children()


def deaths(client: httpx.Client) -> int:
    found = re.search(r"^rollcall_decoder_deaths_total (\S+)", client.get("/metrics").text, re.M)
    assert found
    return int(float(found[1]))


def answer_while(
    service: Service, image: bytes, happens: Callable[[psutil.Process], None]
) -> httpx.Response:
    """The answer for an image whose worker stands still, and then meets with what `happens`."""
    [worker] = workers(service)
    answers: list[httpx.Response] = []

    def ask() -> None:
        with service.client() as client:
            answers.append(client.post("/detect", files={"image": image}))

    worker.suspend()
    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(1.5)  # by then the request has come to the worker
    assert not answers
    happens(worker)
    asking.join(60)
    return answers[0]


def test_a_worker_that_dies_over_a_picture_costs_that_request(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve(ROLLCALL_WORKERS="1", ROLLCALL_DECODE_SECONDS="60")

    def crash(worker: psutil.Process) -> None:
        worker.send_signal(signal.SIGSEGV)
        worker.resume()

    for number, happens in enumerate((psutil.Process.kill, crash), start=1):
        answer = answer_while(service, hanks, happens)
        assert answer.status_code == 422
        assert answer.json()["code"] == "image_broken"
        assert answer.json()["image"] == "image"
        with service.client() as client:
            assert client.post("/detect", files={"image": hanks}).status_code == 200
            assert deaths(client) == number
    assert service.output().count('"decoder.lost"') == 2
    assert "SIGSEGV" in service.output()


def test_a_worker_that_does_not_answer_is_given_up(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve(ROLLCALL_WORKERS="1", ROLLCALL_DECODE_SECONDS="1")
    answer = answer_while(service, hanks, lambda worker: None)
    assert answer.status_code == 422
    assert "within 1 s" in answer.json()["detail"]
    with service.client() as client:
        assert client.post("/detect", files={"image": hanks}).status_code == 200


def test_workers_know_no_setting_and_end_with_the_service(
    serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve()
    with service.client() as client:
        client.post("/detect", files={"image": hanks})
    running = workers(service)
    assert running
    for each in running:
        assert not [name for name in each.environ() if name.startswith(("ROLLCALL", "PG"))]
    os.kill(service.process.pid, signal.SIGKILL)
    assert not psutil.wait_procs(running, timeout=30)[1]

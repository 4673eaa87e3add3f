"""A service with the real starter pack that asks for keys, and a headless Chromium before it."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from app.types import SCOPES
from tests.command_line import make_on_command_line
from tests.conftest import TEMPLATE, execute
from tests.console.visit import Visit
from tests.service import ROOT, SECRET, Service

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="package")
def console(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Two workers share these files, and each comes back to them after others.
    name = f"console_{uuid4().hex[:12]}"
    asyncio.run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    service = Service(
        {
            "ROLLCALL_DATABASE_URL": postgres.format(name),
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(ROOT / "models" / "packs" / "starter"),
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("console")),
            "ROLLCALL_REQUIRE_KEYS": "true",
            "ROLLCALL_KEEP_CROPS": "true",
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="package")
def everything(console: Service) -> str:
    """A key that may do everything."""
    return make_on_command_line(console, *(part for each in SCOPES for part in ("--scope", each)))


@pytest.fixture(scope="package")
def api(console: Service, everything: str) -> Iterator[httpx.Client]:
    with console.client() as client:
        client.headers["Authorization"] = f"Bearer {everything}"
        yield client


@pytest.fixture(scope="package")
def narrow(api: httpx.Client) -> Callable[..., str]:
    """Makes keys with few scopes."""

    def make(*scopes: str, **wish: Any) -> str:
        answer = api.post("/keys", json={"name": "few", "scopes": scopes, **wish})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])

    return make


@pytest.fixture(scope="package")
def browser(everything: str) -> Iterator[Browser]:
    """After the service, and so gone before it: Playwright holds the thread's event loop."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium here (CHROMIUM names one)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, console: Service) -> Iterator[Callable[..., Page]]:
    """Opens the console in a tab of its own. In the end every tab is asked what went wrong."""
    visits: list[Visit] = []

    def open_tab(address: str = "/", key: str | None = None, **context: Any) -> Page:
        one = Visit(browser, console.url, key, **context)
        visits.append(one)
        one.page.goto(console.url + address)
        return one.page

    yield open_tab
    for one in visits:
        one.close()


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory, group: bytes, hanks: bytes, astronaut: bytes,
           faceless: bytes) -> dict[str, Path]:  # fmt: skip
    """Files as a person would choose them, by a word for each."""
    folder = tmp_path_factory.mktemp("photos")
    files = {
        "astronaut": ("Eileen_Collins.png", astronaut),
        "hanks": ("Tom Hanks.png", hanks),
        "group": ("party.jpg", group),
        "faceless": ("IMG_0001.png", faceless),
        "no picture": ("notes.png", b"dear diary"),
    }
    for name, content in files.values():
        (folder / name).write_bytes(content)
    return {word: folder / name for word, (name, _) in files.items()}


def two_people(api: httpx.Client, collection: str, *images: bytes) -> str:
    for name, image in zip(("Eileen Collins", "Tom Hanks"), images, strict=True):
        fields = {"collection": collection, "name": name, "metadata": '{"team": "STS-93"}'}
        answer = api.post("/enroll", files={"images": image}, data=fields)
        assert answer.status_code == 201, answer.text
    return collection


@pytest.fixture(scope="package")
def crew(api: httpx.Client, astronaut: bytes, hanks: bytes) -> str:
    """A collection with two people, for tests that leave it as it is."""
    return two_people(api, "crew", astronaut, hanks)


@pytest.fixture
def own_crew(api: httpx.Client, collection: str, astronaut: bytes, hanks: bytes) -> str:
    """The same for one test alone."""
    return two_people(api, collection, astronaut, hanks)

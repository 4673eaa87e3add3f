"""How long a newcomer takes: `python -m tests.console.first_steps CLONE OUT`.

Runs `make run` in a fresh clone, opens the page, enrols three people and asks who is on a group
photo, as somebody would who has read nothing; writes the seconds of each step and two pictures of
the page. The photos come out of wheels. Those that may not be shown elsewhere are blurred.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import insightface
import skimage
from playwright.sync_api import Page, expect, sync_playwright

from tests.console.conftest import FLAGS

_PATIENCE: Final = 600.0
_BLUR: Final = "img, canvas { filter: blur(9px) }"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path, help="a fresh clone, in which nothing was installed")
    parser.add_argument("out", type=Path, help="a folder for steps.json and the pictures")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    steps: list[dict[str, object]] = []

    def step(name: str, work: Callable[[], None]) -> None:
        begun = time.monotonic()
        work()
        steps.append({"step": name, "seconds": round(time.monotonic() - begun, 1)})
        print(f"{steps[-1]['seconds']:6} s  {name}", flush=True)

    service = subprocess.Popen(
        ["make", "run"],
        cwd=asked.clone,
        env={**os.environ, "ROLLCALL_PORT": "8123"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        address: list[str] = []
        step("`make run`: install, start, until it says where it serves",
             lambda: address.append(_address(service)))  # fmt: skip
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(FLAGS)
            )
            # The blur of pictures that are not ours to show is no style of the page.
            context = browser.new_context(bypass_csp=True, viewport={"width": 1240, "height": 900})
            context.set_default_timeout(60_000)
            _visit(context.new_page(), address[0], _photos(Path(folder)), step, asked.out)
            browser.close()
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)
    (asked.out / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")


def _address(service: "subprocess.Popen[str]") -> str:
    assert service.stdout is not None
    give_up = time.monotonic() + _PATIENCE
    for line in service.stdout:
        if found := re.search(r"serves (http://\S+)", line):
            return found[1]
        assert time.monotonic() < give_up, "it never served"
    raise AssertionError("make run ended by itself")


def _photos(folder: Path) -> dict[str, Path]:
    """As a person has them: files with names."""
    faces = Path(insightface.__file__).parent / "data" / "images"
    astronaut = Path(skimage.__file__).parent / "data" / "astronaut.png"
    files = {
        "Eileen Collins.png": astronaut,
        "Tom Hanks.png": faces / "Tom_Hanks_54745.png",
        "party.jpg": faces / "t1.jpg",
    }
    return {name: Path(shutil.copy(file, folder / name)) for name, file in files.items()}


def _visit(
    page: Page,
    address: str,
    photos: dict[str, Path],
    step: Callable[[str, Callable[[], None]], None],
    out: Path,
) -> None:
    def opened() -> None:
        page.goto(address)
        expect(page.get_by_role("heading", name="Identify")).to_be_visible()

    def looked_at() -> None:
        page.get_by_role("link", name="Enrol", exact=True).click()
        chooser = page.locator("input[type=file]").first
        chooser.set_input_files([str(each) for each in photos.values()])
        expect(page.locator(".photo .chip", has_text="Good")).to_have_count(2)

    def chosen() -> None:
        party = page.locator(".photo", has_text="party.jpg")
        party.get_by_role("button", name="Enrol face 1 of 6").click()
        expect(party.locator(".chip")).to_have_text("Good")
        party.get_by_label("Name").fill("The host")

    def saved() -> None:
        page.get_by_role("button", name="Enrol 3 people").click()
        expect(page.locator(".photo .chip", has_text="Enrolled")).to_have_count(3)

    def identified() -> None:
        page.get_by_role("link", name="Identify", exact=True).click()
        page.locator("input[type=file]").first.set_input_files(str(photos["party.jpg"]))
        expect(page.locator(".box")).to_have_count(6)
        expect(page.locator(".box.match .tag")).to_have_text("The host")

    step("open the page", opened)
    step("Enrol: choose three photos, each is looked at", looked_at)
    step("the group photo asks which face: choose one, name it", chosen)
    step("“Enrol 3 people”", saved)
    page.add_style_tag(content=_BLUR)
    page.screenshot(path=out / "enrolled.jpg", type="jpeg", quality=82)
    step("Identify: choose the group photo; one of six is known", identified)
    page.screenshot(path=out / "identified.jpg", type="jpeg", quality=82)


if __name__ == "__main__":
    main()

"""The pictures of docs/console.md, made anew: `make screenshots`.

A service of its own with one photo that may be shown (Eileen Collins, by NASA, public domain, out
of the wheel of scikit-image). The other persons have made-up templates and no pictures.
"""

import base64
import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.conftest import FLAGS
from tests.service import ROOT, Service

OUT: Final = ROOT / "docs" / "figures" / "console"
COLLECTION: Final = "astronauts"
OTHERS: Final = (
    ("Sally Ride", "STS-7", 0.36),
    ("Mae Jemison", "STS-47", 0.21),
    ("Kathryn Sullivan", "STS-41-G", 0.29),
    ("Ellen Ochoa", "STS-56", 0.33),
    ("Judith Resnik", "STS-41-D", 0.17),
    ("Shannon Lucid", "STS-51-G", 0.25),
)
WIDE: Final = {"width": 1240, "height": 800}
PHONE: Final = {"width": 390, "height": 780}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(prefix="rollcall-shots-") as name, serving(name) as service:
        folder = Path(name)
        photos = take_photos(folder)
        with service.client() as client:
            fill(client, photos["Eileen_Collins.jpg"])
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
            for picture, (address, size, colours, act) in SHOTS.items():
                shoot(browser, service.url + address, size, colours, act, photos, picture)
            browser.close()


@contextlib.contextmanager
def serving(folder: str) -> Iterator[Service]:
    Path(folder).chmod(0o755)  # its PostgreSQL is not root's, where we are
    service = Service({"ROLLCALL_DATA_DIR": f"{folder}/data", "ROLLCALL_KEEP_CROPS": "true"})
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.terminate()


def take_photos(folder: Path) -> dict[str, Path]:
    """The photo, one as from another day, and one in which the face is too small to enrol."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.submodule_search_locations
    whole = Image.open(Path(spec.submodule_search_locations[0], "data", "astronaut.png"))
    whole = whole.convert("RGB")
    made = {
        "Eileen_Collins.jpg": whole,
        "from_the_archive.jpg": ImageOps.mirror(whole.crop((90, 0, 400, 330))),
        "tiny_copy.jpg": whole.resize((176, 176), Image.Resampling.LANCZOS),
    }
    for name, image in made.items():
        image.save(folder / name, quality=88)
    return {name: folder / name for name in made}


def fill(client: httpx.Client, photo: Path) -> None:
    told = {"collection": COLLECTION, "name": "Eileen Collins", "external_id": "nasa-93"}
    told |= {"metadata": '{"mission": "STS-93", "seat": "commander"}', "consent": "public figure"}
    enrolled = client.post(
        "/enroll", files={"images": photo.read_bytes()}, data={**told, "references": photo.name}
    )
    enrolled.raise_for_status()
    seen = client.post("/embeddings", files={"image": photo.read_bytes()}).json()
    her = np.asarray(seen["faces"][0]["embedding"])
    random = np.random.default_rng(7)
    persons, faces = [], []
    for name, mission, similarity in OTHERS:
        person = str(UUID(bytes=random.bytes(16), version=4))
        persons.append({"id": person, "name": name, "metadata": {"mission": mission}})
        aside = random.standard_normal(len(her))
        aside -= (aside @ her) * her
        template = similarity * her + np.sqrt(1 - similarity**2) * aside / np.linalg.norm(aside)
        raw = base64.b64encode(template.astype("<f4").tobytes()).decode()
        face = str(UUID(bytes=random.bytes(16), version=4))
        faces.append({"id": face, "person_id": person, "template": raw})
    part = {"model": seen["model"], "persons": persons, "faces": faces}
    client.post(f"/collections/{COLLECTION}/import", json=part).raise_for_status()


Act = Callable[[Page, dict[str, Path]], None]


def choose(page: Page, *files: Path, nth: int = 0) -> None:
    page.locator("input[type=file]").nth(nth).set_input_files([str(each) for each in files])


def identify(page: Page, photos: dict[str, Path]) -> None:
    choose(page, photos["from_the_archive.jpg"])
    page.locator(".bar").first.wait_for()


def enrol(page: Page, photos: dict[str, Path]) -> None:
    choose(page, photos["Eileen_Collins.jpg"], photos["tiny_copy.jpg"])
    page.locator(".chip", has_text="Refused").wait_for()
    page.locator(".twins img").first.wait_for()
    page.locator(".photo", has_text="tiny_copy").locator("summary").click()


def verify(page: Page, photos: dict[str, Path]) -> None:
    choose(page, photos["Eileen_Collins.jpg"], photos["from_the_archive.jpg"])
    page.get_by_label("Verdict").wait_for()


def people(page: Page, photos: dict[str, Path]) -> None:
    page.locator(".person-row img").first.wait_for()


def system(page: Page, photos: dict[str, Path]) -> None:
    page.locator(".spark").first.wait_for()


SHOTS: Final[dict[str, tuple[str, dict[str, int], str, Act]]] = {
    "identify": ("/#/identify", WIDE, "light", identify),
    "enrol": ("/#/enrol", {**WIDE, "height": 1010}, "light", enrol),
    "verify": ("/#/verify", {**WIDE, "height": 1290}, "light", verify),
    "people": (f"/#/people/{COLLECTION}", {**WIDE, "height": 860}, "light", people),
    "system": ("/#/system", {**WIDE, "height": 860}, "dark", system),
    "phone-identify-dark": ("/#/identify", {**PHONE, "height": 1060}, "dark", identify),
    "phone-enrol": ("/#/enrol", {**PHONE, "height": 1060}, "light", enrol),
    "phone-verify-dark": ("/#/verify", {**PHONE, "height": 1060}, "dark", verify),
}


def shoot(
    browser: Browser,
    address: str,
    size: Any,
    colours: Any,
    act: Act,
    photos: dict[str, Path],
    picture: str,
) -> None:
    context = browser.new_context(viewport=size, color_scheme=colours, device_scale_factor=1)
    context.add_init_script(f"sessionStorage.setItem('rollcall.collection', '{COLLECTION}')")
    page = context.new_page()
    page.goto(address)
    act(page, photos)
    page.wait_for_timeout(900)
    page.evaluate("scrollTo(0, 0)")
    if picture == "phone-enrol":
        page.locator(".photo").first.evaluate(
            "at => scrollBy(0, at.getBoundingClientRect().top - 16)"
        )
    if picture == "phone-verify-dark":
        page.get_by_label("Verdict").evaluate(
            "at => scrollBy(0, at.getBoundingClientRect().top - 16)"
        )
    page.wait_for_timeout(200)
    image = Image.open(io.BytesIO(page.screenshot()))
    file = OUT / f"{picture}.png"
    # A palette makes a third of the bytes, and nobody sees it.
    image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")
    context.close()


if __name__ == "__main__":
    main()

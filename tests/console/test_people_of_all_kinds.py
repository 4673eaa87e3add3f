"""Hostile names and metadata are shown as text; everything can be used without a mouse, heard
instead of seen, and read in light and dark."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console.test_screens import Photos, Visit, choose, work_in

EVIL = "<img src=x onerror=alert(1)>\u202etxt.exe"
LONG = "W" * 500


@pytest.fixture
def hostile(api: httpx.Client, collection: str, astronaut: bytes, hanks: bytes) -> str:
    metadata = {
        "<script>alert(1)</script>": "A" * 10_000,
        "\u202etluafed": "\u202e<svg onload=alert(2)>",
        "__proto__": {"constructor": "javascript:alert(3)"},
    }
    for name, image, own in ((EVIL, astronaut, LONG), (LONG, hanks, "\u202e" * 200)):
        answer = api.post(
            "/enroll",
            files={"images": image},
            data={
                "collection": collection, "name": name, "external_id": own,
                "metadata": json.dumps(metadata), "consent": EVIL, "references": EVIL,
            },
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
    return collection


def check(page: Page) -> None:
    """Nothing of it became an element, ran, or pushed the page out of its frame."""
    for kind in ("img[src='x']", "svg[onload]", "main script", "iframe", "[onerror]"):
        assert page.locator(kind).count() == 0, kind
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels too wide"
    stray = page.evaluate(
        "() => { const found = []; const walk = document.createTreeWalker(document.body, 4);"
        " while (walk.nextNode()) { const text = walk.currentNode;"
        " if (text.data.includes('\\u202e') && !text.parentElement.closest('bdi'))"
        " found.push(text.data); } return found; }"
    )
    assert stray == [], "a right-to-left mark reaches beyond its own text"


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_names_and_metadata_are_text(
    visit: Visit, everything: str, photos: Photos, hostile: str, width: int
) -> None:
    page = visit("/#/identify", everything, viewport={"width": width, "height": 800})
    work_in(page, hostile)
    choose(page, photos["astronaut"])
    expect(page.locator(".box.match .tag")).to_have_text(EVIL)
    expect(page.locator(".bar")).to_have_count(2)
    check(page)
    page.goto(page.url.split("#")[0] + f"#/people/{hostile}")
    expect(page.get_by_role("link", name=EVIL)).to_be_visible()
    check(page)
    page.get_by_role("link", name=EVIL).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    expect(page.locator(".metadata")).to_contain_text("<script>alert(1)</script>")
    assert len(page.locator(".metadata").inner_text()) < 2_000
    check(page)
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text(EVIL)
    check(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Merge").click()
    expect(page.get_by_role("dialog").locator(".person-row")).to_have_count(1)
    check(page)
    page.keyboard.press("Escape")
    page.goto(page.url.split("#")[0] + "#/enrol")
    choose(page, photos["astronaut"])
    expect(page.locator(".twins")).to_contain_text(EVIL)
    check(page)
    page.goto(page.url.split("#")[0] + "#/people/%3Cimg%20src=x%20onerror=alert(1)%3E/%E0%A4%A")
    expect(page.locator("main")).to_be_visible()
    check(page)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(40):
        page.keyboard.press("Tab")
        held = page.evaluate(
            "() => { const at = document.activeElement;"
            " return at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent"
            " ?? at.textContent; }"
        )
        if held.strip().startswith(name):
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_everything_can_be_done_with_the_keyboard_alone(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    page = visit("/#/people", everything)
    # Whoever listens only when the key is pressed may come too late.
    page.on("filechooser", lambda _: None)
    work_in(page, crew)
    expect(page.get_by_role("heading", level=1)).to_have_text("People")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the page")).to_be_in_viewport()
    tab_to(page, "Identify")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Identify")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "Choose a photo")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(str(photos["group"]))
    expect(page.locator(".box")).to_have_count(6)
    expect(page.locator("#live")).to_contain_text("0 of 6 faces are offered a name")
    tab_to(page, "Face 3")
    page.keyboard.press("Enter")
    expect(page.locator("details[open] > .face-row")).to_contain_text("Face 3")
    expect(page.locator("details[open] > .face-row")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("details[open] > .face-row")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    slider = page.get_by_role("slider")
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "1 in 67 (1.5\u00a0%)")
    expect(page.locator("#live")).to_contain_text("Threshold 0.")


def to_identify(page: Page, photos: Photos) -> None:
    choose(page, photos["group"])
    page.locator(".box").nth(2).click()
    page.locator("details[open] .more summary").click()


def to_enrol(page: Page, photos: Photos) -> None:
    choose(page, photos["astronaut"], photos["faceless"], photos["group"])
    expect(page.locator(".chip", has_text="Looking")).to_have_count(0)


def to_verify(page: Page, photos: Photos) -> None:
    choose(page, photos["astronaut"], photos["hanks"])
    expect(page.get_by_label("Verdict")).to_be_visible()


def to_one(page: Page, photos: Photos) -> None:
    page.get_by_role("link", name="Tom Hanks").click()
    page.get_by_role("button", name="Edit").click()


def to_dialog(page: Page, photos: Photos) -> None:
    page.get_by_role("link", name="Tom Hanks").click()
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()


def to_system(page: Page, photos: Photos) -> None:
    page.get_by_text("Model card").click()
    page.get_by_text("The numbers").click()
    expect(page.get_by_role("region", name="Audit record").locator("td").first).to_be_visible()


def stay(page: Page, photos: Photos) -> None:
    page.wait_for_load_state("networkidle")


SCREENS: dict[str, tuple[str, Callable[[Page, Photos], None]]] = {
    "identify, empty": ("/#/identify", stay),
    "identify": ("/#/identify", to_identify),
    "enrol": ("/#/enrol", to_enrol),
    "verify": ("/#/verify", to_verify),
    "collections": ("/#/people", stay),
    "persons": ("/#/people/{crew}", stay),
    "person": ("/#/people/{crew}", to_one),
    "a dialog": ("/#/people/{crew}", to_dialog),
    "system": ("/#/system", to_system),
    "reference": ("/docs", stay),
}


def test_axe_finds_nothing_serious_on_any_screen_in_light_and_dark(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    axe = Axe()
    found: list[str] = []
    page = visit("/", everything)
    work_in(page, crew)
    address = page.url.split("#")[0].rstrip("/")
    for number, (name, (path, go)) in enumerate(SCREENS.items()):
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        # Another query, or the browser would only change the part behind the #.
        before, _, after = path.format(crew=crew).partition("#")
        page.goto(f"{address}{before}?{number}#{after}")
        go(page, photos)
        found += serious(axe, page, name, {"resultTypes": ["violations"]})
        # What differs in the dark is colour; all else has been looked at.
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found += serious(axe, page, f"{name}, dark", {"runOnly": ["color-contrast"]})
    assert found == [], "\n".join(found)


def serious(axe: Axe, page: Page, name: str, options: dict[str, Any]) -> list[str]:
    page.wait_for_timeout(150)  # colours fade
    violations = axe.run(page, options=options).response["violations"]
    return [
        f"{name}: {each['id']} ({each['impact']}): {node['html'][:150]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]

"""What a person is told when something goes wrong, and what they are not offered."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.console.test_screens import Photos, Visit, choose, work_in
from tests.service import Service


def test_a_key_is_asked_for_and_stays_in_its_tab(
    visit: Visit, everything: str, console: Service, crew: str
) -> None:
    page = visit("/#/people")
    asks = page.get_by_role("dialog", name="This service asks for a key")
    asks.get_by_label("API key").fill("rc_0123456789abcdef_nonsense")
    asks.get_by_role("button", name="Use this key").click()
    expect(asks.get_by_role("alert")).to_contain_text("This API key opens nothing here")
    page.get_by_label("API key").fill(everything)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=crew)).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name=crew)).to_be_visible()
    assert page.evaluate("Object.values(sessionStorage)").count(everything) == 1
    assert everything not in page.url
    assert everything not in console.output()
    assert everything.split("_", 2)[2] not in console.output()
    other = visit("/#/people")
    expect(other.get_by_label("API key")).to_be_visible()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('rollcall.key')") is None


def test_what_a_key_may_not_do_is_not_offered(
    visit: Visit, narrow: Callable[..., str], crew: str
) -> None:
    page = visit("/#/people", narrow("identify", "read", collections=[crew]))
    screens = page.get_by_role("navigation", name="Screens")
    expect(screens.get_by_role("link")).to_have_text(
        ["Identify", "People", "System", "API reference"]
    )
    expect(page.locator(".shelf .card")).to_have_count(1)
    page.get_by_role("link", name=crew).click()
    page.get_by_role("link", name="Tom Hanks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tom Hanks")
    for name in ("Edit", "Erase", "Merge", "Add photos", "Erase face 1"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    screens.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="Packs")).to_be_visible()
    for name in ("Just now", "Audit record"):
        expect(page.get_by_role("heading", name=name)).to_have_count(0)


def test_a_key_for_one_thing_sees_one_thing(
    visit: Visit, narrow: Callable[..., str], photos: Photos, crew: str
) -> None:
    page = visit("/", narrow("identify", collections=[crew]))
    choose(page, photos["hanks"])
    expect(page.locator(".box.match .tag")).to_have_text("Tom Hanks")
    expect(page.locator(".bar a")).to_have_count(0)
    nothing = visit("/", narrow("embeddings"))
    expect(nothing.get_by_role("heading", level=1)).to_have_text("This key opens no screen")


def test_a_photo_that_cannot_be_used_is_answered_with_a_sentence_that_helps(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    page = visit("/#/identify", everything)
    work_in(page, crew)
    choose(page, photos["faceless"])
    expect(page.get_by_role("alert")).to_contain_text("Use an upright, well-lit photo")
    choose(page, photos["no picture"])
    expect(page.get_by_role("alert")).to_contain_text("Save it as JPEG and try again")
    choose(page, photos["hanks"])
    expect(page.locator(".box.match")).to_have_count(1)


def busy(route: Route) -> None:
    """As the service says it when its queues are full, which a test cannot make it say on time."""
    problem = {
        "type": "urn:rollcall:problem:overloaded", "title": "Service Unavailable", "status": 503,
        "detail": "Too many images are waiting.", "code": "overloaded", "request_id": "x",
    }  # fmt: skip
    headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
    route.fulfill(status=503, headers=headers, body=json.dumps(problem))


def test_a_busy_service_is_said_to_be_busy_and_asked_again(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    page = visit("/#/identify", everything)
    work_in(page, crew)
    page.route("**/identify", busy)
    choose(page, photos["hanks"])
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service cannot do this right now.")
    expect(alert).to_contain_text("Try again in 1 second.")
    page.unroute("**/identify")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".box.match")).to_have_count(1)


def test_long_work_waits_for_a_busy_service_by_itself(
    visit: Visit, everything: str, photos: Photos, collection: str
) -> None:
    page = visit("/#/enrol", everything)
    work_in(page, collection)
    page.route("**/enroll", busy, times=1)
    choose(page, photos["hanks"])
    page.get_by_role("button", name="Enrol 1 person").click()
    expect(page.locator(".photo .chip", has_text="Enrolled")).to_be_visible()


def test_a_service_that_is_gone_is_said_to_be_gone(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    page = visit("/#/identify", everything)
    work_in(page, crew)
    expect(page.locator(".drop")).to_be_visible()
    page.context.set_offline(True)
    choose(page, photos["hanks"])
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".box.match")).to_have_count(1)


def test_a_person_who_is_gone_is_a_sentence_too(visit: Visit, everything: str, crew: str) -> None:
    page: Page = visit(f"/#/people/{crew}/00000000-0000-4000-8000-000000000000", everything)
    expect(page.get_by_role("alert")).to_contain_text("This person is not there any more.")


def test_a_photo_dropped_beside_its_place_does_not_replace_the_page(
    visit: Visit, everything: str, photos: dict[str, Path]
) -> None:
    page = visit("/#/identify", everything)
    expect(page.locator(".drop")).to_be_visible()
    assert page.evaluate(
        "() => { const event = new DragEvent('drop', {cancelable: true, bubbles: true});"
        " document.body.dispatchEvent(event); return event.defaultPrevented; }"
    )

"""Each screen's main path, as a person goes it, on real photos and the real pack."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page, expect

Visit = Callable[..., Page]
Photos = dict[str, Path]


def choose(page: Page, *files: Path, nth: int = 0) -> None:
    page.locator("input[type=file]").nth(nth).set_input_files([str(each) for each in files])


def work_in(page: Page, collection: str) -> None:
    page.evaluate("name => sessionStorage.setItem('rollcall.collection', name)", collection)
    page.reload()


def card(page: Page, name: str) -> Locator:
    return page.locator(".photo", has_text=name)


def test_a_newcomer_enrols_three_people_and_finds_them_on_a_group_photo(
    visit: Visit, everything: str, photos: Photos, collection: str, api: httpx.Client
) -> None:
    page = visit("/#/enrol", everything)
    work_in(page, collection)
    choose(page, photos["astronaut"], photos["hanks"], photos["group"])
    expect(card(page, "Eileen_Collins.png").locator(".chip")).to_have_text("Good")
    expect(card(page, "Eileen_Collins.png").get_by_label("Name")).to_have_value("Eileen Collins")
    party = card(page, "party.jpg")
    expect(party.locator(".chip")).to_have_text("Which face?")
    party.get_by_role("button", name="Enrol face 1 of 6").click()
    expect(party.locator(".chip")).to_have_text("Good")
    party.get_by_label("Name").fill("The host")
    page.get_by_role("button", name="Enrol 3 people").click()
    expect(page.locator(".photo .chip", has_text="Enrolled")).to_have_count(3)
    census = api.get(f"/collections/{collection}").json()
    assert (census["person_count"], census["face_count"]) == (3, 3)

    page.get_by_role("link", name="Identify", exact=True).click()
    choose(page, photos["group"])
    expect(page.locator(".box")).to_have_count(6)
    expect(page.locator(".box.match")).to_have_count(1)
    expect(page.locator(".box.match .tag")).to_have_text("The host")
    expect(page.get_by_text("1 of 6 faces is offered a name.", exact=True)).to_be_visible()


def test_the_slider_shows_what_the_service_would_decide(
    visit: Visit, everything: str, photos: Photos, crew: str, api: httpx.Client
) -> None:
    page = visit("/#/identify", everything)
    work_in(page, crew)
    choose(page, photos["hanks"])
    expect(page.locator(".box.match .tag")).to_have_text("Tom Hanks")
    slider = page.get_by_role("slider")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for move, target in (("Home", 0.01), ("End", 0.2)):
        slider.press(move)
        answer = api.post(
            "/identify",
            files={"image": photos["hanks"].read_bytes()},
            data={"collection": crew, "target_fpir": str(target)},
        ).json()
        expect(page.get_by_label("Threshold", exact=True)).to_contain_text(
            f"Threshold {answer['threshold']:.3f} for 2 enrolled faces"
        )
    assert asked == [], "moving the slider asks for nothing"
    bars = page.locator(".bar")
    expect(bars).to_have_count(2)
    expect(bars.nth(0)).to_contain_text("above the threshold")
    expect(bars.nth(1)).to_contain_text("not offered")
    expect(bars.nth(1)).to_have_class(re.compile("below"))


def test_a_likely_duplicate_is_shown_before_it_is_saved(
    visit: Visit, everything: str, photos: Photos, own_crew: str, api: httpx.Client
) -> None:
    page = visit("/#/enrol", everything)
    work_in(page, own_crew)
    choose(page, photos["astronaut"])
    found = card(page, "Eileen_Collins.png")
    expect(found.locator(".chip")).to_have_text("Decide")
    expect(found.get_by_text("Somebody like this is enrolled already")).to_be_visible()
    expect(found.locator(".beside img")).to_be_visible()  # the crop that was kept
    expect(page.get_by_role("button", name="Enrol", exact=True)).to_be_disabled()
    assert api.get(f"/collections/{own_crew}").json()["face_count"] == 2
    found.get_by_label("It is Eileen Collins: add it to them").check()
    page.get_by_role("button", name="Enrol 1 person").click()
    expect(found.locator(".chip")).to_have_text("Enrolled")
    census = api.get(f"/collections/{own_crew}").json()
    assert (census["person_count"], census["face_count"]) == (2, 3)


def test_photos_of_one_person_are_enrolled_together_and_bad_ones_say_why(
    visit: Visit, everything: str, photos: Photos, collection: str, api: httpx.Client
) -> None:
    page = visit("/#/enrol", everything)
    work_in(page, collection)
    page.get_by_label("All photos show one person").check()
    page.get_by_label("Name", exact=True).fill("Tom Hanks")
    page.get_by_label("Metadata").fill('{"team": ')
    choose(page, photos["hanks"], photos["faceless"], photos["no picture"])
    expect(card(page, "IMG_0001.png")).to_contain_text("There is no face in this photo")
    expect(card(page, "notes.png")).to_contain_text("This file is no JPEG, PNG or WebP picture.")
    page.get_by_role("button", name="Enrol 1 photo of one person").click()
    expect(page.get_by_text("This is not JSON")).to_be_visible()
    page.get_by_label("Metadata").fill('{"team": "films"}')
    page.get_by_label("Consent").fill("form 12")
    page.get_by_role("button", name="Enrol 1 photo of one person").click()
    expect(card(page, "Tom Hanks.png").locator(".chip")).to_have_text("Enrolled")
    [person] = api.get(f"/collections/{collection}/persons").json()["persons"]
    assert (person["name"], person["metadata"]) == ("Tom Hanks", {"team": "films"})
    assert person["consent"] == "form 12"


def test_two_photos_are_compared_in_words_that_hold(
    visit: Visit, everything: str, photos: Photos, api: httpx.Client
) -> None:
    page = visit("/#/verify", everything)
    choose(page, photos["astronaut"], photos["hanks"])
    verdict = page.get_by_label("Verdict")
    expect(verdict).to_contain_text("Does not count as the same person")
    expect(verdict).to_contain_text("More than 1 in 10 pairs of strangers score this high")
    expect(verdict).to_contain_text("It does not say how likely these two are one person")
    choose(page, photos["astronaut"], nth=1)
    expect(verdict).to_contain_text("Counts as the same person")
    expect(verdict).to_contain_text("Fewer than 1 in 33,000 pairs of strangers score this high.")
    page.get_by_role("slider").press("End")
    expect(verdict).to_contain_text("At this setting 1 in 33,000 pairs of strangers")
    rows = api.get("/models").json()["models"][0]["calibration"]["fmr"]
    expect(verdict).to_contain_text(f"the threshold {rows[-1]['threshold']:.3f}")
    expect(page.get_by_role("img", name=re.compile("Scores of pairs"))).to_be_visible()


def test_a_photo_is_compared_with_an_enrolled_person(
    visit: Visit, everything: str, photos: Photos, crew: str
) -> None:
    page = visit("/#/verify", everything)
    work_in(page, crew)
    page.get_by_label("A photo and an enrolled person").check()
    choose(page, photos["hanks"])
    page.get_by_role("button", name="Choose a person").click()
    page.get_by_role("dialog").get_by_role("button", name="Tom Hanks").click()
    expect(page.get_by_label("Verdict")).to_contain_text("Counts as Tom Hanks")


def test_people_are_found_edited_merged_and_erased(
    visit: Visit, everything: str, own_crew: str, api: httpx.Client
) -> None:
    page = visit("/#/people", everything)
    page.get_by_role("link", name=own_crew).click()
    rows = page.locator(".person-row")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("img")).to_be_visible()
    page.get_by_label("Search persons").fill("hank")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tom Hanks")

    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Thomas")
    page.get_by_label("Metadata").fill('{"seat": 4}')
    page.get_by_label("Forget after").fill("2099-01-31T12:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thomas")
    names = {
        each["name"]: each for each in api.get(f"/collections/{own_crew}/persons").json()["persons"]
    }
    assert names["Thomas"]["metadata"] == {"seat": 4}
    assert names["Thomas"]["expires_at"].startswith("2099-01-31")

    page.get_by_role("button", name="Merge").click()
    page.get_by_role("dialog").get_by_role("button", name="Eileen Collins").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 face of Eileen Collins go to Thomas")
    page.get_by_role("button", name="Merge them").click()
    expect(page.get_by_text("2 enrolled faces").first).to_be_visible()

    page.get_by_role("button", name="Erase face 2").click()
    page.get_by_role("button", name="Erase the face").click()
    expect(page.get_by_text("1 enrolled face,")).to_be_visible()

    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("1 enrolled face with templates and kept")
    page.get_by_role("button", name="Erase the person").click()
    expect(page.get_by_text("Nobody is enrolled here yet.")).to_be_visible()

    page.get_by_role("button", name="Erase collection").click()
    sure = page.get_by_role("button", name="Erase everything in it")
    expect(sure).to_be_disabled()
    page.get_by_label(f"Type {own_crew} to go on").fill(own_crew)
    sure.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("People")
    assert api.get(f"/collections/{own_crew}").status_code == 404


def test_the_system_is_shown_as_it_is(visit: Visit, everything: str, crew: str) -> None:
    page = visit("/#/system", everything)
    expect(page.get_by_text("Live, every two seconds")).to_be_visible()
    index = page.get_by_role("region", name="Index of each collection")
    expect(index.get_by_role("row", name=re.compile(f"{crew} 2 2 0"))).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("CPUExecutionProvider")
    expect(page.get_by_role("img", name=re.compile("Detection error trade-off"))).to_be_visible()
    page.get_by_text("Model card").click()
    expect(page.get_by_role("heading", name=re.compile("starter"), level=3).nth(1)).to_be_visible()
    records = page.get_by_role("region", name="Audit record").locator("tbody tr")
    expect(records).to_have_count(12)
    page.get_by_role("button", name="Older").click()
    expect(records).to_have_count(24)


def test_a_photo_is_taken_with_the_camera(visit: Visit, everything: str, collection: str) -> None:
    page = visit("/#/identify", everything)
    work_in(page, collection)
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take it").click()
    # The camera of a test shows a clock, and nobody.
    expect(page.get_by_text("Nobody is enrolled here yet")).to_be_visible()


def test_the_reference_lists_every_operation(visit: Visit, api: httpx.Client) -> None:
    page = visit("/docs")
    document = api.get("/openapi.json").json()["paths"]
    expect(page.locator("article")).to_have_count(sum(len(each) for each in document.values()))
    page.get_by_label("Find an operation").fill("crop")
    page.get_by_role("link", name="GET /faces/{face_id}/crop").click()
    expect(page.locator("#get-faces-face-id-crop")).to_be_in_viewport()
    expect(page.locator("#get-faces-face-id-crop")).to_contain_text("scope read")

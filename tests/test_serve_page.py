"""The page of `ganhash serve` in a real browser, headless: what a person does, and what they then see."""

import base64
import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.web.search import SOME
from linear_hash import BITS
from pictures import paint
from serving import FIRST, Served, encode_again, serving, serving_in, work_in

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'ganhash[dev]' brings it"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install it, as by `apt-get install chromium` on Debian"
)
sync_api.expect.set_options(timeout=20_000)  # milliseconds: a browser among other tests has little of the processor
MANY = 150  # images of one more colour, so that there are several pages


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    with contextlib.chdir(folder):
        work_in(folder)
        for number in range(MANY):
            paint(Path(f"folder/yellow/{number:03}.png"), (200, 200, 40), seed=1000 + number)
        encode_again(Bundle.open(Path("model")))
        with serving() as running:
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The page, opened; whatever it reports as an error, or asks of another place, fails the test."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Security Policy" in said.text else None)
    page.on(
        "request", lambda asked: faults.append(asked.url) if not asked.url.startswith((served.url, "blob:")) else None
    )
    page.goto(served.url)
    sync_api.expect(page.locator("#about")).to_contain_text("186 images")
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def photo(served: Served) -> Path:
    return served.errors.parent / FIRST


def drop(page: Any, content: bytes, name: str = "img.png", event: str = "drop") -> None:
    """Drop or paste a file onto the page, as the system does."""
    page.evaluate(
        """([content, name, event]) => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
            data.items.add(new File([bytes], name));
            document.body.dispatchEvent(event === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        [base64.b64encode(content).decode(), name, event],
    )


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("#results .name").all_text_contents()
    return found


def wait_for_results(page: Any) -> None:
    sync_api.expect(page.locator("#results li").first).to_be_visible()
    sync_api.expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")


def test_a_photo_is_dropped_and_its_neighbours_are_seen(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    assert names(page)[0] == "blue/00.png"
    sync_api.expect(page.locator("#query-name")).to_have_text("img.png")
    sync_api.expect(page.locator("#results .compare").first).to_have_text(f"0/{BITS}")
    sync_api.expect(page.locator("#results .label").first).to_have_text("blue")
    shown = "() => document.querySelector('#results img').naturalWidth === 192"
    page.wait_for_function(shown)
    page.wait_for_function("() => document.querySelector('#query-image').naturalWidth === 32")


@pytest.mark.parametrize("way", ["paste", "choose"])
def test_a_photo_may_also_be_pasted_or_chosen(page: Any, photo: Path, way: str) -> None:
    if way == "paste":
        drop(page, photo.read_bytes(), event="paste")
    else:
        page.locator("#file").set_input_files(photo)
    wait_for_results(page)
    assert names(page)[0] == "blue/00.png"


def test_a_result_is_clicked_and_searched_from_and_back_leads_back(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.locator("#label").select_option("red")
    sync_api.expect(page.locator("#results .label").first).to_have_text("red")
    chosen = names(page)[0]
    page.locator("#label").select_option("")
    sync_api.expect(page.locator("#results .label").first).to_have_text("blue")
    while chosen not in names(page):
        page.locator("#more").click()
        page.wait_for_timeout(100)
    page.locator("#results li", has_text=chosen).locator(".search").click()
    sync_api.expect(page.locator("#query-name")).to_have_text(chosen)
    sync_api.expect(page.locator("#results .label").first).to_have_text("red")
    page.go_back()
    sync_api.expect(page.locator("#query-name")).to_have_text("img.png")
    sync_api.expect(page.locator("#results .label").first).to_have_text("blue")


def test_it_begins_with_images_of_every_class_to_search_from(page: Any) -> None:
    sync_api.expect(page.locator("#status")).to_contain_text("Click an image to find those most like it")
    sync_api.expect(page.locator("#examples li")).to_have_count(SOME)
    assert set(page.locator("#examples .label").all_text_contents()) == {"blue", "green", "red", "yellow"}
    chosen = page.locator("#examples .name").nth(3).text_content()
    page.locator("#examples .search").nth(3).click()
    wait_for_results(page)
    sync_api.expect(page.locator("#query-name")).to_have_text(chosen)
    sync_api.expect(page.locator("#examples")).to_be_hidden()
    sync_api.expect(page.locator("#results")).to_be_focused()


def limit(page: Any, steps: int, label: str) -> None:
    """Choose a distance by the keyboard, and a label."""
    page.locator("#distance").focus()
    page.keyboard.press("Home")
    for _ in range(steps):
        page.keyboard.press("ArrowRight")
    page.locator("#label").select_option(label)
    sync_api.expect(page.locator("#status")).to_contain_text(f"within {steps} of")
    wait_for_results(page)


def test_an_address_holds_the_image_the_distance_and_the_label_of_a_search(page: Any, served: Served) -> None:
    page.locator("#examples .search", has=page.locator("[alt='blue/00.png']")).click()
    wait_for_results(page)
    limit(page, 1, "blue")
    found = names(page)
    assert 0 < len(found) < 12
    assert page.url == f"{served.url}?image=blue%2F00.png&max_distance=1&label=blue"
    other = page.context.new_page()
    other.goto(page.url)
    wait_for_results(other)
    assert names(other) == found
    sync_api.expect(other.locator("#query-name")).to_have_text("blue/00.png")
    sync_api.expect(other.locator("#distance-shown")).to_have_text(f"1 of {BITS}: {len(found)} images")
    sync_api.expect(other).to_have_title("blue/00.png - ganhash")


def test_back_and_forward_lead_through_searches_with_their_limits(page: Any, photo: Path) -> None:
    page.locator("#examples .search", has=page.locator("[alt='blue/00.png']")).click()
    wait_for_results(page)
    limit(page, 1, "blue")
    found = names(page)
    drop(page, photo.read_bytes())
    sync_api.expect(page.locator("#query-name")).to_have_text("img.png")
    page.go_back()
    sync_api.expect(page.locator("#query-name")).to_have_text("blue/00.png")
    wait_for_results(page)
    assert (names(page), page.locator("#distance").input_value()) == (found, "1")
    page.go_back()
    sync_api.expect(page.locator("#examples li")).to_have_count(SOME)
    sync_api.expect(page.locator("#results")).to_be_hidden()
    page.go_forward()
    page.go_forward()
    sync_api.expect(page.locator("#query-name")).to_have_text("img.png")
    sync_api.expect(page.locator("#query-image")).to_be_visible()


def test_a_search_gone_back_to_is_not_lost_to_a_slider_that_was_moved_just_before(page: Any, photo: Path) -> None:
    page.locator("#examples .search", has=page.locator("[alt='blue/00.png']")).click()
    wait_for_results(page)
    address = page.url
    drop(page, photo.read_bytes())
    sync_api.expect(page.locator("#query-name")).to_have_text("img.png")
    wait_for_results(page)
    page.route("**/api/images?*", lambda route: (page.wait_for_timeout(500), route.continue_()))
    page.evaluate(
        """() => {
            const distance = document.getElementById("distance");
            distance.value = 1;
            distance.dispatchEvent(new Event("input"));
            history.back();
        }"""
    )
    sync_api.expect(page.locator("#query-name")).to_have_text("blue/00.png")
    assert page.url == address


def test_a_search_from_an_image_that_was_sent_can_be_opened_again_without_it(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    found = names(page)
    other = page.context.new_page()
    other.goto(page.url)
    wait_for_results(other)
    assert names(other) == found
    sync_api.expect(other.locator("#query-name")).to_have_text("an image that was sent")


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ("image=gone.png", "there is no image gone.png here"),
        ("image=blue/00.png&label=purple", "there is no label 'purple'"),
        ("code=zz", "hexadecimal digits"),
    ],
)
def test_an_address_that_leads_nowhere_says_why(page: Any, served: Served, search: str, reason: str) -> None:
    page.goto(f"{served.url}?{search}")
    sync_api.expect(page.locator("#error")).to_contain_text(reason)
    page.locator("#home").click()
    sync_api.expect(page.locator("#examples li")).to_have_count(SOME)


def test_the_link_to_the_results_starts_no_search(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#results")).to_be_focused()
    page.wait_for_timeout(200)
    assert asked == []


@pytest.mark.parametrize(("width", "least"), [(375, 80), (1280, 200)])
def test_a_small_query_fills_its_place(page: Any, photo: Path, width: int, least: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    drop(page, photo.read_bytes())  # 32 pixels
    wait_for_results(page)
    assert page.locator("#query-image").bounding_box()["width"] > least


def test_on_a_phone_results_begin_in_the_upper_half_of_the_screen(page: Any, photo: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    drop(page, photo.read_bytes())
    wait_for_results(page)
    assert page.locator("#results li").first.bounding_box()["y"] < 422


def test_images_to_start_from_have_no_button_of_a_distance(page: Any) -> None:
    sync_api.expect(page.locator("#examples li").first).to_be_visible()
    assert "undefined" not in page.locator("#examples").inner_html()


def test_one_image_within_a_distance_is_told_of_in_the_singular(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.evaluate("state.counts = [1]; $('distance').value = 0; showDistance()")
    assert page.locator("#distance-shown").inner_text() == f"0 of {BITS}: 1 image"


def test_the_slider_at_its_end_says_that_it_limits_nothing(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    sync_api.expect(page.locator("#distance-shown")).to_have_text(f"no limit: {36 + MANY} images")
    sync_api.expect(page.locator("#distance")).to_have_attribute("aria-valuetext", f"no limit, {36 + MANY} images")


def test_the_slider_hides_what_is_farther(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.locator("#distance").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelectorAll('#results li').length < 12")
    distances = {text.partition("/")[0] for text in page.locator("#results .compare").all_text_contents()}
    assert distances <= {"0", "1"}
    count = page.locator("#results li").count()
    assert count > 0
    sync_api.expect(page.locator("#distance-shown")).to_have_text(f"1 of {BITS}: {count} images")


def test_a_label_filters(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.locator("#label").select_option("green")
    sync_api.expect(page.locator("#results .label").first).to_have_text("green")
    assert set(page.locator("#results .label").all_text_contents()) == {"green"}
    assert len(names(page)) == 12


def test_further_pages_come_when_they_are_scrolled_to(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    assert page.locator("#results li").count() < 36 + MANY
    for _ in range(20):
        page.mouse.wheel(0, 5000)
        page.wait_for_timeout(100)
    assert len(set(names(page))) == 36 + MANY
    sync_api.expect(page.locator("#more")).to_be_hidden()


def test_thumbnails_far_below_are_not_asked_for(page: Any, photo: Path) -> None:
    page.set_viewport_size({"width": 400, "height": 400})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/thumbnail/" in request.url else None)
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.wait_for_timeout(500)
    assert 0 < len(asked) < 60


def test_the_bits_that_differ_are_marked(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    far = page.locator("#results .compare:not(:has-text('0/12'))").first
    distance = int((far.text_content() or "").partition("/")[0])
    far.click()
    sync_api.expect(page.locator("#bits")).to_be_visible()
    sync_api.expect(page.locator("#bits-summary")).to_contain_text(f"{distance} of {BITS} bits differ: ")
    assert page.locator("#bits-rows .differs").count() == 2 * distance
    page.keyboard.press("Escape")
    sync_api.expect(page.locator("#bits")).to_be_hidden()
    sync_api.expect(far).to_be_focused()


def test_the_keyboard_alone_reaches_everything(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[:5] == ["skip", "home", "file", "distance", "label"]
    assert {"search", "compare"} <= set(reached[5:])
    page.locator("#results .search").nth(1).focus()
    name = names(page)[1]
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#query-name")).to_have_text(name)


def test_everything_that_can_be_used_has_a_name_for_a_screen_reader(page: Any, photo: Path) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    tree = page.locator("body").aria_snapshot()
    assert "search from blue/00.png, number 1, distance 0" in tree
    assert f"distance 0 of {BITS}: compare bit by bit with blue/00.png" in tree
    assert 'slider "Differing bits, at most"' in tree
    assert 'combobox "Label"' in tree
    unnamed = """() => Array.from(document.querySelectorAll("button, input, select, img"))
        .filter((each) => each.checkVisibility() && !each.textContent && !each.alt)
        .filter((each) => !each.getAttribute("aria-label") && !(each.labels || []).length)
        .map((each) => each.outerHTML)"""
    assert page.evaluate(unnamed) == []


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"this is text", "photo.jpg", "this image cannot be read: not an image of a known format"),
        (bytes(21_000_000), "large.png", "21 MB; at most 20 MB can be sent"),
    ],
)
def test_a_file_that_is_no_image_is_explained_and_the_results_stay(
    page: Any, photo: Path, content: bytes, name: str, reason: str
) -> None:
    drop(page, photo.read_bytes())
    wait_for_results(page)
    drop(page, content, name)
    sync_api.expect(page.locator("#error")).to_contain_text(reason)
    assert names(page)[0] == "blue/00.png"
    drop(page, photo.read_bytes())
    sync_api.expect(page.locator("#error")).to_be_hidden()


def test_an_image_that_has_gone_is_shown_as_such(page: Any, photo: Path) -> None:
    gone = photo.with_name("01.png")  # whose picture is not among those the page begins with
    away = gone.rename(gone.with_suffix(".away"))
    try:
        drop(page, away.read_bytes())
        sync_api.expect(page.locator("#results .empty").first).to_have_text("blue/01.png is missing")
    finally:
        away.rename(gone)


def test_an_image_that_changed_is_shown_as_such(page: Any, photo: Path) -> None:
    changed = photo.with_name("01.png")
    content, found = changed.read_bytes(), changed.stat()
    try:
        changed.write_bytes(photo.read_bytes())
        drop(page, content)
        place = page.locator("#results li", has_text="blue/01.png").locator(".empty")
        sync_api.expect(place).to_have_text("blue/01.png changed since it was encoded")
    finally:
        changed.write_bytes(content)
        os.utime(changed, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def growing(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of a collection of its own, which the test changes."""
    with serving_in(tmp_path) as running, contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(running.url)
        sync_api.expect(page.locator("#examples li")).to_have_count(SOME)
        yield page


def encode_one_more_class() -> None:
    for number in range(12):
        paint(Path(f"folder/amber/{number:02}.png"), (255, 190, 0), seed=3000 + number)
    encode_again(Bundle.open(Path("model")))


def test_labels_and_the_count_are_those_of_new_codes_after_the_next_search(growing: Any) -> None:
    drop(growing, FIRST.read_bytes())
    wait_for_results(growing)
    growing.locator("#label").select_option("blue")
    wait_for_results(growing)
    encode_one_more_class()
    drop(growing, FIRST.read_bytes())
    sync_api.expect(growing.locator("#about")).to_contain_text("48 images")
    assert growing.locator("#label option").all_text_contents() == ["all", "amber", "blue", "green", "red"]
    sync_api.expect(growing.locator("#label")).to_have_value("blue")


def test_the_images_it_begins_with_are_those_of_new_codes(growing: Any) -> None:
    drop(growing, FIRST.read_bytes())
    wait_for_results(growing)
    encode_one_more_class()
    growing.go_back()
    sync_api.expect(growing.locator("#examples .label").first).to_have_text("amber")
    sync_api.expect(growing.locator("#about")).to_contain_text("48 images")
    growing.locator("#examples li").last.scroll_into_view_if_needed()
    growing.wait_for_function("() => document.querySelector('#examples li:last-child img').naturalWidth === 192")
    assert growing.locator("#examples .empty:visible").count() == 0


def test_a_picture_it_begins_with_whose_codes_were_replaced_is_asked_for_anew(browser: Any, tmp_path: Path) -> None:
    with serving_in(tmp_path) as running, contextlib.closing(browser.new_context()) as context:
        page, held, released = context.new_page(), list[Any](), threading.Event()
        page.route("**/thumbnail/**", lambda route: route.continue_() if released.is_set() else held.append(route))
        page.goto(running.url)
        sync_api.expect(page.locator("#examples li")).to_have_count(SOME)
        encode_one_more_class()
        released.set()
        for route in held:
            route.continue_()
        sync_api.expect(page.locator("#examples .label").first).to_have_text("amber")
        sync_api.expect(page.locator("#about")).to_contain_text("48 images")


def test_a_name_that_is_markup_stays_text(page: Any, served: Served, photo: Path) -> None:
    hostile = photo.with_name("<img src=x onerror=alert(1)>.png")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    with contextlib.chdir(served.errors.parent):
        hostile.write_bytes(photo.read_bytes())
        encode_again(Bundle.open(Path("model")))
        try:
            drop(page, photo.read_bytes(), name="<b>mine</b>.png")
            wait_for_results(page)
            assert f"blue/{hostile.name}" in names(page)
            sync_api.expect(page.locator("#query-name")).to_have_text("<b>mine</b>.png")
        finally:
            hostile.unlink()
            encode_again(Bundle.open(Path("model")))
    assert dialogs == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_leaves_the_screen_and_text_can_be_read(page: Any, photo: Path, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    drop(page, photo.read_bytes())
    wait_for_results(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("body", "#status", ".compare", "small", "#about"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Any, selector: str) -> float:
    """Return the contrast of the text of an element against what is behind it, as WCAG 2 defines it."""
    ink, paper = page.evaluate(
        """(selector) => {
            const element = document.querySelector(selector);
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
                .map((colour) => colour.match(/[0-9]+/g).slice(0, 3).map(Number));
        }""",
        selector,
    )

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)

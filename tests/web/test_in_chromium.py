"""The portal in a real browser: it loads in peace, fits every screen, and hands out its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO

import openpyxl
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from opsd.config import Settings, Web
from opsd.web import WebServer
from tests.web.world import NOW, build

pytestmark = pytest.mark.chromium

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
WIDE, NARROW = 1400, 390
A4 = 718  # CSS pixels between margins of a centimetre


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it these tests are left out, loudly."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium tests left out: chromium was not found; install the package chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A portal of the small world."""
    store = build(tmp_path_factory.mktemp("web"))
    server = WebServer(store, Settings("", "test", web=Web("127.0.0.1:0")), clock=lambda: NOW)
    server.start()
    yield server.url
    server.stop()
    store.close()


class Watched:
    """A tab of which everything is noted that a reader would not like."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))


@pytest.fixture(params=[WIDE, NARROW])
def tab(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Watched]:
    """A wide window, and a phone's."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    yield Watched(context.new_page())
    context.close()


@pytest.mark.parametrize("path", ["/?month=2026-10", "/?month=2020-01", "/?month=nonsense"])
def test_a_page_loads_in_peace_and_fits(tab: Watched, url: str, path: str) -> None:
    """No complaint on the console, nothing from elsewhere, nothing wider than the window."""
    answer = tab.page.goto(f"{url}{path}")
    widths = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    refused = answer is not None and answer.status == 400
    expected = ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]

    assert (expected if refused else []) == tab.complaints
    assert widths[0] == widths[1]
    assert {f"{url}{path}", f"{url}/static/opsd.css"} <= set(tab.asked)
    assert [] == [asked for asked in tab.asked if not asked.startswith(f"{url}/")]


def test_paper_holds_every_column(browser: Browser, url: str) -> None:
    """Printed on A4, nothing is cut off at the right, no scroll bar is drawn, no line is torn."""
    context = browser.new_context(viewport={"width": A4, "height": 1000})
    page = context.new_page()
    page.emulate_media(media="print")
    page.goto(f"{url}/?month=2026-10")
    right = page.eval_on_selector_all("td, th", "found => found.map(it => it.getBoundingClientRect().right)")
    scrolled = page.eval_on_selector_all(
        ".scroll", "found => found.map(it => getComputedStyle(it).overflowX)"
    )
    foot = page.eval_on_selector(".use tfoot", "it => getComputedStyle(it).display")
    context.close()

    assert max(right) <= A4
    assert {"visible"} == set(scrolled)
    assert "table-row-group" == foot


def test_the_style_sheet_is_obeyed(tab: Watched, url: str) -> None:
    """Bars have their widths and numbers stand right, so the policy lets through what it must."""
    tab.page.goto(f"{url}/?month=2026-10")
    bars = tab.page.eval_on_selector_all(
        ".grants .bar .fill", "found => found.map(it => it.getBoundingClientRect().width)"
    )
    align = tab.page.eval_on_selector(".use td.n", "it => getComputedStyle(it).textAlign")

    assert "right" == align
    assert all(width > 0 for width in bars)
    assert len(bars) == tab.page.locator(".grants tbody tr").count() > 0


def test_a_month_and_its_workbook_are_clicks_away(tab: Watched, url: str) -> None:
    """From the present month to the last, and its report as a file that opens."""
    tab.page.goto(url)
    tab.page.get_by_role("link", name="Previous month: October 2026").click()
    heading = tab.page.get_by_role("heading", level=1).inner_text()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Excel").click()
    book = openpyxl.load_workbook(BytesIO(download.value.path().read_bytes()), read_only=True)
    names = book.sheetnames
    book.close()

    assert "October 2026" == heading
    assert "opsd-2026-10-en.xlsx" == download.value.suggested_filename
    assert len(names) > 1


def test_a_language_is_a_click_away(tab: Watched, url: str) -> None:
    """The page stays; the files are in it, and the link says which language it is."""
    tab.page.goto(f"{url}/?month=2026-10")
    tab.page.get_by_role("link", name="Türkçe").click()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="JSON", exact=True).click()

    assert "opsd-2026-10-tr.json" == download.value.suggested_filename
    assert "October 2026" == tab.page.get_by_role("heading", level=1).inner_text()
    assert ["Türkçe"] == tab.page.locator(".files strong").all_inner_texts()
    assert "Provisional: the month is not closed" in tab.page.locator(".files").inner_text()


def test_hostile_names_do_nothing(tab: Watched, url: str) -> None:
    """A script in an organisation's name is words on the page."""
    opened: list[str] = []
    tab.page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    tab.page.goto(f"{url}/?month=2026-10")

    assert "<script>alert" in tab.page.locator(".brand").inner_text()
    assert [] == opened
    assert 0 == tab.page.locator("script").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(browser: Browser, url: str, scheme: str) -> None:
    """Contrast of every text is at least 4.5 to 1, in both schemes."""
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(f"{url}/?month=2026-10")
    pairs = page.evaluate(
        """() => {
            const paper = element => {
                for (let at = element; at; at = at.parentElement) {
                    const colour = getComputedStyle(at).backgroundColor;
                    if (colour !== "rgba(0, 0, 0, 0)") return colour;
                }
            };
            const found = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const element = walker.currentNode.parentElement;
                if (!walker.currentNode.data.trim() || element.closest("svg, [aria-hidden]")) continue;
                found.push([getComputedStyle(element).color, paper(element), walker.currentNode.data.trim()]);
            }
            return found;
        }"""
    )
    context.close()

    assert len(pairs) > 50
    assert [] == [text for ink, paper, text in pairs if contrast(ink, paper) < 4.5]


def contrast(ink: str, paper: str) -> float:
    """WCAG's ratio of two colours such as `rgb(1, 2, 3)`."""
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

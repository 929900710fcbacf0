"""The page of an experiment in a browser, opened from its file."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
QUIET = [
    "--no-sandbox", "--disable-gpu-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
PATIENCE_MS = 120_000
NO_WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest);
    };"""
"""Most tests go without 3D, which takes its time where there is no GPU."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here; pip install playwright")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *SOFTWARE])


class Tab:
    """The page in a tab; nothing may be said on its console, and nothing asked of the network."""

    def __init__(
        self, browser: Any, path: Path, width: int = 1200, scheme: str = "light", script: str = NO_WEBGL
    ) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page.set_default_timeout(PATIENCE_MS)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.asked: list[str] = []
        self.page.add_init_script(script)
        self.page.goto(path.as_uri())

    def settled(self) -> None:
        self.page.wait_for_function("document.getElementById('viewer-status').textContent.startsWith('Predicted')")

    def open_viewer(self) -> None:
        self.page.locator("#viewer-status").scroll_into_view_if_needed()
        self.settled()

    def tile(self, title: str) -> Any:
        return self.page.locator("figure.tile", has=self.page.locator(f"figcaption:text-is('{title}')"))

    def close(self) -> None:
        assert self.said == []
        assert all(url.startswith(("file:", "data:", "blob:")) for url in self.asked)
        self.page.close()


def ink(tile: Any) -> int:
    """How much of a tile's slice is coloured, not grey."""
    counted = """canvas => {
        const context = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
        context.drawImage(canvas, 0, 0);
        const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) count += Math.abs(data[i] - data[i + 2]) > 20;
        return count;
    }"""
    return int(tile.locator("canvas").first.evaluate(counted))


def test_switches_change_the_mask_and_the_picture(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.open_viewer()
    whole = tab.tile("Baseline").locator("dd").first.inner_text()
    full = ink(tab.tile("Baseline"))
    for name in ("t1", "t1c", "flair"):
        tab.page.locator(f"#viewer-modalities [value={name}]").focus()
        tab.page.keyboard.press("Space")
        tab.settled()
    assert tab.page.inner_text("#viewer-status").startswith("Predicted from t2.")
    assert tab.tile("Baseline").locator("dd").first.inner_text() != whole
    assert ink(tab.tile("Baseline")) < ink(tab.tile("+PASSION")) < full
    assert ink(tab.tile("Reference")) > 0
    # The last modality cannot be switched off.
    assert tab.page.is_disabled("#viewer-modalities [value=t2]")
    assert not tab.tile("+pixel").is_visible()
    tab.page.check("#viewer-methods [value='+pixel']")
    tab.settled()
    assert tab.tile("+pixel").is_visible()
    here = tab.tile("+pixel").locator("canvas").first.get_attribute("aria-label")
    tab.page.locator("#viewer-slice").focus()
    tab.page.keyboard.press("ArrowRight")
    tab.settled()
    assert tab.tile("+pixel").locator("canvas").first.get_attribute("aria-label") != here
    tab.page.select_option("#viewer-case", "1")
    tab.settled()
    assert tab.page.inner_text("#viewer-status").startswith("Predicted from t1, t1c, flair, t2.")
    tab.close()


def test_it_turns_in_three_dimensions(browser: Any, page: Path) -> None:
    tab = Tab(browser, page, width=420, scheme="dark", script="")
    tab.open_viewer()
    assert tab.page.is_checked("#viewer-view [value=solid]")
    tab.page.uncheck("#viewer-methods [value='Baseline']")
    tab.settled()
    solid = tab.tile("+PASSION").locator("canvas").nth(1)
    before = solid.screenshot()
    solid.focus()
    tab.page.keyboard.press("ArrowRight")
    after = solid.screenshot()
    assert before != after
    for name in ("t1", "t1c", "flair"):
        tab.page.uncheck(f"#viewer-modalities [value={name}]")
        tab.settled()
    assert solid.screenshot() != after
    tab.close()


def test_all_pictures_are_steered_alike_and_let_the_page_scroll(browser: Any, page: Path) -> None:
    tab = Tab(browser, page, width=900, script="")
    tab.open_viewer()
    tiles = [tab.tile(title).locator("canvas").nth(1) for title in ("Reference", "+PASSION")]

    def scrolled() -> float:
        return float(tab.page.evaluate("window.scrollY"))

    def changed(act: Callable[[], None]) -> list[bool]:
        before = [tile.screenshot() for tile in tiles]
        act()
        return [tile.screenshot() != one for tile, one in zip(tiles, before, strict=True)]

    assert tiles[0].get_attribute("role") == "application"
    tiles[0].scroll_into_view_if_needed()
    tiles[0].focus()
    assert changed(lambda: tab.page.keyboard.press("v")) == [False, False]
    assert changed(lambda: tab.page.keyboard.press("Alt+ArrowUp")) == [False, False]
    assert changed(lambda: tab.page.keyboard.press("+")) == [True, True]
    place = tiles[0].bounding_box()
    kept: list[bool] = []

    def drag() -> None:
        tab.page.mouse.move(place["x"] + 50, place["y"] + 50)
        tab.page.mouse.down()
        tab.page.mouse.move(place["x"] + 90, place["y"] + 60)
        tab.page.mouse.up()

    assert changed(drag) == [True, True]
    touched = """canvas => [['touchmove', 9], ['touchstart', 9, 50], ['touchmove', 9, 90]].map(([kind, ...places]) => {
        const touches = places.map((x, identifier) => new Touch({identifier, target: canvas, clientX: x, clientY: 0}));
        const event = new TouchEvent(kind, {touches, cancelable: true});
        canvas.dispatchEvent(event);
        return event.defaultPrevented;
    })"""
    # One finger is left to the page.
    assert changed(lambda: kept.extend(tiles[1].evaluate(touched))) == [True, True]
    assert kept == [False, True, True]
    tab.page.keyboard.down("Control")
    at = scrolled()
    assert changed(lambda: tab.page.mouse.wheel(0, 100)) == [True, True]
    assert scrolled() == at
    tab.page.keyboard.up("Control")
    tab.page.mouse.wheel(0, 100)
    tab.page.wait_for_function(f"window.scrollY > {at}")
    tab.close()


def test_without_webgl_there_are_slices(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.open_viewer()
    assert "no WebGL2" in tab.page.inner_text("#viewer-status")
    assert tab.page.is_disabled("#viewer-view [value=solid]")
    assert ink(tab.tile("+PASSION")) > 0
    assert not any("niivue" in url for url in tab.asked)
    tab.close()


def test_all_pictures_follow_the_slider_at_once(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.open_viewer()
    followed = tab.page.evaluate(
        """() => {
            const slider = document.getElementById('viewer-slice');
            return [3, 9, 4].map(slice => {
                slider.value = slice;
                slider.dispatchEvent(new Event('input'));
                const shown = [...document.querySelectorAll('.tile:not([hidden]) canvas[role=img]')];
                const status = document.getElementById('viewer-status').textContent;
                return [shown.map(canvas => canvas.ariaLabel.match(/slice (.*)/)[1]), status.startsWith('Predicted')];
            });
        }"""
    )
    assert followed == [[[str(slice_)] * 3, True] for slice_ in (3, 9, 4)]
    tab.close()


def test_what_was_asked_for_last_is_shown(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.open_viewer()

    def numbers() -> list[str]:
        tab.settled()
        return [str(text) for text in tab.tile("+PASSION").locator("dd").all_inner_texts()]

    whole = numbers()
    tab.page.uncheck("#viewer-modalities [value=t1]")
    without = numbers()
    assert without != whole
    for _ in range(3):
        tab.page.evaluate(
            """() => {
                for (const query of ['#viewer-modalities [value=t1]', '#viewer-modalities [value=t2]',
                    '#viewer-methods [value="Baseline"]', '#viewer-modalities [value=t2]',
                    '#viewer-modalities [value=t1]']) document.querySelector(query).click();
            }"""
        )
        assert numbers() == without
    tab.page.wait_for_timeout(300)
    assert numbers() == without
    assert not tab.tile("Baseline").is_visible()
    tab.close()


def test_a_method_may_be_called_as_the_reference_is(browser: Any, page: Path, tmp_path: Path) -> None:
    shutil.copytree(page.parent, tmp_path / "report")
    cases = tmp_path / "report/viewer/cases.js"
    cases.write_text(cases.read_text().replace('"+PASSION"', '"Reference"'))
    tab = Tab(browser, tmp_path / "report/index.html")
    tab.open_viewer()
    truth, method = (tab.tile("Reference").nth(place).locator("dd").first.inner_text() for place in (0, 1))
    assert "Dice" in method
    assert "Dice" not in truth
    tab.close()


def test_a_page_without_its_folder_says_so(browser: Any, page: Path, tmp_path: Path) -> None:
    shutil.copytree(page.parent, tmp_path / "report")
    (tmp_path / "report/viewer/cases.js").unlink()
    tab = Tab(browser, tmp_path / "report/index.html")
    tab.page.locator("#viewer-status").scroll_into_view_if_needed()
    tab.page.wait_for_function(
        "document.getElementById('viewer-status').textContent.includes('cases.js is not beside')"
    )
    tab.page.close()


def test_tables_sort_and_return(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    table = tab.page.locator("#table2-BraTS2020 table.sortable").first
    head = table.locator("th[data-column='3']")

    def column() -> list[float]:
        return [float(text.split(" [")[0]) for text in table.locator("tbody tr > :nth-child(4)").all_inner_texts()]

    written = column()
    head.locator("button").focus()
    for key, sort, expected in (
        ("Enter", "descending", sorted(written, reverse=True)),
        ("Space", "ascending", sorted(written)),
        ("Enter", "none", written),
    ):
        tab.page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == sort
        assert column() == expected
    methods = table.locator("th[data-column='1']")
    for sort, reverse in (("ascending", False), ("descending", True)):
        methods.locator("button").click()
        assert methods.get_attribute("aria-sort") == sort
        names = table.locator("tbody tr > th").all_inner_texts()
        assert names == sorted(names, key=str.lower, reverse=reverse)
    # What is smaller than 0.001 stands before it.
    tab.page.evaluate(
        "cells => [...document.querySelectorAll('#table2-BraTS2020 tbody')][0].querySelectorAll('tr').forEach("
        "(row, at) => { row.cells[3].textContent = cells[at]; })",
        ["0.001", "<0.001", "—", "0.002", "<0.001", "+0.001"],
    )
    for _ in range(2):
        head.locator("button").click()
    smallest = table.locator("tbody tr > :nth-child(4)").all_inner_texts()
    assert smallest == ["<0.001", "<0.001", "0.001", "+0.001", "0.002", "—"]
    by_subset = tab.page.locator("#table3-BraTS2020 table.sortable").first
    by_subset.locator("th[data-column='1'] button").click()
    assert by_subset.locator("tbody tr.total th").all_inner_texts() == ["Average", "Weighted"]
    assert by_subset.locator("tbody tr").last.locator("th").inner_text() == "Weighted"
    tab.close()


def test_names_of_modalities_stand_above_their_dots_however_long_they_are(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    apart = tab.page.evaluate(
        """() => {
            const table = document.querySelector('table:has(.names)');
            const names = [...table.querySelectorAll('.names span')];
            for (const name of names) name.textContent = 'contrast-enhanced T1';
            const dots = [...table.querySelector('tbody .dots').children];
            const box = one => one.getBoundingClientRect();
            const middle = one => box(one).x + box(one).width / 2;
            return names.map((name, at) => [Math.abs(middle(name) - middle(dots[at])), box(name).width]);
        }"""
    )
    assert len(apart) == 4
    assert all(aside < 3 and width < 30 for aside, width in apart)
    tab.close()


@pytest.mark.parametrize("width", [375, 1200])
def test_nothing_scrolls_sideways_but_tables(browser: Any, page: Path, width: int) -> None:
    tab = Tab(browser, page, width=width, scheme="dark")
    tab.open_viewer()
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    beyond = tab.page.evaluate(
        "width => [...document.querySelectorAll('#viewer *')].filter("
        "e => e.checkVisibility() && e.getBoundingClientRect().right > width).map(e => e.outerHTML)",
        width,
    )
    assert beyond == []
    tab.close()


def test_all_that_can_be_used_has_a_name(browser: Any, page: Path) -> None:
    tab = Tab(browser, page)
    tab.open_viewer()
    nameless = tab.page.evaluate(
        "[...document.querySelectorAll('button, select, input, canvas, [tabindex]')].filter(e => !(e.ariaLabel "
        "|| e.labels?.[0]?.textContent.trim() || e.textContent.trim())).map(e => e.outerHTML)"
    )
    # Canvases of tiles that were never shown in 3D or in slices have nothing to name yet.
    assert [html for html in nameless if "canvas" not in html] == []
    tab.close()

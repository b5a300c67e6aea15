"""The page in a real browser: two widths, hovering, clicks, keys and the video."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dfer.video.report import write_report
from helpers.timelines import CLASSES, MadeRows, made_thumbnails, made_timeline
from helpers.videos import write_video

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("chromium and chromedriver are not installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

DURATION = 8.0
TIMELINE = made_timeline(
    {1: [(0.0, 8.0)], 2: [(1.0, 3.0), (5.0, 6.0)]},
    duration=DURATION,
    thumbnails={1: made_thumbnails([0.5 * index for index in range(16)]), 2: made_thumbnails([1.5, 5.5])},
    classes=("happy", "<script>window.hacked=1</script>", "neutral"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    grey = torch.arange(80, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 48, 64)
    write_video(folder / "a clip #1.mp4", grey, rate=10)
    write_report(folder / "page.html", TIMELINE, video=folder / "a clip #1.mp4", pictures=True)
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture(params=[1280, 390])
def opened(request: pytest.FixtureRequest, browser: Any, page: Path) -> Any:
    """A newly loaded page; afterwards, checks that nothing was fetched and no error logged."""
    return open_page(browser, page, request.param)


@pytest.fixture(autouse=True)
def _quiet(browser: Any) -> Iterator[None]:
    for log in ("browser", "performance"):
        browser.get_log(log)
    yield
    assert browser.get_log("browser") == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert urls
    assert not [url for url in urls if not url.startswith(("file:", "data:"))]


def open_page(browser: Any, page: Path, width: int) -> Any:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    ready = "const video = document.querySelector('video'), done = arguments[0];"
    browser.execute_async_script(ready + "video.readyState ? done() : video.onloadedmetadata = () => done()")
    return browser


def plot(browser: Any, series: int) -> Any:
    return browser.find_element("css selector", f'.plot[data-series="{series}"]')


def point_at(browser: Any, series: int, time: float, *, click: bool = False) -> str:
    """Move the pointer to a time on a face's plot and return the text of the tooltip."""
    drawn = plot(browser, series)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawn)
    offset = round((time / DURATION - 0.5) * drawn.rect["width"])
    moves = webdriver.ActionChains(browser, duration=20).move_to_element_with_offset(drawn, offset, 0)
    (moves.click() if click else moves).perform()
    return browser.find_element("id", "tip").text


def cursor(browser: Any) -> list[float]:
    """The position of each plot's cursor in seconds."""
    lefts = browser.execute_script(
        "return [...document.querySelectorAll('.cursor')].map(c => parseFloat(c.style.left))"
    )
    return [left * DURATION / 100 for left in lefts]


def test_page_does_not_overflow_and_names_are_escaped(opened: Any) -> None:
    assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert opened.execute_script("return window.hacked === undefined")
    assert "<script>window.hacked=1</script>" in opened.find_element("css selector", "tbody").text
    assert opened.execute_script("return document.querySelectorAll('.band').length") == 4 + 3 + 2 * 3
    assert opened.execute_script("return document.querySelectorAll('.gap').length") == 3


def test_thumbnails_line_up_with_the_plot_without_overlap(opened: Any) -> None:
    pictures = "[...document.querySelectorAll('section')[1].querySelectorAll('img')]"
    boxes = opened.execute_script(f"return {pictures}.map(i => [i.x, i.x + i.width, i.naturalWidth])")
    drawn = plot(opened, 1).rect
    assert len(boxes) >= 3
    assert all(right <= left for (_, right, _), (left, _, _) in pairwise(boxes))
    assert all(drawn["x"] - 1 <= left and right <= drawn["x"] + drawn["width"] + 1 for left, right, _ in boxes)
    assert all(width == 64 for *_, width in boxes)


def test_tooltip_shows_the_values_at_the_pointer(opened: Any) -> None:
    tip = point_at(opened, 2, 2.0)
    shown = float(tip.split(",")[1].split()[0])
    assert shown == pytest.approx(2.0, abs=0.1)
    rows = [row for row in TIMELINE.rows if row.face_id == 2]
    near = [row.probabilities or () for row in rows if abs(row.timestamp - shown) < 0.15]
    for index, name in enumerate(TIMELINE.facts.classes):
        percent = int(tip.rsplit(name, 1)[1].split("%")[0])
        assert any(abs(100 * values[index] - percent) <= 0.6 for values in near)
    assert point_at(opened, 2, 4.0).endswith("not seen")
    box = opened.execute_script(
        "const b = document.getElementById('tip').getBoundingClientRect(); return [b.left, b.right]"
    )
    assert box[0] >= 0
    assert box[1] <= opened.execute_script("return innerWidth")


def test_click_moves_the_cursor_and_the_video(opened: Any) -> None:
    point_at(opened, 1, 5.5, click=True)
    assert cursor(opened) == pytest.approx([5.5] * 3, abs=0.1)
    assert opened.execute_script("return document.querySelector('video').currentTime") == pytest.approx(5.5, abs=0.1)
    now = opened.find_element("css selector", ".now").text
    assert "5.5 s" in now
    assert "Face 2" in now


def test_cursor_follows_the_video(opened: Any) -> None:
    start = "const video = document.querySelector('video'), done = arguments[0];"
    opened.execute_async_script(start + "video.currentTime = 3; video.onseeked = () => done()")
    assert cursor(opened) == pytest.approx([3.0] * 3, abs=0.05)
    middle = "requestAnimationFrame(() => { done([video.currentTime, parseFloat(line.style.left)]); video.pause() })"
    played, left = opened.execute_async_script(
        f"{start} const line = document.querySelector('.cursor'); video.muted = true; video.play();"
        f"setTimeout(() => {middle}, 900)"
    )
    assert played > 3.1
    assert left * DURATION / 100 == pytest.approx(played, abs=0.2), "while it plays"


def test_thousands_of_faces_are_drawn_in_seconds(browser: Any, tmp_path: Path) -> None:
    """An hour of short shots: 16 times the faces may take 16 times as long, not 256 times."""
    took = []
    for faces in (100, 1600):
        seen = {face: [(face - 1.0, face + 0.5)] for face in range(1, faces + 1)}
        made = made_timeline(seen, duration=faces + 1.0, fps=2)
        write_report(tmp_path / f"{faces}.html", made, video=None, pictures=True)
        began = time.monotonic()
        browser.get((tmp_path / f"{faces}.html").as_uri())
        drawn = browser.execute_script("return document.querySelectorAll('.band').length")
        took.append(time.monotonic() - began)
        assert drawn >= 4 * (faces + 1)
    assert took[1] < 64 * took[0]


@pytest.mark.parametrize("width", [1280, 390])
def test_brief_face_stays_visible_in_a_long_timeline(browser: Any, tmp_path: Path, width: int) -> None:
    write_report(tmp_path / "a.html", made_timeline({1: [(60, 61)]}, duration=3600.0, fps=2), video=None, pictures=True)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((tmp_path / "a.html").as_uri())
    (block,) = browser.execute_script(
        "return [...document.querySelectorAll('.best .block')].map(b => b.getBoundingClientRect().width)"
    )
    assert 0.9 <= block <= 3


def test_plot_is_redrawn_when_the_width_changes(browser: Any, page: Path) -> None:
    ticks = []
    for width in (1280, 390):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        if not ticks:
            open_page(browser, page, width)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        ticks.append(browser.execute_script("return document.querySelector('.axis').children.length"))
    assert ticks[0] > ticks[1] >= 2


def test_keys_move_along_the_timeline(opened: Any) -> None:
    drawn = plot(opened, 1)
    keys = webdriver.Keys
    drawn.send_keys(keys.END)
    assert cursor(opened) == pytest.approx([8.0] * 3)
    drawn.send_keys(keys.HOME + keys.ARROW_LEFT + keys.PAGE_UP + keys.ARROW_LEFT)
    assert cursor(opened) == pytest.approx([9 * DURATION / 200] * 3)
    assert drawn.get_attribute("aria-valuetext").startswith("0.4 s: ")
    assert opened.find_element("id", "tip").is_displayed()
    drawn.send_keys(keys.ESCAPE)
    assert not opened.find_element("id", "tip").is_displayed()


def test_dark_and_print_styles(browser: Any, page: Path) -> None:
    open_page(browser, page, 1280)
    colour = "return getComputedStyle(document.body).backgroundColor"
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    light = browser.execute_script(colour)
    scheme["features"][0]["value"] = "dark"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    assert browser.execute_script(colour) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script(colour) == "rgb(255, 255, 255)"
    assert not browser.find_element("css selector", "video").is_displayed()
    assert browser.find_element("css selector", "section.face").is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_plot_has_the_full_width_on_a_phone(opened: Any) -> None:
    section = opened.find_element("css selector", "section.face").rect["width"]
    share = plot(opened, 0).rect["width"] / section
    assert share > (0.9 if section < 400 else 0.6)
    # Names and figures stand on it, and a click goes through them.
    assert point_at(opened, 1, 0.1).startswith("Face 1, ")


def test_still_shows_picture_and_bars_at_any_width(browser: Any, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 120, 150)).save(tmp_path / "still.png")
    rows = list(MadeRows({1: [(0, 1)]}, 1, 1.0, len(CLASSES)))
    made = replace(made_timeline({}, duration=0, still=True, video=tmp_path / "still.png"), rows=rows)
    write_report(tmp_path / "still.html", made, video=None, pictures=True)
    for width in (1280, 390):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        browser.get((tmp_path / "still.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.find_element("css selector", "img.annotated").rect["width"] > 0.5 * width
        assert len(browser.find_elements("css selector", ".bars rect")) == len(CLASSES)
        assert not browser.find_element("css selector", ".now").is_displayed()

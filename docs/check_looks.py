"""Open every page of a built site in Chromium, at several widths, and name what is wider than its place.

python docs/check_looks.py FOLDER             what is too wide; on a phone, tables and code may scroll in their own box
python docs/check_looks.py FOLDER PICTURES    also a picture of every page, wide and narrow, light and dark, to look at
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

# In pixels: nothing scrolls at the first; the second has least room beside the page's contents; the last is a phone.
WIDE, CROWDED, NARROW = 1280, 1366, 390
# What a page is asked: which of its elements are wider than its column, and which scroll though they may not.
MEASURE = """
const [mayScroll] = arguments, root = document.documentElement, article = document.querySelector("article");
const found = [];
if (root.scrollWidth > root.clientWidth) found.push(["the page", root.scrollWidth, root.clientWidth]);
// The theme lets tables and signatures stand out of the column by their shadow.
const right = article.getBoundingClientRect().right + 8;
for (const element of article.querySelectorAll("table, pre, .formula, img, svg, .sig")) {
  const box = element.closest(".table-wrapper") || element, edge = box.getBoundingClientRect().right;
  const text = (element.getAttribute("src") || element.textContent).trim().replace(/\\s+/g, " ").slice(0, 50);
  const name = `${element.tagName.toLowerCase()} in #${element.closest("section")?.id}: ${text}`;
  if (edge > right) found.push([name, Math.round(edge), Math.round(right)]);
  else if (!mayScroll && element.matches("table, pre, .formula") && box.scrollWidth > box.clientWidth + 1)
    found.push([name, box.scrollWidth, box.clientWidth]);
}
return found;
"""


class Browser:
    """Chromium without a window, at any width, even one that its windows cannot have."""

    def __init__(self, chromedriver: str, profile: str) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
            options.add_argument(f"--{flag}")
        options.add_argument(f"--user-data-dir={profile}")
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))

    def set_width(self, width: int) -> None:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def take_picture(self, theme: str, path: Path) -> None:
        self.driver.execute_script("document.body.dataset.theme = arguments[0]", theme)
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(b64decode(taken["data"]))


def too_wide(browser: Browser, site: Path, pictures: Path | None) -> Iterator[str]:
    """A line for each thing that does not fit; listings of source code are left out."""
    for page in sorted(site.rglob("*.html")):
        name = page.relative_to(site).with_suffix("").as_posix()
        if name.startswith("_modules/"):
            continue
        browser.driver.get(page.resolve().as_uri())
        for width in (WIDE, CROWDED, NARROW):
            browser.set_width(width)
            for what, needed, given in browser.driver.execute_script(MEASURE, width != WIDE):
                yield f"{name} at {width}: {what} reaches {needed} pixels of {given}"
            for theme in ("light", "dark") if pictures and width != CROWDED else ():
                browser.take_picture(theme, pictures / f"{name.replace('/', '.')}-{width}-{theme}.png")


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2) or not (Path(arguments[0]) / "index.html").is_file():
        print("check_looks.py expects the folder of a built site: python docs/check_looks.py FOLDER", file=sys.stderr)
        return 2
    chromedriver = shutil.which("chromedriver")
    if chromedriver is None:
        print("check_looks.py: chromedriver is not installed, so the looks of the pages are not checked")
        return 0
    pictures = Path(arguments[1]) if len(arguments) == 2 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(chromedriver, profile)
        try:
            found = list(too_wide(browser, Path(arguments[0]), pictures))
        finally:
            browser.driver.quit()
    print(*found, f"{len(found)} things too wide", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

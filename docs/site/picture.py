"""A picture of a report's page for README.md: what one sees who opens it.

    python docs/site/picture.py build/ptb-xl/report/index.html docs/results/ptb-xl-report.png

In: the page. Out: a PNG of its first screen, and below it of its recordings, as Chromium draws them.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from pulseproof.runtime.files import write_bytes

WIDTH, HEIGHT = 1240, 760
SCREEN, BELOW = "#answer", "#recordings"


def main(page_file: Path, out: Path) -> None:
    """Draw the page into ``out``."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("no Chromium here: apt-get install chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=options)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.goto(page_file.resolve().as_uri())
        page.evaluate(f"document.querySelector('{BELOW} > details').open = true")
        page.locator("#viewer-paper svg").wait_for()
        screen, below = (page.locator(each).first.bounding_box() for each in (SCREEN, BELOW))
        assert screen is not None and below is not None
        pieces = [(0.0, screen["y"] + screen["height"]), (below["y"], below["height"])]
        shots = [
            page.screenshot(full_page=True, clip={"x": 0, "y": y, "width": WIDTH, "height": height})
            for y, height in pieces
        ]
        browser.close()
    parts = [Image.open(io.BytesIO(shot)) for shot in shots]
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    for at, part in enumerate(parts):
        whole.paste(part, (0, sum(each.height for each in parts[:at])))
    buffer = io.BytesIO()
    whole.quantize(128).save(buffer, "PNG", optimize=True)
    write_bytes(out, buffer.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

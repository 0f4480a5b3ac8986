"""Takes the picture of docs/report.md: the upper part of a report, as a reader first sees it.

python tests/python/picture.py demo_report.html docs/report.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(report: Path, picture: Path) -> None:
    """Open the page without a network, draw all charts, and take the window."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise SystemExit("There is no Chromium on this machine: `make browser` installs it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1240, "height": 1900}, offline=True)
        page = context.new_page()
        page.goto(report.resolve().as_uri())
        page.evaluate("tidemarkDrawAll()")
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""A real browser for tests: Chromium, without a window, driven by Playwright; no download is made.

A test module takes the fixtures `chromium` and `page` by ``pytest_plugins = ["browser"]``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_CHROMIUM = "there is no Chromium here; get one with 'apt-get install chromium' or 'playwright install chromium'"
INSTALL_AXE = "axe is not installed; get it with 'pip install axe-playwright-python'"
INSTALL_PLAYWRIGHT = "Playwright is not installed; get it with 'pip install playwright'"


def chromium_path() -> str | None:
    """The Chromium of this machine, of the system or of Playwright; None where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    downloaded = Path("~/.cache/ms-playwright").expanduser().glob("chromium-*/chrome-linux*/chrome")
    return next((str(path) for path in sorted(downloaded)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason=INSTALL_PLAYWRIGHT)
    path = chromium_path()
    if path is None:
        pytest.skip(INSTALL_CHROMIUM)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh page; the test fails if the page wrote an error to the console or an exception was not caught."""
    errors: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    fresh = context.new_page()
    fresh.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    fresh.on("pageerror", lambda error: errors.append(str(error)))
    yield fresh
    context.close()
    assert errors == []


@pytest.fixture
def axe_violations() -> Callable[[Page], list[dict[str, Any]]]:
    """What axe finds on a page that hinders people: each rule that is broken, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=INSTALL_AXE)
    return lambda page: axe.Axe().run(page).response["violations"]

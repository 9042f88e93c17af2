"""The web page in a real browser, from a photograph to its restoration."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from narrow import known
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

pytest_plugins = ["browser"]

PATIENCE = 60_000  # ms; other programs may slow the machine down
LONG = "solver.iterations=100000"
SHORT = "solver.iterations=6"


@dataclass(frozen=True)
class Server:
    address: str
    folder: Path
    process: subprocess.Popen[str]

    def contents(self, part: str) -> list[str]:
        return sorted(path.name for path in (self.folder / part).iterdir())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ui")
    command = [sys.executable, "-c", "from invkit.apps.cli.main import main; main()"]
    options = ["ui", "--no-open", "--port", "0", "--folder", str(folder), "--max-upload", "1", "--max-pixels", "0.5"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=outside)
    lines = known(process.stdout)
    address = known(re.search(r"http://\S+", lines.readline()))[0]
    for _ in range(300):
        try:
            urllib.request.urlopen(address).close()
            break
        except urllib.error.URLError:
            time.sleep(0.05)
    yield Server(address, folder, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    lines.close()
    assert not list((folder / "work").iterdir())


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares with motion blur."""
    squares = np.kron(np.random.default_rng(0).random((9, 12)), np.ones((8, 8)))
    moved = np.mean([np.roll(squares, shift, 1) for shift in range(5)], axis=0)
    path = tmp_path_factory.mktemp("photo") / "squares & <b>more.png"
    Image.fromarray(np.uint8(255 * moved)).save(path)
    return path


@pytest.fixture
def opened(page: Page, server: Server) -> Page:
    page.set_default_timeout(PATIENCE)
    page.goto(server.address)
    page.get_by_text("Drop a blurry photo here").wait_for()
    return page


def give(page: Page, photo: Path) -> None:
    page.set_input_files("input[type=file]", photo)
    page.locator(".crop-frame img").wait_for()


def choose(page: Page, recipe: str, change: str) -> None:
    page.get_by_role("combobox", name="Recipe").click()
    page.get_by_role("option", name=re.compile(f"^{recipe} ")).click()
    page.get_by_text("More settings").click()
    page.get_by_label("Changes to the recipe").fill(change)
    page.get_by_label("Kernel size in pixels").fill("9")


def begin(page: Page) -> None:
    page.get_by_role("button", name="Restore the photo").click()
    page.locator(".pictures .image img[src*='image.png']").wait_for()


@pytest.mark.slow
def test_from_a_photo_to_its_restoration(opened: Page, server: Server, photo: Path) -> None:
    give(opened, photo)
    choose(opened, "selfdeblur-small", SHORT)
    begin(opened)
    assert opened.locator(".pictures .kernel img[src*='kernel.png']").count() == 1

    line = opened.get_by_role("slider", name="Line between before and after")
    line.wait_for()
    line.press("Home")
    assert "inset(0px 100% 0px 0px)" in opened.locator(".compare-before").evaluate("e => getComputedStyle(e).clipPath")
    assert opened.get_by_text("96 × 72 pixels", exact=True).is_visible()  # noqa: RUF001
    assert opened.get_by_text(photo.name).count() >= 2  # the name is shown as text, not as markup

    with opened.expect_download() as image:
        opened.get_by_role("link", name="Image", exact=True).click()
    with Image.open(image.value.path()) as restored:
        assert restored.size == (96, 72)
    with opened.expect_download() as everything:
        opened.get_by_role("link", name="All files (zip)").click()
    with zipfile.ZipFile(everything.value.path()) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"image.png", "kernel.npy", "kernel.png", "overview.png", "result.json"} <= names

    opened.reload()
    card = opened.get_by_role("button", name=re.compile("squares"))
    card.click()
    opened.locator(".compare").wait_for()
    opened.get_by_role("button", name="Delete", exact=True).click()
    opened.get_by_role("dialog").get_by_role("button", name="Delete").click()
    card.wait_for(state="detached")
    assert server.contents("runs") == []


@pytest.mark.slow
def test_the_page_shows_how_sure_a_result_is(opened: Page, photo: Path) -> None:
    give(opened, photo)
    choose(opened, "fast", "")
    opened.get_by_text("Also find how sure the result is").click()
    begin(opened)
    shown = opened.get_by_role("img", name="Map of the standard deviation of every pixel")
    shown.wait_for()
    opened.wait_for_function("image => image.naturalWidth > 100", arg=shown.element_handle())
    assert opened.get_by_text("About nine in ten true pixels lie within").is_visible()
    assert opened.get_by_role("link", name="Standard deviation of the image (numbers)").is_visible()
    opened.get_by_role("button", name="Delete", exact=True).click()
    opened.get_by_role("dialog").get_by_role("button", name="Delete").click()
    opened.get_by_text("Deleted", exact=True).wait_for()


@pytest.mark.slow
def test_a_region_is_restored_and_a_long_job_can_be_stopped_or_cancelled(
    opened: Page, server: Server, photo: Path
) -> None:
    give(opened, photo)
    frame = opened.get_by_role("group", name=re.compile("The photo"))
    frame.press("Enter")
    frame.press("Shift+ArrowRight")
    assert opened.get_by_text("Region: 50 × 36 pixels").is_visible()  # noqa: RUF001
    choose(opened, "selfdeblur-small", LONG)
    begin(opened)
    opened.get_by_role("button", name="Restore the photo").click()
    opened.get_by_text("Next in the queue").wait_for()
    opened.get_by_role("button", name="Cancel").click()
    opened.get_by_text("Nothing was kept").wait_for()

    opened.get_by_role("button", name=re.compile("running")).click()
    opened.get_by_role("button", name="Stop and keep the result so far").click()
    opened.get_by_text("50 × 36 pixels", exact=True).wait_for()  # noqa: RUF001
    assert opened.get_by_text("stopped by hand").is_visible()
    assert len(server.contents("runs")) == 1

    begin(opened)
    opened.get_by_role("button", name="Cancel").click()
    opened.get_by_text("Nothing was kept").wait_for()
    assert len(server.contents("runs")) == 1
    opened.goto("about:blank")
    for _ in range(200):
        if not server.contents("work"):
            break
        time.sleep(0.05)
    assert server.contents("work") == []  # the upload is deleted when the page is closed


def test_files_and_settings_that_cannot_be_used_are_refused_with_a_reason(
    opened: Page, photo: Path, tmp_path: Path
) -> None:
    problem = opened.get_by_role("alert").filter(visible=True)
    opened.set_input_files("input[type=file]", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    problem.get_by_text("notes.txt is not a photograph that invkit can read").wait_for()
    opened.set_input_files(
        "input[type=file]", {"name": "large.png", "mimeType": "image/png", "buffer": bytes(1_000_001)}
    )
    problem.get_by_text("larger than 1 MB").wait_for()
    Image.new("L", (1000, 600)).save(tmp_path / "wide.png")
    opened.set_input_files("input[type=file]", tmp_path / "wide.png")
    problem.get_by_text("1000 x 600 pixels, more than 0.5 megapixels").wait_for()

    give(opened, photo)
    choose(opened, "selfdeblur-small", "solver.iterationz=5")
    opened.get_by_role("button", name="Restore the photo").click()
    problem.get_by_text("did you mean 'solver.iterations'").wait_for()


def test_the_page_fits_a_phone_and_follows_the_system_into_the_dark(opened: Page) -> None:
    opened.set_viewport_size({"width": 360, "height": 740})
    assert opened.evaluate("document.documentElement.scrollWidth") == 360
    light = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.emulate_media(color_scheme="dark")
    opened.wait_for_function("light => getComputedStyle(document.body).backgroundColor !== light", arg=light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    axe_violations: Callable[[Page], list[dict[str, Any]]], opened: Page, photo: Path, scheme: Literal["light", "dark"]
) -> None:
    opened.emulate_media(color_scheme=scheme)
    give(opened, photo)
    opened.get_by_text("More settings").click()
    opened.get_by_label("Changes to the recipe").wait_for()
    opened.wait_for_function("document.getAnimations().every(one => one.playState === 'finished')")
    found = axe_violations(opened)
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []


def test_other_sites_and_other_folders_are_out_of_reach(server: Server) -> None:
    def status(path: str, data: bytes | None = None, **headers: Any) -> int:
        request = urllib.request.Request(server.address + path, data, headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        refused.value.close()
        return refused.value.code

    assert status("/", Host="evil.example") == 400
    assert status("/upload?name=a.png", data=b"x") == 422  # a header that no other site can send is missing
    for path in ("/runs/../image.png", "/runs/..%2Fwork/image.png", "/work/%2e%2e/photo.jpg", "/runs/x/image.png"):
        assert status(path) == 404

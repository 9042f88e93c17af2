"""Makes the pictures of the quickstart from the bundled photograph: ``python docs/make_pictures.py``.

It takes about six minutes on one core, most of them for the network, and writes to ``docs/_static``. It needs
``pip install -e ".[ui]" playwright`` in a checkout, and Chromium.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from PIL import Image

import invkit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "docs" / "_static"
SAMPLES = ROOT / "invkit" / "datasets" / "samples"
PHOTO, TRUTH = SAMPLES / "coffee_blurry.png", SAMPLES / "coffee_sharp.png"
SETTINGS = {
    "pan-l0": [],
    "next=wiener": ["next=wiener"],
    "regularizers.l0-gradient=tv": ["regularizers.l0-gradient=tv"],
}
CROP = (150, 60, 330, 220)  # left, upper, right, lower, pixels of the photograph
TIMEOUT = 300_000  # ms


def exchanged_components() -> None:
    """A recipe, and the same with one component exchanged: a part of each restoration, with its kernel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 1 + len(SETTINGS), figsize=(11, 2.9), layout="constrained")
    axes[0].imshow(Image.open(PHOTO).crop(CROP))
    axes[0].set_title("photograph")
    for axis, (title, overrides) in zip(axes[1:], SETTINGS.items(), strict=True):
        result = invkit.deblur(PHOTO, recipe="pan-l0", overrides=overrides, kernel_size=31)
        axis.imshow(result.image[CROP[1] : CROP[3], CROP[0] : CROP[2]])
        axis.set_title(title)
        axis.inset_axes((0.72, 0.0, 0.28, 0.28)).imshow(result.kernel, cmap="gray")
    for drawn in [each for axis in axes for each in (axis, *axis.child_axes)]:
        drawn.set_axis_off()
    figure.savefig(STATIC / "exchanged.webp", dpi=110)


def runs(folder: Path) -> list[Path]:
    """The photograph restored by two recipes."""
    folders = []
    for recipe in ("fast", "selfdeblur-small"):
        folders.append(folder / recipe)
        options = ["--kernel-size", "31", "--truth", str(TRUTH), "--observe", "snapshots:every=25"]
        command = [*INVKIT, "deblur", str(PHOTO), "--recipe", recipe, *options, "--output", str(folders[-1])]
        subprocess.run(command, check=True)
    return folders


def report_picture(page: Page, folder: Path) -> None:
    """The upper part of a report of two runs."""
    file = folder / "report.html"
    invkit.report(runs(folder), file, photos=[PHOTO], truth=TRUTH, title="Coffee")
    page.goto(file.as_uri())
    page.locator(".stage").first.wait_for()
    keep(page, "report.webp")


def ui_picture(page: Page, folder: Path) -> None:
    """The web page after a restoration, with the line in the middle."""
    with served(folder / "ui") as address:
        page.goto(address)
        page.get_by_text("Drop a blurry photo here").wait_for()
        page.set_input_files("input[type=file]", PHOTO)
        page.locator(".crop-frame img").wait_for()
        page.get_by_role("combobox", name="Recipe").click()
        page.get_by_role("option", name=re.compile("^fast ")).click()
        page.get_by_role("button", name="Restore the photo").click()
        page.get_by_role("slider", name="Line between before and after").wait_for()
        page.mouse.move(0, 0)
        keep(page, "ui.webp")


def keep(page: Page, name: str) -> None:
    """A screenshot of the window."""
    sleep(1)  # until all has faded in
    Image.open(io.BytesIO(page.screenshot())).save(STATIC / name, quality=80, method=6)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `invkit ui`, which runs inside the ``with`` statement."""
    command = [*INVKIT, "ui", "--no-open", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        while not answers(found[0]):
            sleep(0.1)
        yield found[0]
        process.terminate()


def answers(address: str) -> bool:
    """Whether a server answers."""
    with suppress(OSError), urllib.request.urlopen(address):
        return True
    return False


INVKIT = [sys.executable, "-m", "invkit"]


def pages(browser: Browser, folder: Path) -> None:
    """The pictures of pages."""
    for size, draw in (((1180, 862), report_picture), ((1180, 760), ui_picture)):
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme="light")
        page.set_default_timeout(TIMEOUT)
        draw(page, folder)


def main() -> None:
    """All pictures."""
    from shutil import which

    from playwright.sync_api import sync_playwright

    exchanged_components()
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        pages(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()

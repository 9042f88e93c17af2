"""How large the report of a benchmark is, and how soon a browser answers: python benchmarks/report_size.py [FOLDER].

FOLDER is what ``invkit bench run`` has left; without one, a benchmark of 32 pictures of 255 x 255 pixels and 4 recipes
is made up, as large as Levin's: photographs that come with scikit-image, blurred and sharpened a little, so that they
compress as results do. Needs Playwright and a Chromium. Writes benchmarks/results/report_size.json.

- size: of the page, 10^6 bytes.
- write: seconds that the command's work took.
- interactive: milliseconds from navigation until the document is parsed and its script has run.
- answered: the same until a click on a table's head, made as soon as that is possible, is handled and drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

CASES, RECIPES, SIDE = 32, ("one", "two", "three", "four"), 255
VISITS = 5
METRICS = [
    {"label": "psnr", "name": "aligned-psnr", "params": {}, "unit": "dB", "better": "higher"},
    {"label": "error-ratio", "name": "error-ratio", "params": {}, "unit": "", "better": "lower"},
    {"label": "seconds", "name": "seconds", "params": {}, "unit": "s", "better": "lower"},
]
RESULTS = Path(__file__).parent / "results" / "report_size.json"
ANSWER = """() => new Promise(done => {
  document.querySelector('#results th button').click();
  requestAnimationFrame(() => setTimeout(() => done([
    performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd, performance.now()])));
})"""


def main() -> None:
    """Measure, print and write."""
    from invkit.apps.report.writing import report
    from invkit.pipeline.job import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="what 'invkit bench run' has left; none: one is made up")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        suite = given or made_up(place / "suite")
        data = os.environ.get("INVKIT_DATA")
        begun = time.perf_counter()
        page = report(suite, place / "report.html", data=Path(data) if data else None)
        write = time.perf_counter() - begun
        visits = [visit(page) for _ in range(VISITS)]
        size = page.stat().st_size / 1e6
    found = {
        "versions": versions(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "what": f"{len(list(suite.glob('jobs/*')))} results of {suite.name}" if given else "made up, 32 x 4",
        "size_megabytes": round(size, 2),
        "write_seconds": round(write, 1),
        "interactive_milliseconds": round(statistics.median(visit[0] for visit in visits)),
        "answered_milliseconds": round(statistics.median(visit[1] for visit in visits)),
        "slowest_answered_milliseconds": round(max(visit[1] for visit in visits)),
    }
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if given is None:
        RESULTS.write_text(text, encoding="utf-8")


def visit(page: Path) -> tuple[float, float]:
    """Milliseconds until a page is interactive, and until the first click has been answered; in a fresh browser."""
    from playwright.sync_api import sync_playwright

    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.as_uri(), wait_until="domcontentloaded")
        interactive, answered = tab.evaluate(ANSWER)
        browser.close()
    return interactive, answered


def made_up(root: Path) -> Path:
    """The folder of a benchmark that never ran."""
    noise = np.random.default_rng(0)
    for i in range(CASES):
        for j, recipe in enumerate(RECIPES):
            write_job(root, recipe, f"case{i:02}", scene(i), j, noise)
    recipes = [{"label": recipe, "title": f"Recipe {recipe}"} for recipe in RECIPES]
    jobs = [f"{recipe}--made-up--case{i:02}--s0--000000000000" for i in range(CASES) for recipe in RECIPES]
    plan = {"title": "Made up", "datasets": ["made-up"], "metrics": METRICS, "recipes": recipes, "jobs": jobs}
    (root / "suite.json").write_text(json.dumps(plan), encoding="utf-8")
    return root


def scene(index: int) -> np.ndarray:
    """A piece of a photograph, (SIDE, SIDE) in [0, 1]."""
    from skimage import color, data

    names = ("astronaut", "camera", "coffee", "rocket", "chelsea")
    picture = np.asarray(getattr(data, names[index % len(names)])())
    grey = picture / 255 if picture.ndim == 2 else color.rgb2gray(picture)
    top, left = ((index * step) % (length - SIDE) for step, length in zip((37, 53), grey.shape, strict=True))
    return grey[top : top + SIDE, left : left + SIDE]


def write_job(root: Path, recipe: str, case: str, sharp: np.ndarray, place: int, noise: np.random.Generator) -> None:
    """The folder of a job, with a picture as noisy as a deconvolution of low noise leaves it."""
    from scipy.ndimage import gaussian_filter

    from invkit.media.images import encode_png, quantised

    name = f"{recipe}--made-up--{case}--s0--000000000000"
    folder = root / "jobs" / name
    folder.mkdir(parents=True)
    restored = gaussian_filter(sharp, 0.5 + 0.2 * place) + 0.006 * noise.standard_normal(sharp.shape)
    (folder / "image.png").write_bytes(encode_png(quantised(restored.clip(0, 1), 8)))
    kernel = noise.random((23, 23)) ** 20
    np.save(folder / "kernel.npy", kernel / kernel.sum())
    record = {
        "id": name,
        "status": "done",
        "recipe": recipe,
        "recipe_document": {"name": recipe, "title": f"Recipe {recipe}", "solver": {"name": "solver", "params": {}}},
        "dataset": "made-up",
        "case": case,
        "seed": 0,
        "groups": {},
        "metrics": {"psnr": 30 + noise.random(), "error-ratio": 1 + 2 * noise.random(), "seconds": 1 + place},
        "seconds": 1.0 + place,
        "iterations": 300,
        "history": (np.exp(-np.arange(300) / 60) + 0.01 * noise.random(300)).tolist(),
        "history_every": 1,
        "snapshots": [],
        "error": None,
        "versions": {"invkit": "0"},
        "code": "0" * 64,
        "machine": {"host": "none", "cpu": "none", "device": "cpu"},
        "started": "2000-01-01T00:00:00+00:00",
    }
    (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()

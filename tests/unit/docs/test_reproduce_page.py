"""The page about reproducing SelfDeblur: its commands work, and its figures are the committed ones and no others."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from types import ModuleType

import pytest
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app

ROOT = Path(invkit.__file__).parent.parent
COMMITTED = ROOT / "benchmarks" / "results"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a folder of results that contains copies of the committed ones."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("reproduce_page")
    for file in COMMITTED.glob("table*.csv"):
        shutil.copy(file, tmp_path)
    for file in tmp_path.glob("*_paper.csv"):
        file.unlink()
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def means(name: str) -> Mapping[str, float]:
    """The mean PSNR of each recipe of a committed result."""
    values: dict[str, list[float]] = {}
    with (COMMITTED / f"{name}.csv").open() as lines:
        for row in csv.DictReader(lines):
            values.setdefault(row["recipe"], []).append(float(row["psnr"]))
    return {recipe: fmean(each) for recipe, each in values.items()}


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_every_dry_run_of_the_page_works_without_data_and_shows_its_cost(page: ModuleType, tmp_path: Path) -> None:
    text = page.reproduce_page()
    dry = [line for line in commands(text) if line.endswith("--dry-run")]
    assert len(dry) == len(page.TABLES) == 5
    for line, paper in zip(dry, page.TABLES, strict=True):
        words = [word.replace("benchmarks/", f"{ROOT}/benchmarks/") for word in shlex.split(line)[1:]]
        folders = ["--data", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
        shown = CliRunner().invoke(app, [*words, *folders], env={"COLUMNS": "200", "INVKIT_DATA": None})
        assert shown.exit_code == 0, shown.output
        jobs, seconds, _ = page.cost_of(paper)
        total = page.duration_text(seconds)
        assert f"{jobs} of {jobs} jobs to do, about {total} one after the other\n" in shown.output
        assert f"{jobs} jobs, about {total} on one GPU." in text
        assert f"{line.removesuffix(' --dry-run')} --output benchmarked/{paper.suite}_paper" in text


def test_the_figures_are_the_means_of_the_committed_jobs(page: ModuleType) -> None:
    text = page.reproduce_page()
    for name, preset, recipe, images in (
        *(("table1", "cpu", "joint", 3), ("table1_squared", "squared", "alternating", 2)),
        *(("table2", "cpu", "double-dip", 3), ("table3", "cpu", "selfdeblur-small", 32)),
    ):
        assert f"| `{recipe}` | `{preset}` | {images} | {means(name)[recipe]:.2f} |" in text
    assert "| 31.39 | 0.9072 | 33.07 | 0.9313 |" in text  # beside the paper's joint row
    assert "`image_prior.channels=32`" in text
    assert "`selfdeblur-small`: 32 channels, 800 iterations" in text


def test_what_the_remarks_say_of_the_figures_is_so() -> None:
    assert means("table1")["alternating"] > means("table1")["joint"]
    assert means("table1_squared")["joint"] > means("table1_squared")["alternating"]
    for name in ("table2", "table2_squared"):
        assert min(means(name).values()) < means(name)["double-dip"]


def test_it_says_that_nothing_was_measured_at_full_size_until_something_was(page: ModuleType, tmp_path: Path) -> None:
    text = page.reproduce_page()
    assert "With the preset `paper`, the paper's tables have never been measured here" in text
    assert "`selfdeblur`, `selfdeblur-released`, `selfdeblur-delta` on any image" in text
    head = "dataset,case,image,kernel,recipe,seed,status,psnr,ssim"
    rows = [f"levin,im{i}_kernel5,{i},5,selfdeblur-released,0,done,3{i}.5,0.9" for i in (1, 2)]
    (tmp_path / "table3_paper.csv").write_text("\n".join([head, *rows]) + "\n")
    text = page.reproduce_page()
    assert "Only these results are of the preset `paper`: `table3_paper`." in text
    assert "| `selfdeblur-released` | `paper` | 2 | 32.00 | 0.9000 | 33.07 | 0.9313 |" in text
    assert "`selfdeblur-released`: 128 channels, 5000 iterations" in text
    assert "`selfdeblur`, `selfdeblur-delta` on any image; `selfdeblur-released` on 30 of 32 images" in text


def test_single_images_at_full_size_are_shown_and_counted(page: ModuleType, tmp_path: Path) -> None:
    shutil.copy(COMMITTED / "full_size.json", tmp_path)
    text, rows = page.reproduce_page(), json.loads((tmp_path / "full_size.json").read_text())["rows"]
    assert f"single images have been solved: {len(rows)} ([](#single-images))" in text
    for row in rows:
        at_the_end = next(point["psnr"] for point in row["curve"] if point["iteration"] == 5000)
        assert f"| {at_the_end:.2f} | {row['published image']:.2f} |" in text
    assert f"`selfdeblur-released` on {32 - len(rows)} of 32 images" in text


def test_figures_of_a_gpu_appear_when_they_are_committed(page: ModuleType, tmp_path: Path) -> None:
    assert "invkit has not been measured on one" in page.reproduce_page()
    image = {"case": "im3_kernel5", "recipe": "selfdeblur", "precision": "tf32", "iterations": 5000, "seconds": 9.87}
    parts = {
        "iteration": {"results": [{"version": "selfdeblur, tf32, graph", "seconds": 0.00212, "ratio_to_plain": 0.31},
                                  {"version": "selfdeblur, float32", "error": "no"}]},
        "images": {"results": [{**image, "psnr": 37.123, "published_psnr": 37.48}, {**image, "psnr": 36.0}]},
    }  # fmt: skip
    (tmp_path / "gpu.json").write_text(json.dumps({"machine": {"device": "NVIDIA X"}, "parts": parts}))
    text = page.reproduce_page()
    assert "Measured on NVIDIA X:" in text
    assert "| selfdeblur, tf32, graph | 2.12 | 0.31 |" in text
    assert "| im3_kernel5 | `selfdeblur` | tf32 | 5000 | 9.9 | 37.12 | 37.48 |" in text
    assert "Anything on a GPU" not in text


def test_the_pages_that_are_written_include_it(page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "generated/reproduce\n" in (ROOT / "docs" / "index.md").read_text()
    assert '"reproduce.md": reproduce_page' in (ROOT / "docs" / "reference_pages.py").read_text()

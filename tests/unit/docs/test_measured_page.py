"""The page of measured figures shows what is committed, and reports missing results."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import invkit

ROOT = Path(invkit.__file__).parent.parent


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a folder of results that contains copies of the required ones."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("measured_page")
    for name in ("large_photo.json", "speed.json", "noise.json", "problems.json"):
        shutil.copy(ROOT / "benchmarks" / "results" / name, tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_a_committed_table_is_shown_with_the_commands_that_make_it(page: ModuleType, tmp_path: Path) -> None:
    assert "by every method" not in page.measured_page()
    table = "| recipe | psnr |\n| --- | ---: |\n| pmp | 32 |\n"
    (tmp_path / "table3.md").write_text(f"# Every method\n\n## Levin\n\n{table}")
    (tmp_path / "table3.csv").write_text("dataset,case\n")
    shown = page.measured_page()
    assert "\n## Levin's 32 images by every method\n\n```bash\ninvkit bench run benchmarks/table3.toml" in shown
    assert f"\n### Levin\n\n{table}" in shown
    assert "benchmarks/results/table3.csv" in shown


def test_counts_of_photons_are_shown_if_they_are_committed(page: ModuleType, tmp_path: Path) -> None:
    assert "Counts of photons" not in page.measured_page()
    rows = {"tv": [{"photons": 20, "mse": 26.1}], "richardson-lucy": [{"photons": 20, "stopped": 16.3}]}
    (tmp_path / "counts.json").write_text(json.dumps({"command": "python benchmarks/counts.py", **rows}))
    shown = page.measured_page()
    assert "## Counts of photons\n\n`python benchmarks/counts.py`" in shown
    assert "| photons | mse |\n| --- | --- |\n| 20 | 26.1 |" in shown


def test_operators_that_are_not_linear_are_shown_if_they_are_committed(page: ModuleType, tmp_path: Path) -> None:
    assert "Operators that are not linear" not in page.measured_page()
    row = {"problem": "gamma", "scene": "a", "method": "b", "psnr": 31.26, "seconds": 1.2, "facts": {"steps": 9.0}}
    (tmp_path / "nonlinear.json").write_text(json.dumps({"rows": [row]}))
    assert "| gamma | a | b | 31.26 | 1.2 | steps 9.0 |" in page.measured_page()


def test_units_and_stacks_are_shown_if_they_are_committed(page: ModuleType, tmp_path: Path) -> None:
    assert "## Stacks of planes" not in page.measured_page()
    for name in ("units.json", "stacks.json"):
        shutil.copy(ROOT / "benchmarks" / "results" / name, tmp_path)
    shown = page.measured_page()
    assert "## Units of the data\n\n`python benchmarks/units.py" in shown
    assert "| bars | scikit-image, 50 |" in shown
    assert "| stack-tv-admm | solver.tile_size=64 |" in shown


def test_a_missing_result_is_an_error_that_names_the_command(page: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "speed.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"speed\.json is missing; .* python benchmarks/speed/against_plain\.py"
    ):
        page.measured_page()


def test_the_coverage_of_intervals_is_shown_if_it_is_committed(page: ModuleType, tmp_path: Path) -> None:
    assert "## How sure" not in page.measured_page()
    row = {"recipe": "tv-admm", "scene": "coins", "noise": 0.01, "coverage": 0.91, "ratio": 0.97}
    report = {"command": "python benchmarks/interval_coverage.py", "known kernel": [row], "blind": [row]}
    (tmp_path / "coverage.json").write_text(json.dumps(report))
    shown = page.measured_page()
    assert "## How sure\n\n`python benchmarks/interval_coverage.py`" in shown
    assert shown.count("| tv-admm | coins | 0.01 | 0.91 |") == 2

"""With ``--json`` the standard output holds one JSON document and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invkit.apps.cli.main import main
from invkit.media.images import encode_png

QUICK = ["--recipe", "wiener"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)))
    np.save(tmp_path / "kernel.npy", np.full((3, 3), 1 / 9))
    return path


@pytest.fixture
def output_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*words: str | Path) -> Any:
        monkeypatch.setattr(sys, "argv", ["invkit", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "recipes"],
        ["describe", "solvers", "wiener"],
        ["describe", "recipes", "fast"],
        ["data", "list"],
    ],
    ids=" ".join,
)
def test_lists_and_descriptions(output_of: Callable[..., Any], words: list[str]) -> None:
    assert output_of(*words, "--json")


def test_a_restoration_prints_what_result_json_holds(
    output_of: Callable[..., Any], photo: Path, tmp_path: Path
) -> None:
    kernel: list[str | Path] = ["--kernel", tmp_path / "kernel.npy"]
    calls: list[list[str | Path]] = [
        ["deconvolve", photo, *QUICK, *kernel],
        ["solve", "wiener", "--image", photo, *kernel],
    ]
    for words in calls:
        folder = tmp_path / words[0]
        summary = output_of(*words, "--output", folder, "--json")
        assert summary == json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert summary["kernel_size"] == [3, 3]


def test_deblur_prints_its_summary_too(output_of: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    quick = ["--recipe", "selfdeblur-small", "--kernel-size", "3", "--set", "solver.iterations=2"]
    summary = output_of("deblur", photo, *quick, "--set", "image_prior=pixels", "--output", tmp_path / "run", "--json")
    assert summary["iterations"] == 2

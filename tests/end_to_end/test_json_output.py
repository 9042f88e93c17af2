"""Where a script reads, ``--json`` puts one JSON document on the standard output and nothing else."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from invkit.apps.cli.main import main
from invkit.media.images import encode_png

QUICK = ["--recipe", "wiener"]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)))
    np.save(tmp_path / "kernel.npy", np.full((3, 3), 1 / 9))
    return path


@pytest.fixture
def said(monkeypatch, capsys):
    def run(*words):
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
def test_what_is_registered(said, words):
    assert said(*words, "--json")


def test_a_restoration_prints_what_result_json_holds(said, photo, tmp_path):
    kernel = ["--kernel", tmp_path / "kernel.npy"]
    for words in (["deconvolve", photo, *QUICK, *kernel], ["solve", "wiener", "--image", photo, *kernel]):
        folder = tmp_path / words[0]
        summary = said(*words, "--output", folder, "--json")
        assert summary == json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert summary["kernel_size"] == [3, 3]


def test_deblur_prints_its_summary_too(said, photo, tmp_path):
    quick = ["--recipe", "selfdeblur-small", "--kernel-size", "3", "--set", "solver.params.iterations=2"]
    summary = said("deblur", photo, *quick, "--set", "image_prior=pixels", "--output", tmp_path / "run", "--json")
    assert summary["iterations"] == 2

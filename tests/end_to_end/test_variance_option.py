"""The option --variance, from files on the disk to the files of a run, and the same run made again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import invkit
from invkit.apps.cli.main import main
from invkit.core.errors import InputError
from invkit.media.images import encode_tiff

UNIT = 250.0  # counts at 1; the data are counts in floating point
KERNEL = np.ones((3, 5)) / 15


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return np.kron(np.random.default_rng(0).uniform(0.2, 0.8, (10, 10)), np.ones((8, 8)))


@pytest.fixture
def folder(sharp: np.ndarray, tmp_path: Path) -> Path:
    """Counts, their kernel, and their variances, which grow by 1:100; a block of them was not measured."""
    from scipy.ndimage import convolve

    variance = np.tile(np.geomspace(2e-5, 2e-3, 80), (80, 1))
    noise = np.sqrt(variance) * np.random.default_rng(1).standard_normal(sharp.shape)
    counts, variance[40:46, 20:30] = convolve(sharp, KERNEL, mode="nearest") + noise, np.nan
    counts[40:46, 20:30] = 3.0
    np.save(tmp_path / "kernel.npy", KERNEL)
    np.save(tmp_path / "variance.npy", UNIT**2 * variance)
    (tmp_path / "counts.tif").write_bytes(encode_tiff((UNIT * counts).astype(np.float32)))
    return tmp_path


def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    given = ["invkit", *arguments]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(part) for part in given])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def deconvolve(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> int:
    settings = ["--kernel", "kernel.npy", "--recipe", "tv-admm", "--output", "out", *more]
    return invoke(folder, monkeypatch, "deconvolve", "counts.tif", *settings)


def test_counts_with_variances_from_the_command_line(
    folder: Path, sharp: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deconvolve(folder, monkeypatch, "--variance", "variance.npy") == 0
    facts = json.loads((folder / "out" / "result.json").read_text())
    assert facts["noise_sigma_from"] == "variance"
    variance = np.load(folder / "variance.npy")
    assert facts["noise_sigma"] == pytest.approx(np.nanmean(1 / variance) ** -0.5, rel=1e-5)
    assert facts["variance_given"]["file"] == "variance.npy"
    assert facts["left_out"]["masked_share"] == pytest.approx(60 / 6400, abs=1e-5)

    image = np.load(folder / "out" / "image.npy")
    known = np.isfinite(variance)
    assert np.sqrt(np.mean((image / UNIT - sharp)[known] ** 2)) < 0.04
    assert np.sqrt(np.mean((image / UNIT - sharp)[~known] ** 2)) < 0.15  # no junk of 3.0

    assert invoke(folder, monkeypatch, "rerun", "out/result.json", "--output", "again") == 0
    assert (folder / "again" / "image.npy").read_bytes() == (folder / "out" / "image.npy").read_bytes()
    (folder / "variance.npy").unlink()
    with pytest.raises(InputError, match=r"variance.npy.* is not there; give the variance \(--variance"):
        invkit.rerun(folder / "out" / "result.json", progress=False)
    found = invkit.rerun(folder / "out" / "result.json", variance=variance, progress=False)
    assert found.details["options"]["variance"] == "array"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sigma", "2"], ["sigma and variance both say how strong the noise is"]),
        (["--recipe", "wiener"], ["the recipe wiener has no use for variances", "sparse-admm"]),
        (["--variance", "nothing.npy"], ["nothing.npy"]),
        (["--variance", "kernel.npy"], ["kernel.npy has shape (3, 5), and the data are 80x80 (height x width)"]),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_compute(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: list[str],
) -> None:
    assert deconvolve(folder, monkeypatch, "--variance", "variance.npy", *more) == 2
    message = " ".join(capsys.readouterr().err.split())
    for part in said:
        assert part in message
    assert not (folder / "out").exists()

"""How sure a result is: through the functions, the command line, time limits and Ctrl-C."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.core.errors import InputError
from invkit.core.solver import Counting
from invkit.pipeline.job import prepare

Floats = npt.NDArray[Any]
KERNEL = np.outer([1, 2, 3, 2, 1], [1, 2, 1]) / 36
SIGMA = 0.01


def sharp(side: int = 48, seed: int = 1) -> Floats:
    """Blocks of 8 x 8 pixels."""
    blocks = np.random.default_rng(seed).uniform(0.1, 0.9, (side // 8 + 2, side // 8 + 2))
    return np.asarray(np.kron(blocks, np.ones((8, 8)))[: side + 4, : side + 2])


def blurry(side: int = 48, seed: int = 1) -> Floats:
    """The valid blur of `sharp`, with noise, (side, side)."""
    from scipy.signal import fftconvolve

    clean = fftconvolve(sharp(side, seed), KERNEL, mode="valid")
    noisy = clean + SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)
    return np.asarray(noisy.clip(0, 1), dtype=np.float32)


class Bar(Counting):
    """A bar that calls a function with the number of samples."""

    def __init__(self, counted: Callable[[int], None]) -> None:
        self.counted = counted

    @contextmanager
    def counting(self, total: int) -> Iterator[Callable[[int], None]]:
        yield self.counted


def test_the_deviations_of_a_known_kernel_have_the_layout_of_the_image() -> None:
    grey = invkit.deconvolve(blurry(), KERNEL, uncertainty=4, progress=False)
    assert np.shape(grey.deviations["image"]) == (48, 48)
    assert "kernel" not in grey.deviations  # it was given
    assert float(np.asarray(grey.deviations["image"]).min()) > 0
    facts = grey.details["uncertainty"]
    assert facts["samples"] == 4
    assert facts["kernel_from"] == "known"
    assert facts["mean_image_deviation"] == pytest.approx(float(np.mean(np.asarray(grey.deviations["image"]))))
    colour = np.stack([blurry(), blurry(seed=2), blurry(seed=3)], -1)
    both = [invkit.deconvolve(colour, KERNEL, uncertainty=2, color=kind, progress=False) for kind in ("rgb", "luma")]
    rgb, luma = (np.asarray(one.deviations["image"]) for one in both)
    assert rgb.shape == luma.shape == colour.shape
    assert (luma[..., 0] == luma[..., 2]).all()  # the chroma is kept
    assert not (rgb[..., 0] == rgb[..., 2]).all()
    batch = torch.from_numpy(np.stack([blurry(), blurry(seed=2)])[:, None])
    several = invkit.deconvolve(batch, KERNEL, uncertainty=2, progress=False).deviations["image"]
    assert isinstance(several, torch.Tensor)
    assert several.shape == batch.shape


def test_nine_in_ten_true_pixels_of_blocks_lie_in_the_interval() -> None:
    """Blocks fit the sparse prior better than photographs do, so that more pixels may lie inside."""
    result = invkit.deconvolve(blurry(96), KERNEL, uncertainty=16, progress=False)
    errors = np.abs(np.asarray(result.image) - sharp(96)[2:-2, 1:-1])
    inside = errors <= 1.645 * np.asarray(result.deviations["image"])
    assert 0.85 <= inside.mean() <= 0.99


def test_the_deviations_are_in_the_units_of_a_dim_picture() -> None:
    """A dim picture is brightened for the solve: a fifth of the picture has a fifth of the deviations."""
    bright = (0.95 * blurry() / blurry().max()).astype(np.float32)
    found = [
        np.asarray(invkit.deconvolve(one, KERNEL, uncertainty=4, progress=False).deviations["image"])
        for one in (bright, bright / 5)
    ]
    assert np.abs(found[0] / 5 - found[1]).mean() < 0.02 * found[1].mean()  # data round, and conjugate gradients stop


def test_where_the_input_was_kept_there_are_no_deviations() -> None:
    framed = np.zeros((100, 100), dtype=np.float32)
    framed[10:-10, 10:-10] = blurry(80)
    result = invkit.deconvolve(framed, KERNEL, uncertainty=2, progress=False)
    deviations = np.asarray(result.deviations["image"])
    assert result.details["left_out"]["frame"] == [10, 10, 10, 10]
    assert np.isnan(deviations[:10]).all()
    assert np.isfinite(deviations[10:-10, 10:-10]).all()
    assert np.isfinite(result.details["uncertainty"]["mean_image_deviation"])


@pytest.mark.parametrize("recipe", ["wiener", "tv-admm", "sparse-irls", "hyper-laplacian", "epll"])
def test_every_recipe_of_weighted_squares_says_how_sure_it_is(recipe: str) -> None:
    result = invkit.deconvolve(blurry(), KERNEL, recipe=recipe, uncertainty=2, progress=False)
    assert 0.001 < result.details["uncertainty"]["mean_image_deviation"] < 0.2


def test_denoising_and_inpainting_say_how_sure_they_are() -> None:
    """Where nothing was measured, the image is less sure."""
    noisy = invkit.restore(blurry(), "denoise-tv", sigma=SIGMA, uncertainty=4, progress=False)
    assert 0 < noisy.details["uncertainty"]["mean_image_deviation"] < 2 * SIGMA
    mask = np.ones((48, 48), dtype=bool)
    mask[16:32, 16:32] = False
    filled = invkit.restore(blurry(), "inpaint-tv", kernel=mask, sigma=SIGMA, uncertainty=8, progress=False)
    deviations = np.asarray(filled.deviations["image"])
    assert deviations[20:28, 20:28].mean() > 2 * deviations[:16].mean()


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("richardson-lucy", "its fidelity is not the squared error"),
        ("poisson-tv", "its fidelity is not the squared error"),
        ("pan-l0", "one kernel, without candidates, seeds or variances"),
    ],
)
def test_a_recipe_that_cannot_say_is_refused_before_the_solve(recipe: str, reason: str) -> None:
    kernel = KERNEL if recipe != "pan-l0" else None
    with pytest.raises(InputError, match=f"recipe {recipe} cannot say how sure it is: .*{reason}.*sparse-admm"):
        prepare(blurry(), recipe=recipe, kernel=kernel, kernel_size=None if kernel is not None else 5, uncertainty=True)


@pytest.mark.parametrize("asked", [0, 1, -3, 2.5, "auto"])
def test_another_number_of_samples_is_refused(asked: Any) -> None:
    with pytest.raises(InputError, match="uncertainty must be True, False or a number of samples"):
        prepare(blurry(), recipe="sparse-admm", kernel=KERNEL, uncertainty=asked)


def test_the_candidates_give_the_deviations_of_the_kernel() -> None:
    result = invkit.deblur(blurry(), recipe="fast", kernel_size=7, uncertainty=4, progress=False)
    facts = result.details["uncertainty"]
    assert facts["kernel_from"] == "candidates"
    assert facts["kernels"] > 1
    assert np.shape(result.deviations["kernel"]) == np.shape(result.kernel)
    assert 0 < facts["mean_kernel_deviation"] < 0.2
    plan = prepare(blurry(), recipe="best", overrides=["next=richardson-lucy"], uncertainty=True).uncertainty
    assert plan is not None
    assert (plan.samples, plan.sampler.name) == (16, "sparse-admm")  # the referee, where the last stage has no squares


def test_posterior_variances_give_the_deviations_of_the_kernel() -> None:
    result = invkit.deblur(blurry(64), recipe="levin-2011", kernel_size=7, uncertainty=3, progress=False)
    assert result.details["uncertainty"]["kernel_from"] == "variances"
    assert result.details["uncertainty"]["kernels"] == 3
    assert np.asarray(result.deviations["kernel"]).max() > 0


def test_networks_are_solved_again_with_other_seeds() -> None:
    tiny = ["channels=4", "image_prior.scales=2", "hidden=16", "iterations=3"]
    options: dict[str, Any] = {"recipe": "selfdeblur-small", "kernel_size": 5, "overrides": tiny, "progress": False}
    result = invkit.deblur(blurry(), uncertainty=2, **options)
    assert result.details["uncertainty"]["kernel_from"] == "seeds"
    assert result.details["uncertainty"]["samples"] == 2
    assert (np.asarray(result.image) == np.asarray(invkit.deblur(blurry(), **options).image)).all()
    assert np.asarray(result.deviations["image"]).min() >= 0
    assert np.asarray(result.deviations["kernel"]).max() > 0
    assert prepare(blurry(), recipe="selfdeblur", uncertainty=True).uncertainty.samples == 4  # type: ignore[union-attr]


def test_without_time_there_is_an_image_and_a_notice() -> None:
    result = invkit.deconvolve(blurry(), KERNEL, uncertainty=True, time_limit=1e-6, progress=False)
    assert result.deviations == {}
    assert "uncertainty" not in result.details
    assert any("no time to find how sure" in notice for notice in result.details["notices"])


def test_ctrl_c_keeps_the_image_and_the_samples_so_far() -> None:
    job = prepare(blurry(), recipe="sparse-admm", kernel=KERNEL, uncertainty=50)

    def counted(done: int) -> None:
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    result = job.run(progress=lambda title: Bar(counted))
    assert result.is_complete
    assert result.details["uncertainty"]["samples"] == 3
    assert result.details["uncertainty"]["stopped"] == "interrupted"
    assert (np.asarray(result.image) == np.asarray(invkit.deconvolve(blurry(), KERNEL, progress=False).image)).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the run ``first``."""
    Image.fromarray(np.round(255 * blurry()).astype(np.uint8)).save(tmp_path / "blurry.png")
    np.save(tmp_path / "kernel.npy", KERNEL)
    run(tmp_path, "deconvolve", "blurry.png", "--kernel", "kernel.npy", "--uncertainty", "8", "--output", "first")
    return tmp_path


def run(folder: Path, command: str, *arguments: str) -> str:
    """The output of a command that names files in a folder."""
    places = {"blurry.png", "kernel.npy", "first", "first/result.json", "second", "report.html"}
    named = [str(folder / one) if one in places else one for one in arguments]
    done = CliRunner().invoke(app, [command, *named], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_writes_map_and_numbers_and_a_rerun_gives_the_same_bits(folder: Path) -> None:
    deviations = np.load(folder / "first" / "image_deviation.npy")
    assert deviations.shape == (48, 48)
    with Image.open(folder / "first" / "uncertainty.png") as drawn:
        assert min(drawn.size) > 500
    summary = json.loads((folder / "first" / "result.json").read_text())
    assert summary["options"]["uncertainty"] == 8
    assert summary["uncertainty"]["samples"] == 8
    assert summary["uncertainty"]["mean_image_deviation"] == pytest.approx(float(deviations.mean()))
    assert "nine in ten true pixels" in summary["uncertainty"]["statement"]
    run(folder, "rerun", "first/result.json", "--output", "second")
    assert (np.load(folder / "second" / "image_deviation.npy") == deviations).all()
    plain = ("deconvolve", "blurry.png", "--kernel", "kernel.npy", "--output", "second", "--overwrite")
    run(folder, *plain)
    left = {path.name for path in (folder / "second").iterdir()}
    assert not left & {"uncertainty.png", "image_deviation.npy"}  # of the run that was replaced


def test_the_report_shows_the_map_and_says_what_its_greys_mean(folder: Path) -> None:
    run(folder, "report", "first", "--output", "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "standard deviation" in page
    assert "black 0, white" in page

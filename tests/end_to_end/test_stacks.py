"""Stacks of planes by the command line and from Python: TIFF in and out, quality beside scikit-image, other units."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import invkit
from invkit.apps.cli.main import main
from invkit.core.errors import AssemblyError, InputError, InvkitError, OutOfMemoryError
from invkit.media.stacks import encode_stack, is_stack_file, read_stack

Numbers = NDArray[np.float64]


def kernel() -> Numbers:
    along = [np.exp(-(np.arange(-n, n + 1.0) ** 2) / (2 * s**2)) for n, s in ((4, 1.6), (3, 1.0), (3, 1.0))]
    grid = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    return np.asarray(grid / grid.sum())


def beads() -> Numbers:
    """Cubes in the dark, far from the border, in counts."""
    draw = np.random.default_rng(0)
    stack = np.zeros((20, 28, 30))
    for plane, row, column in draw.integers((6, 6, 6), (12, 20, 22), (8, 3)):
        stack[plane : plane + 3, row : row + 3, column : column + 3] = draw.uniform(1e3, 4e3)
    return stack


def blurred(stack: Numbers, photons: bool = True) -> Numbers:
    from scipy.signal import fftconvolve

    seen = fftconvolve(stack, kernel(), mode="same").clip(0)
    return np.random.default_rng(1).poisson(seen).astype(float) if photons else np.asarray(seen)


def error(found: Any, truth: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((np.asarray(found, dtype=np.float64) - truth) ** 2)))


def test_richardson_lucy_is_that_of_scikit_image_where_no_border_matters() -> None:
    from skimage.restoration import richardson_lucy

    data = blurred(beads(), photons=False) + 1
    settings = ["solver.iterations=20", "solver.stop=never", "solver.acceleration=false", "operator.padding=circular"]
    found = invkit.deconvolve(data, kernel(), overrides=settings, progress=False)
    scale = data.max()
    padded = np.pad(data, 8, mode="constant", constant_values=1)  # their convolution takes zeros beyond the border
    # they start from 0.5 everywhere; the first iterate from the data is compared after enough steps
    expected = richardson_lucy(padded / scale, kernel(), num_iter=20, clip=False)[8:-8, 8:-8, 8:-8] * scale
    middle = (slice(5, -5),) * 3
    truth = beads()[middle] + 1
    ours, theirs = error(np.asarray(found.image)[middle], truth), error(expected[middle], truth)
    assert 20 * np.log10(theirs / ours) > -0.05  # dB


@pytest.mark.parametrize("recipe", ["stack-tv-admm", "stack-richardson-lucy"])
def test_variances_of_a_stack_in_a_file_of_its_kind_count_in_its_units(recipe: str, tmp_path: Path) -> None:
    data = blurred(beads())
    variance = np.round(data + 4).astype(np.uint16)
    variance[:, :5] = 30_000  # counts squared
    tifffile.imwrite(tmp_path / "variance.tif", variance, imagej=True)
    given: list[Any] = [variance, tmp_path / "variance.tif", variance.astype(float)]
    found = [invkit.deconvolve(data, kernel(), recipe=recipe, variance=one, progress=False) for one in given]
    level = float(np.mean(1 / variance.astype(float)) ** -0.5)
    assert found[0].details["noise_sigma"] == pytest.approx(level, rel=1e-5)
    for other in found[1:]:
        np.testing.assert_array_equal(np.asarray(found[0].image), np.asarray(other.image))


def test_a_stack_is_restored_and_the_units_do_not_matter() -> None:
    data = blurred(beads())
    found = invkit.deconvolve(data, kernel(), progress=False)
    assert np.asarray(found.image).shape == data.shape
    assert error(found.image, beads()) < 0.8 * error(data, beads())
    assert np.asarray(found.image).max() > 2 * data.max()
    double = invkit.deconvolve(2.0**7 * data, kernel(), progress=False)
    np.testing.assert_allclose(np.asarray(double.image), 2.0**7 * np.asarray(found.image), rtol=1e-5, atol=1e-2)


def test_other_solvers_restore_stacks_too() -> None:
    data = blurred(beads())
    for settings in (
        ["solver=linear-admm", "fidelity=mse", "regularizers=[{name='tv',weight=1e-4}]", "solver.iterations=10"],
        ["solver=joint-adam", "solver.iterations=60", "regularizers=[{name='stack-tv',weight=1e-5}]"],
        ["regularizers=[{name='stack-tv',weight=1e-4}]"],
    ):
        found = invkit.restore(data, "stack-richardson-lucy", kernel=kernel(), overrides=settings, progress=False)
        assert error(found.image, beads()) < error(data, beads()), settings


@pytest.mark.parametrize("recipe", ["stack-wiener", "stack-tv-admm"])
def test_the_other_recipes_restore_stacks_and_the_units_do_not_matter(recipe: str) -> None:
    data = blurred(beads())
    found = invkit.restore(data, recipe, kernel=kernel(), progress=False)
    assert np.asarray(found.image).shape == data.shape
    assert np.asarray(found.image).min() >= 0
    assert error(found.image, beads()) < 0.8 * error(data, beads())
    double = invkit.restore(2.0**7 * data, recipe, kernel=kernel(), progress=False)
    np.testing.assert_allclose(np.asarray(double.image), 2.0**7 * np.asarray(found.image), rtol=1e-4, atol=1)


def test_blocks_and_tiles_give_the_stack_of_the_whole() -> None:
    """Blocks of Richardson-Lucy to the rounding of float32, tiles of other solvers within a fifth of the noise."""
    data = blurred(beads())
    whole, blocks = (
        np.asarray(invkit.deconvolve(data, kernel(), overrides=settings, progress=False).image)
        for settings in ([], ["solver.block_voxels=9000"])
    )
    np.testing.assert_allclose(blocks, whole, rtol=1e-3, atol=1e-5 * whole.max())
    assert not np.array_equal(blocks, whole)  # they were used
    whole, tiles = (
        np.asarray(invkit.restore(data, "stack-tv-admm", kernel=kernel(), overrides=settings, progress=False).image)
        for settings in ([], ["solver.tile_size=8"])
    )
    assert 0 < error(tiles, whole) < 0.2 * np.sqrt(data.mean())


def test_the_memory_is_told_before_the_start_and_refused_if_it_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "stack.npy", blurred(beads()))
    np.save(tmp_path / "psf.npy", kernel())
    files = [str(tmp_path / "stack.npy"), "--kernel", str(tmp_path / "psf.npy"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["invkit", "deconvolve", *files])
    monkeypatch.setattr("invkit.apps.cli.restore.TOLD_MEMORY", 2**20)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "the solve needs about 0.0 GB of memory" in capsys.readouterr().err
    free = SimpleNamespace(available=2**20)
    monkeypatch.setattr("invkit.pipeline.options.psutil.virtual_memory", lambda: free)
    with pytest.raises(OutOfMemoryError, match=r"RichardsonLucy needs about .* image of 28x34x36.*solver.block_voxels"):
        invkit.deconvolve(blurred(beads()), kernel(), progress=False)


def test_the_command_reads_and_writes_stacks_with_their_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = blurred(beads()).astype(np.float32)
    about = {"spacing": 0.2, "unit": "um"}
    (tmp_path / "stack.tif").write_bytes(encode_stack(data, about, (10.0, 10.0)))
    tifffile.imwrite(tmp_path / "psf.tif", kernel().astype(np.float32))
    arguments = ["deconvolve", str(tmp_path / "stack.tif"), "--kernel", str(tmp_path / "psf.tif")]
    monkeypatch.setattr(sys, "argv", ["invkit", *arguments, "--output", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    written = read_stack(tmp_path / "run" / "image.tif")
    assert written.metadata == about
    assert written.resolution == pytest.approx((10.0, 10.0))
    np.testing.assert_array_equal(written.values, np.load(tmp_path / "run" / "image.npy"))
    summary = json.loads((tmp_path / "run" / "result.json").read_text())
    assert summary["recipe"]["name"] == "stack-richardson-lucy"
    with tifffile.TiffFile(tmp_path / "run" / "image.tif") as file:
        assert file.is_imagej
        assert file.series[0].shape == data.shape
    again = invkit.rerun(tmp_path / "run" / "result.json", progress=False)
    np.testing.assert_array_equal(np.asarray(again.image), written.values)


def test_files_that_are_no_stack_are_told_apart_and_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "photo.tif", np.zeros((16, 17, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((6, 16, 17), np.uint16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "channels.tif", np.zeros((4, 2, 16, 17), np.uint16), imagej=True)
    tifffile.imwrite(tmp_path / "movie.tif", np.zeros((6, 16, 17), np.uint16), imagej=True, metadata={"axes": "TYX"})
    np.save(tmp_path / "colours.npy", np.zeros((16, 17, 3)))
    np.save(tmp_path / "stack.npy", np.zeros((6, 16, 17)))
    told = {path.name: is_stack_file(path) for path in tmp_path.iterdir()}
    assert {name for name, is_stack in told.items() if is_stack} == {"stack.tif", "stack.npy", "channels.tif"}
    with pytest.raises(InputError, match="one channel and one time point"):
        read_stack(tmp_path / "channels.tif")
    (tmp_path / "damaged.tif").write_bytes((tmp_path / "stack.tif").read_bytes()[:300])
    with pytest.raises(InputError, match=r"damaged.tif is truncated or damaged and cannot be read in full as TIFF"):
        read_stack(tmp_path / "damaged.tif")
    with pytest.raises(InputError, match="is truncated or damaged"):
        invkit.deconvolve(tmp_path / "damaged.tif", kernel()[0], progress=False)
    with pytest.raises(InputError, match="is no stack; give a TIFF file"):
        invkit.restore(Path(invkit.__file__), "stack-richardson-lucy", kernel=kernel(), progress=False)


def test_a_kernel_that_cannot_be_one_is_refused() -> None:
    data = blurred(beads())
    grid = np.exp(-((np.indices((9, 9, 9)) - 4.0) ** 2).sum(0) / 4)
    for wrong, said in (
        (np.zeros((3, 3, 3)), "is zero everywhere"),
        (-np.ones((3, 3, 3)), "has negative values"),
        (np.fft.ifftshift(grid) / grid.sum(), "sits in the corners of its frame.*fftshift"),
    ):
        with pytest.raises(InputError, match=said):
            invkit.deconvolve(data, wrong, progress=False)
    with pytest.raises(InputError, match="planes in colour; restore each channel by itself"):
        invkit.deconvolve(np.stack([data] * 3, -1), kernel(), recipe="stack-richardson-lucy", progress=False)


def test_kernels_of_stacks_are_corrected_as_those_of_pictures_are() -> None:
    data, stained = blurred(beads()), np.rint(5e4 * kernel() / kernel().max()).astype(np.uint16)
    clean = np.asarray(invkit.deconvolve(data, kernel(), progress=False).image)
    with pytest.warns(UserWarning, match="lies on an offset.*it is subtracted"):
        found = np.asarray(invkit.deconvolve(data, np.pad(stained, 3) + np.uint16(4000), progress=False).image)
    assert np.abs(found - clean).max() < 0.02 * clean.max()
    with pytest.raises(AssemblyError, match="saturated data of pictures"):
        invkit.deconvolve(data, kernel(), overrides=["solver.saturation=0.9"], progress=False)


def test_tomographs_are_no_blurs_and_have_richardson_lucy_too() -> None:
    import torch

    from invkit.operators.tomography import Tomography

    truth = np.zeros((24, 24), np.float32)
    truth[8:16, 6:14] = 1
    sinogram = Tomography()(torch.from_numpy(truth)[None, None], torch.zeros(1, 1, 2, 30))[0].numpy()
    settings = ["solver=richardson-lucy", "fidelity=poisson", "solver.iterations=40", "regularizers=[]"]
    found = invkit.restore(sinogram, "tomography", overrides=settings, progress=False)
    assert error(np.asarray(found.image).squeeze(), truth) < 0.12


def test_uncertainty_of_a_stack_is_refused_before_the_solve() -> None:
    settings = ["solver=linear-admm", "fidelity=mse", "regularizers=[{name='tv',weight=1e-4}]"]
    with pytest.raises(
        InvkitError, match=r"its data are a stack of planes.*leave out --uncertainty \(uncertainty=...\)$"
    ):
        invkit.deconvolve(blurred(beads()), kernel(), overrides=settings, sigma=2.0, uncertainty=4, progress=False)
    with pytest.raises(InvkitError, match="its data are a stack of planes"):
        invkit.restore(
            blurred(beads()),
            "stack-tv-admm",
            kernel=kernel(),
            overrides=["fidelity=mse"],
            uncertainty=4,
            progress=False,
        )


def test_negative_counts_are_told() -> None:
    found = invkit.deconvolve(blurred(beads()) - 1, kernel(), progress=False)
    assert "values are negative, and light is not" in found.details["warnings"][0]


def test_several_stacks_and_a_wrong_kernel() -> None:
    data = blurred(beads())
    both = invkit.deconvolve([data, data[::-1].copy()], kernel(), progress=False)
    assert np.asarray(both.image).shape == (2, *data.shape)
    with pytest.raises(InputError, match=r"the kernel has shape \(3, 3\).*kernel\[None\]"):
        invkit.deconvolve(data, np.ones((3, 3)), progress=False)


def test_the_input_of_a_run_is_not_overwritten_by_its_result(tmp_path: Path) -> None:
    (tmp_path / "image.tif").write_bytes(encode_stack(blurred(beads()), {}, None))
    before = (tmp_path / "image.tif").read_bytes()
    found = invkit.deconvolve(tmp_path / "image.tif", kernel(), progress=False)
    with pytest.raises(InputError):
        found.save(tmp_path)
    assert (tmp_path / "image.tif").read_bytes() == before

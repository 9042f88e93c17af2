"""Other problems than deblurring: each recipe brings small data nearer to the truth, through the public interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow import array

import invkit
from invkit.core.errors import InputError
from invkit.core.interfaces import KernelPrior
from invkit.core.operator_parameters import CoilMapPrior
from invkit.core.result import Array
from invkit.numerics.registration import aligned_psnr
from invkit.operators.downsampling import Downsampling
from invkit.operators.gamma_blur import GammaBlur
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.operators.multiple_kernels import Frames, VaryingBlur
from invkit.operators.phase_retrieval import PhaseRetrieval
from invkit.operators.tomography import Tomography
from invkit.pipeline.inputs import ImageInput


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    from skimage.data import astronaut

    grey = astronaut()[:256, 100:356].mean(axis=2) / 255
    return array(grey.reshape(128, 2, 128, 2).mean(axis=(1, 3)).astype(np.float32))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image)[None, None]


def noisy(data: torch.Tensor, sigma: float) -> torch.Tensor:
    return data + sigma * torch.randn(data.shape, generator=torch.Generator().manual_seed(0))


def psnr(image: object, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(array(image) - truth).mean()))


def solved(data: ImageInput, recipe: str, *settings: str, **options: Any) -> invkit.Result:
    return invkit.restore(data, recipe, overrides=settings, progress=False, **options)


def gaussian(size: int, width: float) -> torch.Tensor:
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return KernelPrior.allowed(torch.from_numpy(np.exp(-(rows**2 + columns**2) / 2 / width**2)).float()[None, None])


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("denoise-sparse", ()), ("denoise-tv", ()), ("denoise-dip", ("solver.iterations=250",))],
)
def test_denoising(sharp: np.ndarray, recipe: str, settings: tuple[str, ...]) -> None:
    data = noisy(torch.from_numpy(sharp), 0.1).clamp(0, 1).numpy()
    assert psnr(solved(data, recipe, *settings).image, sharp) > psnr(data, sharp) + 3


def test_plug_and_play_replaces_a_regularizer(sharp: np.ndarray) -> None:
    data = noisy(torch.from_numpy(sharp), 0.1).clamp(0, 1).numpy()
    setting = "regularizers=[{name = 'plug-and-play', weight = 0.02}]"
    result = solved(data, "denoise-tv", setting, "solver.iterations=8", "solver.penalty=50.0")
    assert psnr(result.image, sharp) > psnr(data, sharp) + 2


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("inpaint-sparse", ()), ("inpaint-tv", ()), ("inpaint-dip", ("solver.iterations=200",))],
)
def test_inpainting(sharp: np.ndarray, recipe: str, settings: tuple[str, ...]) -> None:
    mask = (np.random.default_rng(0).random(sharp.shape) < 0.5).astype(np.float32)
    result = solved(mask * sharp, recipe, *settings, kernel=mask)
    assert not result.has_kernel
    assert np.array_equal(result.kernel, mask[None])
    assert psnr(result.image, sharp) > psnr(result.blurry, sharp) + 3


def test_dehazing() -> None:
    from skimage.data import astronaut

    truth = astronaut()[::4, ::4].astype(np.float32) / 255
    transmission = np.linspace(0.3, 0.8, len(truth), dtype=np.float32)[:, None, None]
    airlight = np.array([0.8, 0.84, 0.88], dtype=np.float32)
    hazy = transmission * truth + (1 - transmission) * airlight
    result = solved(hazy, "dehaze")
    scene, behind = np.moveaxis(np.asarray(result.image), 1, -1)
    assert np.array_equal(np.asarray(result.blurry), hazy)
    assert psnr(scene, truth) > psnr(hazy, truth) + 6
    assert np.abs(behind - airlight).max() < 0.1
    assert (
        np.corrcoef(np.asarray(result.kernel).ravel(), np.broadcast_to(transmission[..., 0], (128, 128)).ravel())[0, 1]
        > 0.8
    )


def test_inpainting_needs_a_mask(sharp: np.ndarray) -> None:
    with pytest.raises(InputError, match="a known mask must be given: use --kernel FILE or kernel="):
        solved(sharp, "inpaint-tv")


def test_super_resolution_with_a_known_and_an_estimated_kernel(sharp: np.ndarray) -> None:
    operator, kernel = Downsampling(), gaussian(8, 1.4)
    data = noisy(operator(tensor(sharp), kernel), 0.003).clamp(0, 1)[0, 0].numpy()
    known = solved(data, "super-resolution", kernel=kernel[0, 0].numpy())
    blind = solved(data, "blind-super-resolution", "solver.iterations=40", kernel_size=8)
    assert known.image.shape == blind.image.shape == sharp.shape
    bicubic = aligned_psnr(array(known.blurry), sharp)
    assert aligned_psnr(known.image, sharp) > bicubic + 1.5
    assert aligned_psnr(blind.image, sharp) > bicubic + 1
    assert blind.kernel.shape == (8, 8)


def test_super_resolution_keeps_colours_and_opacity() -> None:
    picture = np.random.default_rng(0).uniform(0.2, 0.8, (24, 20, 4)).astype(np.float32)
    result = solved(picture, "super-resolution", "solver.iterations=2", kernel=np.full((2, 2), 0.25))
    assert result.image.shape == (48, 40, 4)


def test_a_blur_of_light_is_removed_through_the_gamma_curve(sharp: np.ndarray) -> None:
    kernel = strokes(1, 9)
    data = noisy(GammaBlur()(tensor(sharp), kernel), 0.005).clamp(0, 1)[0, 0].numpy()
    known, inner = {"kernel": kernel[0, 0].numpy()}, sharp[4:-4, 4:-4]
    modelled = solved(data, "gamma-deconvolution", **known)
    ignored = solved(data, "gamma-deconvolution", "operator=convolution", **known)
    assert psnr(modelled.image, inner) > psnr(ignored.image, inner) + 3
    assert psnr(modelled.image, inner) > psnr(data, inner) + 6


def test_a_blur_of_light_is_estimated_with_the_image(sharp: np.ndarray) -> None:
    kernel = strokes(1, 9)
    data = GammaBlur()(tensor(sharp), kernel).clamp(0, 1)[0, 0].numpy()
    adam = "solver={name='joint-adam', params={iterations=150, image_lr=0.01, kernel_lr=0.05, milestones=[]}}"
    blind = solved(data, "gamma-deconvolution", "kernel_prior=simplex", adam, kernel_size=9)
    assert blind.kernel.shape == (9, 9)
    assert blind.history[-1] < 0.2 * blind.history[0]


@pytest.mark.parametrize("measured", ["magnitudes", "intensities"])
@pytest.mark.parametrize("masks", [3, 4])
def test_phases_are_retrieved_in_any_unit(sharp: np.ndarray, measured: Any, masks: int) -> None:
    image, operator = sharp.reshape(64, 2, 64, 2).mean(axis=(1, 3)), PhaseRetrieval(measured=measured)
    data = 1e5 * operator(tensor(image), operator.drawn_masks((1, masks, 64, 64)))[0].numpy()
    result = solved(data, "phase-retrieval", f"operator.measured={measured}")
    units = 1e5 ** (1 / operator.degree)
    assert psnr(np.asarray(result.image) / units, image) > 50
    assert result.white == pytest.approx(units * image.max(), rel=0.05)
    assert not result.has_kernel


def strokes(count: int, size: int) -> torch.Tensor:
    """Straight lines of different directions."""
    kernels = torch.zeros(count, 1, size, size)
    for index, turn in enumerate(np.linspace(0, np.pi, count, endpoint=False)):
        for step in np.linspace(-1, 1, 60) * (size // 2 - 1):
            kernels[index, 0, round(size // 2 + step * np.sin(turn)), round(size // 2 + step * np.cos(turn))] += 1
    return KernelPrior.allowed(kernels)


def test_several_frames_are_better_than_one(sharp: np.ndarray) -> None:
    frames = noisy(Frames()(tensor(sharp), strokes(3, 9)), 0.01).clamp(0, 1)
    result = solved([frame[0].numpy() for frame in frames], "multi-frame", "solver.iterations=40", kernel_size=9)
    assert result.kernel.shape == (3, 9, 9)
    inner = sharp[4:-4, 4:-4]  # the part that the frames show
    assert result.image.shape == inner.shape
    assert aligned_psnr(result.image, inner) > 3 + max(aligned_psnr(f[0].numpy(), inner) for f in frames)


def test_a_varying_blur_is_removed_by_varying_kernels(sharp: np.ndarray) -> None:
    operator = VaryingBlur(grid=(1, 2))
    data = noisy(operator(tensor(sharp), strokes(2, 9)), 0.003).clamp(0, 1)[0, 0].numpy()
    grid = ("operator.grid=[1, 2]", "next.operator.grid=[1, 2]")
    varying = solved(data, "varying-blur", *grid, kernel_size=9)
    uniform = invkit.deblur(data, recipe="fast", kernel_size=9, progress=False)
    inner = sharp[4:-4, 4:-4]
    assert varying.kernel.shape == (2, 9, 9)
    assert aligned_psnr(varying.image, inner) > aligned_psnr(uniform.image, inner) + 1


def test_coil_maps_are_estimated_with_the_image(sharp: np.ndarray) -> None:
    side, coils = 64, 6
    image = sharp.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    down, along = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    turn = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    maps = np.exp(-((down - np.sin(turn)) ** 2 + (along - np.cos(turn)) ** 2) / 2 + 1j * (turn + along))
    maps = CoilMapPrior.allowed(torch.from_numpy(np.concatenate([maps.real, maps.imag])).float()[None])
    operator = MultiCoilMRI(acceleration=3, calibration=0.15)
    data = operator(tensor(image), maps)
    data = noisy(data, 0.005) * operator.columns(side, data)
    settings = ("operator.acceleration=3.0", "operator.calibration=0.15")
    sense = solved(data[0].numpy(), "sense", *settings, kernel=maps.numpy())
    blind = solved(data[0].numpy(), "blind-mri", *settings)
    assert blind.image.shape == (side, side)
    assert psnr(sense.image, image) > psnr(sense.blurry, image) + 5
    assert psnr(blind.image, image) > psnr(sense.image, image) - 1.5  # dB


def test_the_axis_of_rotation_is_estimated_with_the_image(sharp: np.ndarray, tmp_path: Path) -> None:
    image = np.pad(sharp.reshape(32, 4, 32, 4).mean(axis=(1, 3)), 8)
    scan = torch.zeros(1, 1, 2, 40)
    scan[:, :, 0] = 2.6
    data = noisy(Tomography()(tensor(image), scan), 0.002)[0].numpy()
    blind = solved(data, "blind-tomography", "solver.iterations=15")
    ignored = solved(data, "tomography")
    assert float(np.mean(blind.kernel[0, 0])) == pytest.approx(2.6, abs=0.25)  # pixels
    assert psnr(blind.image, image) > psnr(ignored.image, image) + 5
    names = {path.name for path in blind.save(tmp_path / "run").iterdir()}
    pictures = {"image.png", "operator_parameter.png", "overview.png"}
    assert names == {"image.npy", "operator_parameter.npy", "result.json"} | pictures


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (np.zeros(5), r"channels first"),
        (np.full((1, 4, 5), np.nan), "NaN"),
        (np.zeros((1, 4, 5), complex), "no real numbers"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(wrong: np.ndarray, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        solved(wrong, "tomography")


def test_k_space_of_half_a_coil_is_refused() -> None:
    with pytest.raises(InputError, match="an even number; got 3"):
        solved(np.ones((3, 16, 16)), "blind-mri")


def test_a_noise_level_that_cannot_be_estimated_must_be_given() -> None:
    setting = "regularizers=[{name = 'tv', weight = 1.0, scale_by = 'sigma'}]"
    with pytest.raises(InputError, match="needs the noise level"):
        solved(np.ones((1, 8, 16)), "tomography", setting)


@pytest.mark.parametrize("layout", [lambda a: a, lambda a: torch.from_numpy(a)], ids=["array", "tensor"])
def test_an_image_from_projections_has_the_kind_of_the_data(layout: Callable[[np.ndarray], Array]) -> None:
    data = np.random.default_rng(0).random((1, 6, 16)).astype(np.float32)
    result = solved(layout(data), "tomography", "solver.iterations=2")
    assert type(result.image) is type(layout(data))
    assert tuple(result.image.shape) == ((16, 16) if isinstance(result.image, np.ndarray) else (1, 16, 16))

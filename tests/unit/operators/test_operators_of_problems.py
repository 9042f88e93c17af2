"""Operators for problems other than uniform blur, against deepinv, scikit-image and their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from invkit.core.errors import InputError
from invkit.core.interfaces import KernelPrior
from invkit.core.operator_parameters import CoilMapPrior
from invkit.numerics.geometry import shape_of, size_of
from invkit.numerics.grid_weights import bilinear_weights
from invkit.operators.convolution import Convolution
from invkit.operators.downsampling import Downsampling
from invkit.operators.multi_coil_mri import MultiCoilMRI, complex_channels
from invkit.operators.multiple_kernels import Frames, VaryingBlur
from invkit.operators.pixelwise import Inpainting, Mixture
from invkit.operators.tomography import Tomography

ROUNDING = 1e-5  # of float32 sums


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def kernels(count: int, height: int = 7, width: int = 6) -> torch.Tensor:
    return KernelPrior.allowed(drawn(count, 1, height, width, seed=1))


@pytest.mark.parametrize("weights", ["after", "before"])
def test_a_varying_blur_equals_the_product_convolution_of_deepinv(weights: Any) -> None:
    from deepinv.physics.functional import product_convolution2d

    operator, image, nine = VaryingBlur(grid=(3, 3), weights=weights), drawn(1, 2, 40, 36), kernels(9)
    data = operator(image, nine)
    after = weights == "after"
    over = bilinear_weights((3, 3), size_of(data), data) if after else operator.weights_of_scene(image, (7, 6))
    stacked = (over[None].transpose(1, 2), nine[None].transpose(1, 2))
    expected = product_convolution2d(image, *stacked, padding="valid", mask_first=not after)
    assert torch.allclose(data, expected, atol=ROUNDING)


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (4, 1)])
def test_a_varying_blur_by_equal_kernels_is_a_convolution(grid: tuple[int, int]) -> None:
    image, one = drawn(1, 1, 30, 28), kernels(1)
    data = VaryingBlur(grid=grid)(image, one.expand(grid[0] * grid[1], -1, -1, -1))
    assert torch.allclose(data, Convolution()(image, one), atol=ROUNDING)


def test_weights_sum_to_one_and_are_one_at_their_points() -> None:
    weights = bilinear_weights((2, 3), (11, 13), drawn(1))
    assert torch.allclose(weights.sum(0), torch.ones(1, 11, 13))
    assert weights[0, 0, 0, 0] == weights[5, 0, 10, 12] == 1


def test_a_wrong_number_of_kernels_is_refused() -> None:
    with pytest.raises(InputError, match="a grid of 3x3 needs 9 kernels, got 4"):
        VaryingBlur()(drawn(1, 1, 30, 30), kernels(4))


def test_frames_are_convolutions_of_one_image() -> None:
    image, three = drawn(1, 2, 30, 28), kernels(3)
    frames = Frames()(image, three)
    for frame, kernel in zip(frames, three, strict=True):
        assert torch.allclose(frame, Convolution()(image, kernel[None])[0], atol=ROUNDING)


def test_frames_have_one_image() -> None:
    with pytest.raises(InputError, match="all kernels blur one image; got a batch of 2"):
        Frames()(drawn(2, 1, 30, 28), kernels(2))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_box_of_the_factor_gives_the_mean_over_each_pixel(factor: int) -> None:
    image = drawn(2, 1, 12, 24)
    box = torch.full((1, 1, factor, factor), 1 / factor**2)
    assert torch.allclose(Downsampling(factor=factor)(image, box), torch.nn.functional.avg_pool2d(image, factor))


def test_an_image_whose_size_is_no_multiple_of_the_factor_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be downsampled by 2"):
        Downsampling()(drawn(1, 1, 9, 8), kernels(1, 3, 3))


def test_inpainting_gives_zero_outside_the_mask() -> None:
    mask = (drawn(1, 1, 9, 8, seed=2) < 0.5).float()
    data = Inpainting()(drawn(1, 3, 9, 8), mask)
    assert not data[..., mask[0, 0] == 0].any()
    first = Inpainting().initial_image(data, mask)
    assert torch.equal(first * mask, data)
    assert torch.allclose(first[0, 0][mask[0, 0] == 0], data[0, 0].sum() / mask.sum())


def test_a_mixture_of_equal_layers_is_that_layer() -> None:
    layer, mask = drawn(1, 3, 9, 8), drawn(1, 1, 9, 8, seed=3)
    assert torch.allclose(Mixture()(torch.cat([layer, layer]), mask), layer)
    bright = torch.cat([torch.ones_like(layer), torch.zeros_like(layer)])
    assert torch.allclose(Mixture()(bright, mask), mask.expand_as(layer))


def test_mri_equals_deepinv() -> None:
    from deepinv.physics import MultiCoilMRI as Theirs

    maps, image, operator = CoilMapPrior.allowed(drawn(1, 8, 32, 30) - 0.5), drawn(1, 1, 32, 30), MultiCoilMRI()
    mask = operator.columns(30, image).expand(1, 1, 32, 30)
    physics = Theirs(mask=mask, coil_maps=complex_channels(maps), img_size=(32, 30))
    theirs = physics.A(torch.cat([image, torch.zeros_like(image)], 1)).flatten(1, 2)
    assert torch.allclose(operator(image, maps), theirs, atol=ROUNDING)


@pytest.mark.parametrize("pattern", ["random", "equispaced"])
@pytest.mark.parametrize("width", [64, 81])
def test_mri_measures_the_requested_number_of_columns(pattern: Any, width: int) -> None:
    operator = MultiCoilMRI(acceleration=4, calibration=0.1, pattern=pattern)
    columns = operator.columns(width, torch.empty(0))
    middle = round(0.1 * width)
    assert columns.sum() == round(width / 4)
    assert columns[width // 2 - middle // 2 :][:middle].all()


def test_the_first_coil_maps_are_close_to_the_true_ones() -> None:
    """The middle of a constant image's k-space contains the coil maps without their fine details."""
    side = 48
    ramp = torch.linspace(0.5, 1, side).expand(1, 1, side, side)
    maps = CoilMapPrior.allowed(torch.cat([ramp, 1.5 - ramp, torch.zeros(1, 2, side, side)], 1))
    operator = MultiCoilMRI(calibration=0.2)
    found = CoilMapPrior.allowed(
        operator.initial_parameter(operator(torch.full((1, 1, side, side), 0.8), maps), shape_of(maps))
    )
    assert float((found - maps)[..., 4:-4].abs().max()) < 0.05  # ringing at the ends of the ramp


def phantom(side: int) -> torch.Tensor:
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    inner = resize(shepp_logan_phantom(), (side - 16, side - 16), anti_aliasing=True)
    return torch.from_numpy(np.pad(inner, 8)).float()[None, None]


def test_tomography_equals_the_radon_transform_of_scikit_image() -> None:
    from skimage.transform import radon

    image, angles = phantom(64), 24
    image[..., 12:20, 30:34] = 1  # so that a mirrored result fails
    scan = torch.zeros(1, 1, 2, angles)
    scan[:, :, 0] = 0.5  # scikit-image rotates about pixel N // 2
    data = Tomography()(image, scan)[0, 0].numpy()
    theirs = radon(image[0, 0].numpy(), theta=np.arange(angles) * 180 / angles, circle=True).T / 64
    assert np.abs(data - theirs).mean() < 0.03 * theirs.max()  # another interpolation
    assert np.corrcoef(data.ravel(), theirs.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("axis", [0.0, 2.3, -4.6])
def test_the_axis_is_estimated_from_the_projections(axis: float) -> None:
    scan = torch.zeros(1, 1, 2, 30)
    scan[:, :, 0] = axis
    operator = Tomography()
    data = operator(phantom(64), scan)
    assert float(operator.initial_parameter(data, shape_of(scan))[0, 0, 0].mean()) == pytest.approx(
        axis, abs=0.1
    )  # pixels


@pytest.mark.parametrize("residue", [0.0, 1e-5])
def test_blank_projections_are_refused_by_their_index(residue: float) -> None:
    data = torch.rand(2, 1, 12, 20, generator=torch.Generator().manual_seed(0)) + 0.1
    data[1, 0, 7] = residue
    with pytest.raises(InputError, match=r"1 of 12 projections are blank, the first at index 7 \(from 0\)"):
        Tomography().initial_parameter(data, (2, 1, 2, 12))


def test_a_displaced_axis_displaces_the_projections() -> None:
    operator, image = Tomography(), phantom(64)
    scan = torch.zeros(1, 1, 2, 12)
    still, scan[:, :, 0] = operator(image, scan.clone()), 3
    assert torch.allclose(operator(image, scan)[..., 3:], still[..., :-3], atol=ROUNDING)

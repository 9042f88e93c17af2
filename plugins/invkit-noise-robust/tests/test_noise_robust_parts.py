"""The fidelity, the network that gives several images, and the kernel estimation function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from invkit_noise_robust import BranchedSkipImage, RootMSE, estimated_kernels

from invkit.core.errors import InputError
from invkit.numerics.fourier import extend_periodically, grid_size, to_grid
from invkit.numerics.geometry import Size
from invkit.operators.convolution import Convolution


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def strokes(h: int, w: int) -> torch.Tensor:
    """A kernel of two strokes, not centred and not symmetric."""
    kernel = torch.zeros(1, 1, h, w, dtype=torch.float64)
    kernel[..., 1, : w - 1] = 1
    kernel[..., 1:, 1] = 2
    return kernel / kernel.sum()


def test_the_root_of_a_constant_difference() -> None:
    data = drawn(2, 3, 5, 4)
    torch.testing.assert_close(RootMSE()(data + 0.1, data), torch.full((2,), 0.1, dtype=torch.float64))


def test_the_root_is_the_norm_over_the_root_of_the_number_of_values() -> None:
    predicted, data = drawn(1, 1, 256, 256), drawn(1, 1, 256, 256, seed=1)
    torch.testing.assert_close(256 * RootMSE()(predicted, data)[0], (predicted - data).norm())


def test_all_images_are_of_one_network() -> None:
    prior = BranchedSkipImage((2, 3, 34, 35), branches=2, channels=4, skip_channels=2)
    image, others = prior.decode_all(prior.latent)
    assert image.shape == (2, 3, 34, 35)
    assert others.shape == (2, 2, 3, 34, 35)
    assert torch.equal(image, prior())
    assert not torch.equal(others[:, 0], others[:, 1])
    assert not torch.equal(others[:, 0], image)


def test_a_small_image_has_fewer_scales() -> None:
    def scales(side: int) -> int:
        prior = BranchedSkipImage((1, 1, side, 40), channels=4, skip_channels=2)
        return sum(name.endswith("across") for name, _ in prior.named_modules())

    assert [scales(side) for side in (33, 32, 9, 3)] == [5, 4, 3, 1]
    with pytest.raises(InputError, match="at least 3x3"):
        BranchedSkipImage((1, 1, 2, 40))


@pytest.mark.parametrize("kernel_size", [(7, 7), (6, 9)])
def test_the_true_image_gives_the_true_kernel(kernel_size: Size) -> None:
    """They differ by the extension of the data at the border, and by the assumed noise."""
    kernel, image = strokes(*kernel_size), drawn(1, 1, 96, 90)
    data = Convolution()(image, kernel)
    (found,), _ = estimated_kernels(data, image[:, None], [0.02], kernel_size)
    similarity = (found * kernel).sum() / (found.norm() * kernel.norm())
    assert found.shape == kernel.shape
    assert similarity > 0.95
    torch.testing.assert_close(found.sum(), torch.ones((), dtype=torch.float64), rtol=0, atol=1e-6)


def test_noise_hurts_less_where_it_is_assumed() -> None:
    kernel = strokes(7, 7)
    image = torch.nn.functional.avg_pool2d(drawn(1, 1, 98, 98), 3, 1)  # little at high frequencies
    noise = 0.1 * torch.randn(1, 1, 90, 90, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = Convolution()(image, kernel) + noise
    kernels, _ = estimated_kernels(data, image[:, None].expand(-1, 2, -1, -1, -1), [0.001, 0.1], (7, 7))
    blind, aware = (float((found * kernel).sum() / (found.norm() * kernel.norm())) for found in kernels)
    assert aware > blind


def test_it_is_the_formula() -> None:
    """NumPy's transform of the whole grid gives the same, for two images and two levels."""
    data, images, size = drawn(2, 3, 11, 12), drawn(2, 2, 3, 13, 15, seed=1), grid_size((11, 12), (3, 4))
    kernels, norms = estimated_kernels(data, images, [0.1, 0.3], (3, 4))
    blurred = np.fft.fft2(extend_periodically(data.mean(1, keepdim=True), (3, 4), size)[0, 0].numpy())
    sharp = np.fft.fft2(to_grid(images.mean(2), size)[0, 1].numpy())
    whole = np.abs(np.fft.ifft2(sharp.conj() * blurred / (np.abs(sharp) ** 2 + size[0] * size[1] * 0.09)).real)
    expected = np.roll(whole, (1, 2), (0, 1))[:3, :4]
    assert norms.shape == (2, 2)
    np.testing.assert_allclose(norms[1, 0], np.linalg.norm(whole), rtol=1e-9)
    np.testing.assert_allclose(kernels[1, 0, 0], expected / expected.sum(), rtol=1e-6)

"""The deep-image-prior networks: sizes, shapes, and that calling them changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from invkit.core.errors import InputError
from invkit.core.interfaces import ImagePrior, KernelPrior, LatentPrior
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.dip_skip import DipSkipKernel
from invkit.networks.nonlocal_block import NonLocalBlock
from invkit.networks.prepared_convolution import PaddingMode, PreparedConvolution
from invkit.networks.random import seeded
from invkit.networks.skip import SkipNetwork, SkipSettings, crop_centre, doubled, scales_that_fit, smallest_side
from invkit.numerics.geometry import Shape


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(shape: Shape, **settings: Any) -> DipSkipImage:
    return DipSkipImage(shape, **{"channels": 4, "skip_channels": 2, "latent_channels": 3, **settings})


@pytest.mark.parametrize(
    ("nonlocal_scales", "parameters"),
    [
        pytest.param(0, 2_265_489, id="the paper's G_x"),
        pytest.param(3, 2_365_521, id="with the released code's non-local blocks"),
    ],
)
def test_the_paper_s_image_network_has_as_many_parameters_as_published(nonlocal_scales: int, parameters: int) -> None:
    assert count(DipSkipImage((1, 1, 33, 33), nonlocal_scales=nonlocal_scales)) == parameters


@pytest.mark.parametrize(
    ("size", "scales", "sizes"),
    [
        pytest.param((281, 281), 5, [(281, 281), (141, 141), (71, 71), (36, 36), (18, 18)], id="a Levin image"),
        pytest.param((64, 48), 3, [(64, 48), (32, 24), (16, 12)], id="even"),
        pytest.param((33, 65), 5, [(33, 65), (17, 33), (9, 17), (5, 9), (3, 5)], id="the smallest"),
    ],
)
def test_each_scale_halves_the_size_rounding_up(
    size: tuple[int, int], scales: int, sizes: list[tuple[int, int]]
) -> None:
    prior, seen = small((1, 1, *size), scales=scales), []
    for module in prior.modules():
        if type(module).__name__ == "_Scale":
            module.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    prior()
    assert seen == sizes


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_every_setting_gives_an_image_of_the_shape_asked_for(
    kernel_size: int, padding: PaddingMode, upsampling: str
) -> None:
    shape = (2, 3, 21, 18)
    prior = small(shape, scales=2, kernel_size=kernel_size, padding=padding, upsampling=upsampling)
    image = prior()
    assert image.shape == shape
    assert image.min() >= 0
    assert image.max() <= 1
    image.sum().backward()
    assert all(parameter.grad is not None for parameter in prior.parameters())


@given(st.integers(1, 3), st.integers(0, 20), st.integers(0, 20), st.sampled_from([1, 3, 5]))
def test_any_size_from_the_smallest_on_is_kept(
    scales: int, extra_height: int, extra_width: int, kernel_size: int
) -> None:
    least = smallest_side(scales, kernel_size)
    shape = (1, 1, least + extra_height, least + extra_width)
    assert small(shape, scales=scales, kernel_size=kernel_size)().shape == shape


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("scales", [1, 3, 5])
def test_the_smallest_side_is_the_least_that_works(scales: int, kernel_size: int) -> None:
    least = smallest_side(scales, kernel_size)
    assert scales_that_fit(least, kernel_size) == scales
    assert scales_that_fit(least - 1, kernel_size) == scales - 1
    with pytest.raises(InputError, match=f"at least {least}x{least} pixels; got {least - 1}x99"):
        small((1, 1, least - 1, 99), scales=scales, kernel_size=kernel_size)


def test_too_small_an_image_is_refused_with_the_number_of_scales_that_would_do() -> None:
    with pytest.raises(InputError, match="use scales=4"):
        DipSkipImage((1, 1, 20, 70))


@pytest.mark.parametrize("settings", [{"channels": 5}, {"scales": 0}, {"kernel_size": 4}, {"chanels": 8}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        DipSkipImage((1, 1, 64, 64), **settings)


@pytest.mark.parametrize(
    "prior",
    [
        small((1, 1, 33, 40), nonlocal_scales=3),
        DipSkipKernel((1, 1, 9, 9), channels=4, nonlocal_scales=3),
    ],
    ids=["image", "kernel"],
)
def test_a_call_changes_nothing_and_training_mode_means_nothing(prior: DipSkipImage | DipSkipKernel) -> None:
    before = {name: tensor.clone() for name, tensor in prior.state_dict().items()}
    first = prior()
    prior.eval()
    torch.testing.assert_close(prior(), first, rtol=0, atol=0)
    assert before.keys() == prior.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in prior.state_dict().items())


@pytest.mark.parametrize("build", [small, DipSkipKernel], ids=["image", "kernel"])
def test_the_seed_alone_decides_and_the_global_generator_is_left_alone(
    build: Callable[..., DipSkipImage | DipSkipKernel],
) -> None:
    shape = (1, 1, 33, 33)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = build(shape, seed=5)
    assert torch.equal(torch.rand(3), expected)
    second, other = build(shape, seed=5), build(shape, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(first.latent, second.latent)
    assert not torch.equal(first.latent, other.latent)


def test_a_seed_draws_the_same_when_another_device_is_the_default() -> None:
    with seeded(3):
        expected = torch.rand(4)
    with torch.device("meta"), seeded(3):
        drawn = torch.rand(4)
    assert drawn.device.type == "cpu"
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_latent_is_uniform_up_to_its_scale(scale: float) -> None:
    latent = small((1, 1, 65, 65), latent_scale=scale).latent
    assert latent.min() >= 0
    assert latent.max() <= scale
    # 12675 uniform numbers: their mean has a standard deviation of .0026 of the scale
    assert float(latent.mean()) == pytest.approx(scale / 2, rel=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 1), (1, 8), (2, 3), (5, 7), (8, 12), (35, 33)])
def test_the_kernel_network_gives_a_kernel_of_any_size(size: tuple[int, int], dtype: torch.dtype) -> None:
    prior = DipSkipKernel((2, 1, *size), channels=4).to(dtype)
    kernel = prior()
    assert kernel.shape == (2, 1, *size)
    assert kernel.dtype == dtype
    assert kernel.min() >= 0
    torch.testing.assert_close(kernel.sum((1, 2, 3)), torch.ones(2, dtype=dtype), rtol=0, atol=1e-6)


def test_priors_of_both_families_have_a_latent() -> None:
    image, kernel = small((1, 1, 33, 33)), DipSkipKernel((1, 1, 5, 5), channels=4)
    assert isinstance(image, ImagePrior)
    assert isinstance(kernel, KernelPrior)
    for prior in (image, kernel):
        assert isinstance(prior, LatentPrior)
        assert torch.equal(prior.decode(prior.latent), prior())
        assert not torch.equal(prior.decode(prior.latent.flip(2)), prior())


def test_a_non_local_block_starts_as_the_identity() -> None:
    with seeded(0):
        block, features = NonLocalBlock(6), torch.randn(2, 6, 5, 7)
    assert torch.equal(block(features), features)


def test_a_non_local_block_is_the_mean_over_all_pooled_positions() -> None:
    with seeded(0):
        block, x = NonLocalBlock(4).double(), torch.randn(1, 4, 4, 6, dtype=torch.float64)
        nn.init.normal_(block.norm.weight)
    query, key, value = block.query(x), block.key(x), block.value(x)
    mixed = torch.zeros_like(query)
    for row in range(4):
        for column in range(6):
            for top in range(0, 4, 2):
                for left in range(0, 6, 2):
                    pooled = [m[0, :, top : top + 2, left : left + 2].amax((1, 2)) for m in (key, value)]
                    mixed[0, :, row, column] += (query[0, :, row, column] @ pooled[0]) * pooled[1] / 6
    torch.testing.assert_close(block(x), x + block.norm(block.output(mixed)))


@pytest.mark.parametrize(("size", "first"), [((5, 5), 0), ((4, 3), 0), ((3, 3), 1), ((1, 1), 2)])
def test_the_crop_is_central_and_of_two_middles_the_upper_left(size: tuple[int, int], first: int) -> None:
    grid = torch.arange(25.0).view(1, 1, 5, 5)
    cropped = crop_centre(grid, *size)
    assert cropped.shape[-2:] == size
    assert cropped[0, 0, 0, 0] == grid[0, 0, first, (5 - size[1]) // 2]


def test_low_precision_ends_before_the_sigmoid() -> None:
    prior = small((1, 1, 33, 33), scales=2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        image = prior()
        logits = prior.networks[0](prior.latent)
    assert logits.dtype == torch.bfloat16
    assert image.dtype == torch.float32
    assert torch.equal(image, torch.sigmoid(logits.float()))


def test_the_network_is_the_one_drawn_in_the_paper() -> None:
    """A scale by hand: down twice, up, joined with the skip connection; layers as plain torch modules."""
    with seeded(0):
        settings = SkipSettings(latent_channels=3, channels=4, skip_channels=2, scales=1)
        network, x = SkipNetwork(settings, 2).double(), torch.rand(1, 3, 7, 9).double()
    modules: list[Any] = list(network)
    scale, last = modules
    act = nn.LeakyReLU(0.2)
    across = act(scale.across[1](scale.across[0](x)))
    halving, second, norm, _ = scale.down
    assert halving.stride == (2, 2)
    deeper = act(norm(plainly(second, act, "reflect", halving(x))))
    deeper = nn.functional.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False)
    assert deeper.shape[-2:] == (8, 10)
    joined = torch.cat([across, deeper[..., :7, :9]], dim=1)
    first, pointwise = scale.up
    expected = plainly(
        last, act, "reflect", plainly(pointwise, act, "reflect", plainly(first, nn.Identity(), "reflect", joined))
    )
    assert [first.conv.kernel_size, pointwise.conv.kernel_size, last.conv.kernel_size] == [(3, 3), (1, 1), (1, 1)]
    torch.testing.assert_close(network(x), expected)


def plainly(
    layer: PreparedConvolution, activation: Callable[[Tensor], Tensor], padding: PaddingMode, features: Tensor
) -> Tensor:
    """What a `PreparedConvolution` stands for, by torch's own modules."""
    ready = activation(layer.norm(features))
    border = [layer.border] * 4
    padded = nn.functional.pad(ready, border, "constant" if padding == "zeros" else padding) if layer.border else ready
    result: Tensor = layer.conv(padded)
    return result


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_prepared_convolution_and_its_gradients_are_those_of_its_layers(
    size: int, slope: float, padding: PaddingMode
) -> None:
    with seeded(1):
        layer = PreparedConvolution(3, 4, size, padding=padding, negative_slope=slope).double()
        nn.init.normal_(layer.norm.weight)
        nn.init.normal_(layer.norm.bias)
        x, direction = torch.randn(2, 3, 6, 7).double(), torch.randn(2, 4, 6, 7).double()
    results = []
    for forward in (layer, lambda x: plainly(layer, nn.LeakyReLU(slope), padding, x)):
        unknowns = [x.clone().requires_grad_(), *layer.parameters()]
        output = forward(unknowns[0])
        results.append([output, *torch.autograd.grad((output * direction).sum(), unknowns)])
    torch.testing.assert_close(results[0], results[1])


def test_a_prepared_convolution_in_bfloat16_has_the_gradients_of_its_layers_in_bfloat16() -> None:
    with seeded(1):
        layer, x = PreparedConvolution(3, 4, 3, negative_slope=0.2), torch.randn(1, 3, 8, 8).bfloat16()
    results = []
    for forward in (layer, lambda x: plainly(layer, nn.LeakyReLU(0.2), "reflect", x)):
        output = forward(x)
        results.append([output, *torch.autograd.grad(output.float().square().sum(), list(layer.parameters()))])
    assert results[0][0].dtype == torch.bfloat16
    assert all(gradient.dtype == torch.float32 for gradient in results[0][1:])
    # bfloat16 rounds to 1 part in 256, and the order of sums may differ
    torch.testing.assert_close(results[0], results[1], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("size", [(12, 10), (11, 9), (11, 10)])
def test_doubling_is_interpolation_by_two_cropped(mode: str, size: tuple[int, int]) -> None:
    with seeded(0):
        features = torch.rand(2, 3, 6, 5)
    align = None if mode == "nearest" else False
    whole = nn.functional.interpolate(features, scale_factor=2.0, mode=mode, align_corners=align)
    assert torch.equal(doubled(features, mode, size), crop_centre(whole, *size))

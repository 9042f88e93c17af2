"""Denoisers as proximal maps: common properties, total variation, networks, and error messages."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError, RecipeError
from invkit.regularizers.plug_and_play import PlugAndPlay
from invkit.testing.common import assert_documented, assert_portable, assert_unchanged, drawn
from invkit.testing.objective_terms import assert_differentiable, assert_penalty_of_coefficients, assert_per_image

SHAPE = (2, 1, 24, 20)
EXACT = {"n_it_max": 20_000, "crit": 1e-9}
SMALL_NETWORK = {"in_channels": 1, "out_channels": 1, "nc": [4, 4, 4, 4], "nb": 1}

every = pytest.mark.parametrize(
    ("denoiser", "settings"),
    [
        ("TVDenoiser", {"n_it_max": 30}),
        ("TGVDenoiser", {"n_it_max": 15}),
        ("MedianFilter", {"kernel_size": 3}),
        ("BilateralFilter", {}),
    ],
)


def step_of(sigma: float, shape: tuple[int, ...] = SHAPE) -> float:
    """The step for which the denoiser's noise level is ``sigma``."""
    return sigma**2 * math.prod(shape[1:])


def smoothing(strength: float) -> Callable[[Tensor, float], Tensor]:
    """``(1 + sigma^2 strength L)^-1`` with the periodic Laplacian L: a linear, symmetric denoiser."""

    def denoise(images: Tensor, sigma: float) -> Any:
        rows, columns = (torch.fft.fftfreq(n, dtype=images.dtype) for n in images.shape[-2:])
        laplacian = 4 - 2 * torch.cos(2 * torch.pi * rows)[:, None] - 2 * torch.cos(2 * torch.pi * columns)
        return torch.fft.ifft2(torch.fft.fft2(images) / (1 + sigma**2 * strength * laplacian)).real

    return denoise


class TestEveryDenoiser:
    @every
    def test_is_a_regularizer(self, denoiser: str, settings: dict[str, Any]) -> None:
        """All conformance checks, except that the map minimises the penalty, which no denoiser's does."""
        regularizer, value = PlugAndPlay(denoiser=denoiser, settings=settings), drawn(SHAPE, 1)
        assert_documented(PlugAndPlay)
        assert_portable(regularizer, value)
        assert_per_image(regularizer, value)
        assert_penalty_of_coefficients(regularizer, value)
        for point in (value, torch.zeros(SHAPE), torch.full(SHAPE, 0.5), value.double()):
            assert_differentiable(regularizer, point)

    @every
    @pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0])
    def test_denoises_independently_of_earlier_calls(
        self, denoiser: str, settings: dict[str, Any], sigma: float
    ) -> None:
        regularizer, value = PlugAndPlay(denoiser=denoiser, settings=settings), drawn((1, *SHAPE), 1, torch.float64)
        kept = value.clone()
        with assert_unchanged(regularizer):
            found = regularizer.prox(value, step_of(sigma))
            regularizer.prox(1 - value, step_of(sigma))
            again = regularizer.prox(value, step_of(sigma))
        assert (found.shape, found.dtype) == (value.shape, value.dtype)
        assert bool(found.isfinite().all())
        assert torch.equal(found, again)
        assert torch.equal(value, kept)

    @every
    def test_a_constant_is_not_changed_and_has_no_penalty(self, denoiser: str, settings: dict[str, Any]) -> None:
        regularizer, value = PlugAndPlay(denoiser=denoiser, settings=settings), torch.full((1, 1, 12, 14), 0.4)
        inner = (..., slice(2, -2), slice(2, -2))  # the bilateral filter reads zeros beyond the border
        assert torch.allclose(regularizer.prox(value[None], step_of(0.1))[inner], torch.tensor(0.4), atol=1e-5)
        if denoiser != "BilateralFilter":
            assert float(regularizer(value)) == pytest.approx(0, abs=1e-4)  # rounding over sigma^2

    def test_its_weights_are_neither_trained_nor_saved(self) -> None:
        assert PlugAndPlay(denoiser="UNet").state_dict() == {}


class TestTotalVariation:
    def test_two_pixels_move_towards_each_other_by_sigma(self) -> None:
        """deepinv's threshold of |b - a| equals the noise level."""
        value = torch.tensor([0.2, 0.9], dtype=torch.float64).view(1, 1, 1, 1, 2)
        regularizer = PlugAndPlay(settings=EXACT)
        for sigma, expected in ((0.1, [0.3, 0.8]), (0.5, [0.55, 0.55])):
            found = regularizer.prox(value, step_of(sigma, (1, 1, 1, 2)))
            assert found.flatten().tolist() == pytest.approx(expected, abs=1e-5)  # tolerance of the iteration

    @pytest.mark.parametrize("sigma", [1e-6, 1e-3, 1e-2])
    def test_tends_to_the_identity_with_the_step(self, sigma: float) -> None:
        """Each of the four differences of a pixel moves it by at most sigma."""
        value = drawn((1, *SHAPE), 1, torch.float64)
        moved = (PlugAndPlay().prox(value, step_of(sigma)) - value).abs().max()
        assert float(moved) <= 4 * sigma + 1e-3 * sigma

    def test_is_nonexpansive(self) -> None:
        regularizer = PlugAndPlay(settings=EXACT | {"n_it_max": 500})
        first, second = (drawn((1, 1, 1, 12, 10), seed, torch.float64) for seed in (1, 2))
        found = [regularizer.prox(image, step_of(0.1, (1, 1, 12, 10))) for image in (first, second)]
        assert float((found[0] - found[1]).norm()) <= float((first - second).norm())

    def test_removes_noise_from_an_image(self) -> None:
        clean = torch.zeros(1, 1, 1, 32, 32)
        clean[..., 8:24, 8:24] = 0.8
        noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        found = PlugAndPlay().prox(clean + noise, step_of(0.1, (1, 1, 32, 32)))
        assert float((found - clean).square().mean()) < float(noise.square().mean()) / 4


class TestEnergy:
    def test_the_gradient_is_that_of_the_value_for_a_linear_symmetric_denoiser(self) -> None:
        regularizer = PlugAndPlay(sigma=0.3)
        regularizer.denoise = smoothing(5.0)  # type: ignore[assignment]
        value = drawn((2, 2, 5, 4), 1, torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(regularizer, (value,))

    def test_equals_to_first_order_the_penalty_of_the_denoiser(self) -> None:
        regularizer = PlugAndPlay(sigma=1e-3)
        regularizer.denoise = smoothing(5.0)  # type: ignore[assignment]
        value = drawn((1, 2, 6, 7), 1, torch.float64)
        squares = sum((value - value.roll(1, dim)).square().sum() for dim in (-2, -1))
        assert float(regularizer(value)) == pytest.approx(float(5 * squares / 2 / 84), rel=1e-4)  # sigma^2 * 40 less

    def test_its_gradient_is_that_of_romano(self) -> None:
        regularizer, value = PlugAndPlay(sigma=0.1), drawn(SHAPE, 3).requires_grad_()
        (gradient,) = torch.autograd.grad(regularizer(value).sum(), value)
        denoised = regularizer.prox(value.detach()[None], step_of(0.1))[0]
        assert torch.allclose(gradient * step_of(0.1), value.detach() - denoised, atol=1e-5)  # rounding of sigma


class TestNetworks:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> tuple[Any, str]:
        """The weights of a small untrained DRUNet."""
        from deepinv.models import DRUNet

        network = DRUNet(**SMALL_NETWORK, pretrained=None)
        torch.save(network.state_dict(), tmp_path / "weights.pth")
        return network, str(tmp_path / "weights.pth")

    def test_denoise_with_the_weights_of_a_file(self, weights: tuple[Any, str]) -> None:
        network, path = weights
        regularizer = PlugAndPlay(denoiser="DRUNet", settings={**SMALL_NETWORK, "pretrained": path})
        value = drawn((1, 2, 1, 16, 24), 1)
        state = torch.get_rng_state()
        found = regularizer.prox(value, step_of(0.1, (2, 1, 16, 24)))
        assert torch.equal(torch.get_rng_state(), state)
        with torch.no_grad():
            assert torch.allclose(found[0], network.eval()(value[0], 0.1), atol=1e-5)  # rounding of sigma

    def test_another_number_of_channels_is_reported(self, weights: tuple[Any, str]) -> None:
        regularizer = PlugAndPlay(denoiser="DRUNet", settings={**SMALL_NETWORK, "pretrained": weights[1]})
        with pytest.raises(InputError, match=r"DRUNet .* does not denoise an image of 3 channels.*in_channels"):
            regularizer(drawn((1, 3, 16, 16)))

    def test_they_load_at_the_first_use_and_an_error_names_the_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable(*args: Any, **kwargs: Any) -> None:
            raise URLError("no network")

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
        regularizer = PlugAndPlay(denoiser="DRUNet")
        for _ in range(2):
            with pytest.raises(InputError, match=r"DRUNet cannot be loaded: .*no network.*the path of its weights"):
                regularizer(drawn((1, 3, 16, 16)))


class TestRefusals:
    @pytest.mark.parametrize(
        ("denoiser", "settings", "message"),
        [
            ("TvDenoiser", {}, "no denoiser 'TvDenoiser'; did you mean 'TVDenoiser'"),
            ("?", {}, "no denoiser '\\?'; it has .*MedianFilter"),
            ("TVDenoiser", {"iterations": 3}, "unexpected keyword argument 'iterations'"),
            ("DRUNet", {"chanels": 3}, "unexpected keyword argument 'chanels'"),
            ("EquivariantDenoiser", {}, "missing a required argument: 'denoiser'"),
            ("MedianFilter", {"kernel_size": 200}, "MedianFilter .* does not denoise"),
        ],
    )
    def test_unknown_denoisers_and_settings_are_refused_at_once(
        self, denoiser: str, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(RecipeError, match=message):
            PlugAndPlay(denoiser=denoiser, settings=settings)


class Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["path", "torch's folder"])
def test_weights_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Also a file that deepinv would download, and has downloaded already; torch.hub unpickles it by default."""
    planted = tmp_path / "planted"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("drunet_deepinv_gray_finetune_26k.pth", "mine.pth"):
        torch.save({"weight": Planted(planted)}, folder / name)
    given = str(folder / "mine.pth") if place == "path" else "download"
    settings = {**SMALL_NETWORK, "pretrained": given}
    with pytest.raises(InputError, match="DRUNet cannot be loaded: UnpicklingError: Weights only load failed"):
        PlugAndPlay(denoiser="DRUNet", settings=settings).prox(torch.zeros(1, *SHAPE), 0.1)
    assert not planted.exists()

"""The solver of the scale-recurrent network: shapes, borders, channels, files of weights, and its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import invkit
from invkit.core.errors import InputError, NotApplicableError
from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.networks.random import seeded
from invkit.networks.scale_recurrent import ScaleRecurrentNetwork, ScaleRecurrentSettings, save_network
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.solvers.scale_recurrent import ScaleRecurrent, restored_by


class Brighter(ScaleRecurrentNetwork):
    """Adds .1 to the full size, and notes what it was given."""

    def forward(self, blurry: Tensor) -> list[Tensor]:
        self.given = blurry
        return [blurry, blurry + 0.1]


def brighter(image_channels: int) -> Brighter:
    return Brighter(
        ScaleRecurrentSettings.model_validate({"channels": (2, 2, 2), "blocks": 0, "image_channels": image_channels})
    )


def weights(file: Path, **settings: Any) -> str:
    with seeded(0):
        network = ScaleRecurrentNetwork(ScaleRecurrentSettings(channels=(4, 4, 4), blocks=1, **settings))
    save_network(network, file)
    return str(file)


def problem(size: tuple[int, int] = (70, 81), padding: str = "valid") -> Problem:
    data = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    operator, prior = Convolution(padding=padding), SimplexKernel((1, 1, 5, 7))  # type: ignore[arg-type]
    image = Pixels(operator.image_shape(shape_of(data), prior.shape), start=data)
    return Problem(data=data, operator=operator, image_prior=image, kernel_prior=prior, fidelity=MSE())


@pytest.mark.parametrize(("channels", "wanted"), [(1, 1), (3, 3), (1, 3), (3, 1)])
def test_pictures_of_any_size_and_number_of_channels_keep_their_shape(channels: int, wanted: int) -> None:
    picture, network = torch.rand(2, channels, 37, 50) * 0.8, brighter(wanted)
    torch.testing.assert_close(restored_by(network, picture), picture + 0.1)
    assert network.given.shape[1:] == (wanted, 48, 64)
    assert torch.equal(network.given[..., -1, -1], network.given[..., 36, 49])  # the border is repeated


@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_the_image_is_the_network_s_and_repeats_the_border_beyond_the_data(tmp_path: Path, padding: str) -> None:
    one = problem(padding=padding)
    result = ScaleRecurrent(weights=weights(tmp_path / "w.npz")).solve(one)
    image = torch.as_tensor(result.image)
    assert image.shape == tuple(one.image_prior.shape)
    if padding == "valid":
        data = image[..., 2:-2, 3:-3]
        torch.testing.assert_close(image, torch.nn.functional.pad(data, (3, 3, 2, 2), mode="replicate"))
    assert torch.equal(torch.as_tensor(result.kernel), one.kernel_prior())


def test_a_small_picture_is_declined() -> None:
    with pytest.raises(NotApplicableError, match="at least 32"):
        ScaleRecurrent().solve(problem((31, 80)))


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"\x80\x04\x95"])
def test_a_file_that_holds_no_weights_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "weights.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.npz.*train_scale_recurrent"):
        ScaleRecurrent(weights=str(file)).solve(problem())


def test_the_recipe_gives_the_image_of_the_network_and_a_kernel(tmp_path: Path) -> None:
    blurry = np.random.default_rng(0).random((80, 90, 3)).astype(np.float32)
    file = weights(tmp_path / "w.npz")
    result = invkit.deblur(
        blurry, recipe="srn", kernel_size=5, progress=False, overrides=[f"solver.latent.weights={file}"]
    )
    assert np.asarray(result.image).shape == (80, 90, 3)
    assert np.asarray(result.kernel).sum() == pytest.approx(1, abs=1e-4)

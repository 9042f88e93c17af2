"""Plug and play with the user's own modules: instances, names in recipes, and files of weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow import array
from toy_denoisers import Scaled, Smooth

import invkit
from invkit.core.errors import InputError, RecipeError
from invkit.regularizers.plug_and_play import PlugAndPlay
from invkit.testing.common import drawn

VALUE = drawn((1, 2, 1, 8, 6))
STEP = 0.1**2 * 48  # noise of 0.1


def test_an_instance_denoises_at_the_noise_level_of_the_step_and_does_not_change() -> None:
    module = Scaled().train()
    found = PlugAndPlay.of(module).prox(VALUE.double(), STEP)
    torch.testing.assert_close(found, 0.45 * VALUE.double())
    assert module.training
    assert module.weight.requires_grad
    assert module.weight.dtype == torch.float32


def test_a_module_with_one_argument_is_not_told_the_noise_level() -> None:
    found = PlugAndPlay.of(Smooth()).prox(VALUE, STEP)
    torch.testing.assert_close(found[0], Smooth()(VALUE[0]))
    torch.testing.assert_close(found, PlugAndPlay.of(Smooth()).prox(VALUE, 9 * STEP))


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [("Scaled", {}, 0.45), ("Scaled", {"weight": 1.0}, 0.9), ("built", {}, None)],
)
def test_a_recipe_names_a_class_or_an_instance(name: str, settings: dict[str, Any], expected: float | None) -> None:
    found = PlugAndPlay(denoiser=f"toy_denoisers:{name}", settings=settings).prox(VALUE, STEP)[0]
    torch.testing.assert_close(found, Smooth()(VALUE[0]) if expected is None else expected * VALUE[0])


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_come_from_a_file(tmp_path: Path, wrapped: bool) -> None:
    weights = Scaled(weight=0.8).state_dict()
    torch.save({"state_dict": weights} if wrapped else weights, tmp_path / "mine.pth")
    prior = PlugAndPlay(denoiser="toy_denoisers:Scaled", weights=str(tmp_path / "mine.pth"))
    torch.testing.assert_close(prior.prox(VALUE, STEP), 0.72 * VALUE)


def test_weights_of_a_denoiser_of_deepinv_come_from_a_file(tmp_path: Path) -> None:
    from deepinv.models import DRUNet

    settings = {"in_channels": 1, "out_channels": 1, "nc": [4, 4, 4, 4], "nb": 1}
    network = DRUNet(**settings, pretrained=None).eval()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    prior = PlugAndPlay(denoiser="DRUNet", settings=settings, weights=str(tmp_path / "mine.pth"))
    value = drawn((1, 1, 1, 16, 16))
    with torch.no_grad():
        expected = network(value[0], 0.1)
    torch.testing.assert_close(prior.prox(value, 0.1**2 * 256)[0], expected, atol=1e-5, rtol=1e-4)


class Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("what", ["code", "another network", "nothing", "text"])
def test_a_file_that_holds_no_such_weights_is_refused_at_once_and_runs_no_code(tmp_path: Path, what: str) -> None:
    file, planted = tmp_path / "weights.pth", tmp_path / "planted"
    if what == "code":
        torch.save({"weight": Planted(planted)}, file)
    elif what == "another network":
        torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    elif what == "text":
        file.write_text("weights")
    with pytest.raises(InputError, match=r"the weights of toy_denoisers:Scaled cannot be read from .*weights.pth: "):
        PlugAndPlay(denoiser="toy_denoisers:Scaled", weights=str(file))
    assert not planted.exists()


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("os:system", {"command": "exit"}, "'os:system' cannot be the denoiser: it is no torch.nn.Module"),
        ("toy_denoisers:make", {}, "cannot be the denoiser: it is no torch.nn.Module, and no class of them"),
        ("toy_denoisers:built", {"size": 3}, "cannot be the denoiser: it takes no settings"),
        ("toy_denoisers:Rough", {}, "there is no denoiser 'toy_denoisers:Rough': .*no attribute 'Rough'"),
        ("no_such_package:Rough", {}, "there is no denoiser 'no_such_package:Rough': No module named"),
        ("toy_denoisers:Scaled", {"size": 3}, "toy_denoisers:Scaled cannot be used with settings {'size': 3}"),
    ],
)
def test_a_name_that_is_no_denoiser_is_refused(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        PlugAndPlay(denoiser=name, settings=settings)


def test_a_denoiser_that_changes_the_shape_is_told_at_the_first_use() -> None:
    prior = PlugAndPlay(denoiser="toy_denoisers:Shrinking")
    with pytest.raises(InputError, match="toy_denoisers:Shrinking does not denoise an image of 1 channels: its result"):
        prior.prox(VALUE, STEP)


def test_a_recipe_denoises_by_a_module_that_it_names() -> None:
    blocks = np.kron(np.random.default_rng(0).uniform(0.2, 0.8, (5, 5)), np.ones((8, 8)))
    noisy = np.random.default_rng(1).normal(blocks, 0.1).clip(0, 1)
    term = "{name='plug-and-play', weight=0.02, params={denoiser='toy_denoisers:Smooth'}}"
    settings = [f"regularizers=[{term}]", "solver={name='proximal-gradient', params={iterations=1}}"]
    result = invkit.restore(noisy, "denoise-tv", overrides=settings, progress=False)
    errors = [np.square(array(image) - blocks).mean() for image in (result.image, noisy)]
    assert errors[0] < 0.7 * errors[1]

"""The code of the page on deepinv runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch

import invkit
from invkit.core import registry
from invkit.datasets.samples import sample_path
from invkit.media.images import encode_png, read_image
from invkit.numerics.registration import aligned_psnr
from invkit.recipes.model import check_parameters, load_recipe
from invkit.testing import check_adapter, check_fidelity

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "deepinv.md").read_text(encoding="utf-8")
CROP = slice(64, 160), slice(100, 196)  # of the bundled photograph, with edges of every direction

Picture: TypeAlias = npt.NDArray[Any]
Executed: TypeAlias = tuple[dict[str, Any], Path]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def sharp() -> Picture:
    """The true image of the page's small photograph, (96, 96) in [0, 1]."""
    picture: Picture = np.asarray(read_image(sample_path("coffee-sharp")).pixels)[CROP].mean(-1)
    return picture


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, sharp: Picture) -> Executed:
    """The names that the page's code defines, and its folder."""
    import deepinv

    folder = tmp_path_factory.mktemp("page")
    recipe, _ = blocks("toml")
    (folder / "blind-x2.toml").write_text(recipe, encoding="utf-8")
    downsampling = deepinv.physics.Downsampling(
        filter=deepinv.physics.functional.gaussian_blur(sigma=(1.6, 1.6)), factor=2, padding="circular"
    )
    small = downsampling(torch.tensor(sharp, dtype=torch.float32)[None, None])[0, 0]
    (folder / "small.png").write_bytes(encode_png(np.rint(255 * small.clamp(0, 1).numpy()).astype(np.uint8)))
    code = compile("\n".join(blocks("python")), "deepinv.md", "exec", dont_inherit=True)  # without this __future__
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.chdir(folder)
        torch.manual_seed(0)  # of deepinv's noise
        try:
            exec(code, names)
        finally:
            registry.unregister("adapters", "torch")
    return names, folder


def test_deepinv_s_physics_enlarges_the_photograph(page: Executed, sharp: Picture) -> None:
    names, folder = page
    assert aligned_psnr(torch.tensor(names["result"].image), torch.tensor(sharp)) > 27
    assert (folder / "enlarged" / "image.png").exists()
    assert aligned_psnr(torch.tensor(names["huber"].image), torch.tensor(sharp)) > 27


def test_each_model_improves_the_image(page: Executed) -> None:
    scores = page[0]["scores"]
    assert len(scores) == 4
    assert all(one["PSNR"] > one["PSNR no learning"] for one in scores.values())
    assert scores["invkit's tv-admm"]["PSNR"] > scores["deepinv's Wiener filter"]["PSNR"]


def test_the_adapter_passes_the_checks(page: Executed) -> None:
    names, _ = page
    check_adapter(names["TorchLosses"])
    check_fidelity(names["fidelity"]("HuberLoss"))


def test_the_recipe_uses_components_of_deepinv(page: Executed) -> None:
    checked = check_parameters(load_recipe(page[1] / "blind-x2.toml"), seed=0)
    assert checked["operator"].component.__module__.startswith("deepinv.")
    assert checked["regularizers.0"].component.__module__.startswith("deepinv.")

"""The code and the commands of the page on classical methods run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.core import registry
from invkit.media.images import encode_png, read_image
from invkit.numerics.registration import aligned_psnr

ROOT = Path(invkit.__file__).parent.parent
SAMPLES = ROOT / "invkit" / "datasets" / "samples"
PAGE = (ROOT / "docs" / "howto" / "map.md").read_text(encoding="utf-8")
CROP = slice(64, 192), slice(100, 228)  # 128 x 128 pixels of the bundled photograph, with edges of every direction


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def sample(name: str) -> npt.NDArray[Any]:
    return np.asarray(read_image(SAMPLES / f"{name}.png").pixels)[CROP]


def luma(picture: Any) -> Tensor:
    return torch.as_tensor(picture.mean(-1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the page, with its recipes and a photograph."""
    recipe, several, single_steps = blocks("toml")
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    (tmp_path / "several.toml").write_text(several, encoding="utf-8")
    (tmp_path / "single.toml").write_text(recipe[: recipe.index("[solver.params.inner.params]")] + single_steps)
    pixels = np.rint(255 * sample("coffee_blurry")).astype(np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(pixels))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_code_runs_from_top_to_bottom_and_deblurs(folder: Path) -> None:
    code = compile("\n".join(blocks("python")), "map.md", "exec", dont_inherit=True)  # without this file's __future__
    names: dict[str, Any] = {}
    try:
        exec(code, names)
    finally:
        registry.unregister("regularizers", "curvature-count")
    blurry, sharp = (luma(sample(name)) for name in ("coffee_blurry", "coffee_sharp"))
    assert aligned_psnr(luma(names["result"].image), sharp) > aligned_psnr(blurry, sharp) + 2  # dB
    assert names["swapped"].details["recipe"]["regularizers"][0]["name"] == "curvature-count"
    assert (folder / "swapped" / "image.png").exists()
    torch.testing.assert_close(names["kernel"].sum(), torch.ones(()))


@pytest.mark.parametrize("command", [line for block in blocks("bash") for line in block.splitlines()])
def test_every_command_succeeds(folder: Path, command: str) -> None:
    outcome = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert (folder / "deblurred" / "image.png").exists()


def test_the_details_list_the_candidates_and_the_selected_one(folder: Path) -> None:
    result = invkit.deblur(folder / "photo.png", recipe=folder / "several.toml", kernel_size=15, progress=False)
    candidates = result.details["candidates"]
    assert [one["name"] for one in candidates] == ["xu-l0", "pan-l0", "pan-l0-strong"]
    assert sum(one["selected"] for one in candidates) == 1


def test_the_recipe_of_single_steps_makes_kernels_that_change_slowly(folder: Path) -> None:
    def kernel_after(iterations: int) -> npt.NDArray[Any]:
        overrides = [f"solver.inner.iterations={iterations}"]
        return np.asarray(
            invkit.deblur(
                folder / "photo.png",
                recipe=folder / "single.toml",
                kernel_size=15,
                overrides=overrides,
                progress=False,
            ).kernel
        )

    few, more = kernel_after(1), kernel_after(20)
    assert few.min() >= 0
    assert few.sum() == pytest.approx(1)
    assert 1e-4 < np.abs(few - more).max() < 0.2

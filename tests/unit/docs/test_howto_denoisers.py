"""The code of the page on denoisers runs, and its part of a recipe is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow import tensor
from toy_denoisers import Smooth

import invkit
from invkit.core.errors import RecipeError
from invkit.recipes.model import check_parameters, parse_recipe

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "denoisers.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_python_code_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks("python")), "denoisers.md", "exec", dont_inherit=True), names)
    truth, data, inner = names["truth"], names["data"], (..., slice(2, -2), slice(2, -2))
    blurry = float((data[..., 1:-1, 1:-1] - truth[inner]).square().mean())
    assert float((tensor(names["restored"].image)[inner] - truth[inner]).square().mean()) < blurry
    assert names["sampled"].iterations == 10


def test_the_regularizer_of_the_page_is_that_of_a_recipe(tmp_path: Path) -> None:
    [part] = blocks("toml")
    whole = 'name = "mine"\noperator = "identity"\nimage_prior = "pixels"\nsolver = "diffusion"\n' + part
    with pytest.raises(RecipeError, match=r"there is no denoiser 'my_package.networks:Net'"):
        check_parameters(parse_recipe(whole), seed=0)["regularizers.0"].build({})
    torch.save(Smooth().state_dict(), tmp_path / "net.pth")
    mine = whole.replace("my_package.networks:Net", "toy_denoisers:Smooth").replace("{ channels = 32 }", "{}")
    recipe = parse_recipe(mine.replace("net.pth", str(tmp_path / "net.pth")))
    built = check_parameters(recipe, seed=0)["regularizers.0"].build({})
    assert torch.equal(built.prox(torch.ones(1, 1, 1, 4, 4), 0.1), torch.ones(1, 1, 1, 4, 4))

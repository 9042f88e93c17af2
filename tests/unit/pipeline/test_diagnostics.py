"""What speaks against a restoration: each sign by itself, and none where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.pipeline.diagnostics import AGREEMENT, CLIPPED, FEWEST, diagnose

GREY = torch.full((1, 1, 20, 20), 0.5)
SPREAD = torch.full((5, 5), 1 / 25)
POINT = torch.zeros(5, 5).index_put((torch.tensor(2), torch.tensor(2)), torch.tensor(1.0))


def darkened(share: float) -> torch.Tensor:
    image = GREY.clone()
    image.view(-1)[: round(share * image.numel())] = 0
    return image


def compared(agreement: float, count: int = FEWEST) -> list[dict[str, object]]:
    selection = {"log-gradient": -4.0, "kernel-agreement": -agreement}
    return [
        {"name": str(i), "chosen": i == 1, "selection": selection if i == 1 else {"kernel-agreement": -1.0}}
        for i in range(count)
    ]


def test_nothing_speaks_against_a_grey_image_and_a_spread_kernel():
    assert diagnose(GREY, GREY, SPREAD) == []
    assert diagnose(GREY, GREY, SPREAD, compared(0.98)) == []


def test_a_point_is_no_blur():
    assert "point" in diagnose(GREY, GREY, POINT)[0]
    assert diagnose(GREY, GREY, torch.ones(1, 1)) == []  # a problem without a kernel has one of one pixel


@pytest.mark.parametrize(("share", "told"), [(CLIPPED + 0.005, 1), (CLIPPED - 0.005, 0)])
def test_greys_that_became_black_or_white_are_counted_and_dark_places_are_not(share, told):
    assert len(diagnose(GREY, darkened(share), SPREAD)) == told
    assert len(diagnose(GREY, 1 - darkened(share), SPREAD)) == told
    for dark in (0.0, 0.1):
        assert diagnose(darkened(share).clamp(min=dark), darkened(share), SPREAD) == []


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        (compared(AGREEMENT - 0.05), 1),
        (compared(AGREEMENT + 0.05), 0),
        (compared(AGREEMENT - 0.05, FEWEST - 1), 0),
        ([{"name": "a", "chosen": True, "selection": {"log-gradient": -4.0}}] * FEWEST, 0),
        ([*compared(AGREEMENT - 0.05), {"name": "b", "chosen": False, "failed": "diverged"}], 1),
    ],
)
def test_starts_that_disagree_are_a_doubt_where_there_are_enough(starts, told):
    assert len(diagnose(GREY, GREY, SPREAD, starts)) == told


@pytest.fixture
def sharp(tmp_path) -> str:
    """A picture that is not blurred."""
    blocks = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (9, 10)), np.ones((4, 4)))
    np.save(tmp_path / "sharp.npy", blocks.astype(np.float32))
    return str(tmp_path / "sharp.npy")


def test_the_command_says_so_and_puts_the_photograph_beside_it(sharp, tmp_path):
    output = tmp_path / "run"
    words = ["deblur", sharp, "--recipe", "fast-map", "--kernel-size", "3", "--output", str(output)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0
    assert "warning: the kernel found is a point" in ended.stdout
    assert "photograph.png" in ended.stdout
    assert (output / "photograph.png").is_file()
    assert "point" in json.loads((output / "result.json").read_text(encoding="utf-8"))["warnings"][0]


def test_a_new_run_without_warnings_leaves_no_photograph_of_the_old_one(sharp, tmp_path):
    result = invkit.deblur(sharp, recipe="fast-map", kernel_size=5, progress=False)
    result.save(tmp_path / "run")
    known = invkit.deconvolve(sharp, SPREAD.numpy(), progress=False)
    assert "warnings" not in known.details  # a known kernel needs no diagnostics
    known.save(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "photograph.png").exists()

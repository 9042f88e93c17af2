"""The warnings about a restoration: each has its own sign, and a good restoration has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.pipeline.diagnostics import MAX_LOST_SHARE, MIN_AGREEMENT, MIN_COMPARED, diagnose

GREY = torch.full((1, 1, 20, 20), 0.5)
SPREAD = torch.full((5, 5), 1 / 25)
POINT = torch.zeros(5, 5).index_put((torch.tensor(2), torch.tensor(2)), torch.tensor(1.0))


def darkened(share: float) -> torch.Tensor:
    image = GREY.clone()
    image.view(-1)[: round(share * image.numel())] = 0
    return image


def compared(agreement: float, count: int = MIN_COMPARED) -> list[dict[str, object]]:
    """Entries of candidates; the selected one agrees this much with the others."""
    scores = {"log-gradient": -4.0, "kernel-agreement": -agreement}
    return [
        {"name": str(i), "selected": i == 1, "scores": scores if i == 1 else {"kernel-agreement": -1.0}}
        for i in range(count)
    ]


def test_a_grey_image_and_a_spread_kernel_give_no_warning() -> None:
    assert diagnose(GREY, GREY, SPREAD) == []
    assert diagnose(GREY, GREY, SPREAD, compared(0.98)) == []


def test_a_kernel_of_one_point_gives_a_warning() -> None:
    assert "point" in diagnose(GREY, GREY, POINT)[0]
    assert diagnose(GREY, GREY, torch.ones(1, 1)) == []  # a problem without a kernel has one of one pixel


@pytest.mark.parametrize(("share", "count"), [(MAX_LOST_SHARE + 0.005, 1), (MAX_LOST_SHARE - 0.005, 0)])
def test_greys_that_became_black_or_white_count_and_dark_parts_do_not(share: float, count: int) -> None:
    assert len(diagnose(GREY, darkened(share), SPREAD)) == count
    assert len(diagnose(GREY, 1 - darkened(share), SPREAD)) == count
    for dark in (0.0, 0.1):
        assert diagnose(darkened(share).clamp(min=dark), darkened(share), SPREAD) == []


@pytest.mark.parametrize(
    ("candidates", "count"),
    [
        (compared(MIN_AGREEMENT - 0.05), 1),
        (compared(MIN_AGREEMENT + 0.05), 0),
        (compared(MIN_AGREEMENT - 0.05, MIN_COMPARED - 1), 0),
        ([{"name": "a", "selected": True, "scores": {"log-gradient": -4.0}}] * MIN_COMPARED, 0),
        ([*compared(MIN_AGREEMENT - 0.05), {"name": "b", "selected": False, "failed": "diverged"}], 1),
    ],
)
def test_candidates_that_disagree_give_a_warning_if_there_are_enough(
    candidates: list[dict[str, Any]], count: int
) -> None:
    assert len(diagnose(GREY, GREY, SPREAD, candidates)) == count


@pytest.fixture
def sharp(tmp_path: Path) -> str:
    """A picture that is not blurred."""
    blocks = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (9, 10)), np.ones((4, 4)))
    np.save(tmp_path / "sharp.npy", blocks.astype(np.float32))
    return str(tmp_path / "sharp.npy")


def test_the_command_warns_and_saves_the_input_beside_the_result(sharp: str, tmp_path: Path) -> None:
    output = tmp_path / "run"
    words = ["deblur", sharp, "--recipe", "fast-map", "--kernel-size", "3", "--whole-picture", "--output", str(output)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0
    assert "warning: the estimated kernel is a point" in ended.stdout
    assert "photograph.png" in ended.stdout
    assert (output / "photograph.png").is_file()
    assert "point" in json.loads((output / "result.json").read_text(encoding="utf-8"))["warnings"][0]


def test_a_new_run_without_warnings_removes_the_photograph_of_the_old_one(sharp: str, tmp_path: Path) -> None:
    result = invkit.deblur(sharp, recipe="fast-map", kernel_size=5, whole_picture=True, progress=False)
    result.save(tmp_path / "run")
    known = invkit.deconvolve(sharp, SPREAD.numpy(), progress=False)
    assert "warnings" not in known.details  # a known kernel needs no diagnostics
    known.save(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "photograph.png").exists()

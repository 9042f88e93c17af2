"""The recipe of light streaks: alone, as a candidate, and where it does not apply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from narrow import array
from night_scene import GAMMA, blurred_night, hook, night
from PIL import Image

from invkit.apps.cli.main import main as invkit
from invkit.core.errors import NotApplicableError
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.numerics.registration import aligned_psnr
from invkit.pipeline.api import restore
from invkit.recipes.model import parse_recipe

QUICK = """
name = "quick"
candidates = ["light-streaks"]
image_prior = "pixels"
kernel_prior = "known"
solver = "wiener"
regularizers = {name = "gradient-l2", weight = 1e-3}
"""


def coloured_scene() -> tuple[np.ndarray, np.ndarray]:
    """A photograph of coloured lamps and its sharp version."""
    light = night(30.0)[..., None] * np.array([1.0, 0.7, 0.3])
    margin = len(hook()) // 2
    return blurred_night(light, hook()), np.clip(light, 0, 1)[margin:-margin, margin:-margin] ** (1 / GAMMA)


def test_a_night_photograph_is_restored() -> None:
    blurry, sharp = coloured_scene()
    result = restore(blurry, recipe="light-streaks", kernel_size=31, progress=False)
    assert kernel_similarity(array(result.kernel), hook()) > 0.95
    before, after = (
        aligned_psnr(image.transpose(2, 0, 1), sharp.transpose(2, 0, 1)) for image in (blurry, array(result.image))
    )
    assert after > before + 3
    assert [stage["name"] for stage in result.details["stages"]] == ["light-streaks", "richardson-lucy-saturated"]


def test_as_a_candidate_it_gives_its_kernel() -> None:
    blurry, _ = coloured_scene()
    result = restore(blurry, recipe=parse_recipe(QUICK), kernel_size=31, progress=False)
    assert [one["selected"] for one in result.details["candidates"]] == [True]
    assert kernel_similarity(array(result.kernel), hook()) > 0.95


def test_as_a_candidate_it_is_skipped_where_there_are_no_streaks() -> None:
    light = np.random.default_rng(0).random((60, 70))
    other = '{name = "other", image_prior = "pixels", kernel_prior = "simplex", solver = "joint-adam"}'
    both = parse_recipe(QUICK.replace('["light-streaks"]', f'["light-streaks", {other}]\nselection = "log-gradient"'))
    recipe = both.with_overrides(["candidates.other.solver.iterations=2"])
    first, second = restore(light, recipe=recipe, kernel_size=9, progress=False).details["candidates"]
    assert first["skipped"].startswith("candidates.0: no light streaks that draw the kernel")
    assert (first["selected"], second["selected"]) == (False, True)


def test_a_photograph_without_streaks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    light = np.random.default_rng(0).random((60, 70))
    with pytest.raises(NotApplicableError, match="no light streaks"):
        restore(light, recipe="light-streaks", kernel_size=9, progress=False)
    Image.fromarray((255 * light).astype(np.uint8)).save(tmp_path / "day.png")
    command = ["invkit", "deblur", str(tmp_path / "day.png"), "--recipe", "light-streaks"]
    monkeypatch.setattr("sys.argv", [*command, "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        invkit()
    assert "no light streaks that draw the kernel" in " ".join(capsys.readouterr().err.split())

"""What notebooks show: representations, figures, comparisons and the line of progress."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console

from invkit import Problem, Result, Term, load_recipe
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.core.observers import progress
from invkit.core.observers.progress import NotebookBar, ProgressBar
from invkit.core.solver import Observer
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.pipeline import api
from invkit.pipeline.restored import psnr
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import JointAdam

WICKED = "<script>alert(1)</script>"
PNG = b"\x89PNG"


class Balance(HTMLParser):
    """Fails on a tag that is closed and was not open, or the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> list[str]:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.seen


def textured(height: int = 64, width: int = 70) -> np.ndarray:
    squares = np.random.default_rng(0).uniform(0.1, 0.9, (height // 2, width // 2))
    return np.kron(squares, np.ones((2, 2))).astype(np.float32)


@pytest.fixture
def result() -> Result:
    image = textured()
    kernel = np.full((3, 5), 1 / 15)
    details = {"recipe": {"name": WICKED, "title": "a & b"}, "psnr": {"before": 20.123, "after": 31.456}}
    details |= {"noise_sigma": 0.01, "noise_sigma_from": "estimated", "warnings": [WICKED]}
    blurry = image.mean(1, keepdims=True).repeat(image.shape[1], 1)
    return Result(image, kernel, (1.0, 0.5), "finished", 2, 1.25, blurry, details)


@pytest.fixture
def problem() -> Problem:
    data = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    parts = Convolution(), Pixels((1, 1, 14, 16), data), SimplexKernel((1, 1, 3, 5)), MSE()
    return Problem(data, *parts, [Term(TotalVariation(), 0.25)])


def test_a_result_shows_pictures_and_how_it_went(result: Result) -> None:
    html = result._repr_html_()
    assert tags(html).count("img") == 3
    assert all(words in html for words in ("finished", "2 iterations", "20.12", "31.46", "a &amp; b", "5 × 3"))  # noqa: RUF001
    assert WICKED not in html
    assert "&lt;script&gt;" in html


def test_representations_take_the_colours_of_the_page(result: Result, problem: Problem) -> None:
    for shown in (result, problem, load_recipe("fast")):
        html = shown._repr_html_()
        assert not re.search(r"[^-]color:", html)
        assert "http" not in re.sub(r'src="data:[^"]*"', "", html)


def test_a_large_photograph_takes_little_room_on_the_page(result: Result) -> None:
    rng = np.random.default_rng(0)
    large = Result(rng.random((1500, 2000, 3)), np.asarray(result.kernel), (), "finished", 0, 0.0)
    assert len(large._repr_html_()) < 150_000  # of noise, which no picture exceeds


@pytest.mark.parametrize("shape", [(2, 1, 9, 8), (1, 3, 9, 8), (1, 5, 9, 8)], ids=str)
def test_a_result_of_any_layout_is_shown(shape: tuple[int, ...]) -> None:
    kernel = torch.rand(shape[0], 1, 3, 3)
    shown = Result(torch.rand(shape), kernel, (), "finished", 0, 0.0, has_kernel=shape[1] < 5)
    assert tags(shown._repr_html_()).count("img") == 2
    assert ("first of 2" in shown._repr_html_()) == (shape[0] == 2)


def test_a_problem_says_what_is_minimised(problem: Problem) -> None:
    html = problem._repr_html_()
    assert "minimise MSE(Convolution(x, k), y) + 0.25 TotalVariation(x)" in html
    assert f"{14 * 16} unknowns" in html
    assert tags(html).count("img") == 1


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_every_recipe_shows_its_components(name: str) -> None:
    recipe = load_recipe(name)
    html = recipe._repr_html_()
    tags(html)
    assert all(spec.name in html for _, _, spec in recipe.components() if spec.name != "known")


def test_what_a_recipe_says_is_text(problem: Problem) -> None:
    recipe = load_recipe("wiener").model_copy(update={"title": WICKED, "notes": WICKED, "source": WICKED})
    assert "script" not in tags(recipe._repr_html_())


def test_a_figure_shows_itself(result: Result) -> None:
    for figure in (result.plot(), result.compare(textured())):
        shown: Any = figure  # the method is for notebooks alone, so that Figure does not have it
        assert shown._repr_png_().startswith(PNG)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc=loc) for axes in figure.axes for loc in ("left", "right")]


def test_a_comparison_tells_the_scores_of_the_aligned_luma(result: Result) -> None:
    truth = torch.as_tensor(textured())
    before = psnr(torch.as_tensor(result.blurry)[None, None], truth[None, None])
    said = titles(result.compare(truth))
    assert any(text.startswith(f"{before:.2f} dB, SSIM 0.") for text in said)
    assert any(text.startswith("inf dB, SSIM 1.000") for text in said)  # the restored one is the truth


def test_a_comparison_takes_colour_a_file_and_the_true_kernel(result: Result, tmp_path: Path) -> None:
    from invkit.media.images import write_image

    path = tmp_path / "truth.png"
    write_image(path, np.stack([textured()] * 3, -1))
    said = titles(result.compare(path, kernel=np.eye(3) / 3))
    assert "True kernel" in said
    assert any(text.endswith("SSIM 1.000") for text in said)
    assert "Truth" in titles(Result(textured(), np.eye(3), (), "finished", 0, 0.0).compare(path))


def test_a_comparison_refuses_what_cannot_be_compared(result: Result) -> None:
    with pytest.raises(InputError, match="the truth"):
        Result(torch.rand(1, 6, 20, 20), torch.ones(1, 1, 1, 1), (), "finished", 0, 0.0).compare(np.ones((20, 20)))
    with pytest.raises(InputError, match="6 channels"):
        Result(torch.rand(1, 6, 64, 70), torch.ones(1, 1, 1, 1), (), "finished", 0, 0.0).compare(textured())
    with pytest.raises(InputError, match="true kernel"):
        result.compare(textured(), kernel=-np.eye(3))


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What is displayed by IPython, which need not be installed."""
    told: list[tuple[Any, Any]] = []
    module = ModuleType("IPython.display")
    monkeypatch.setattr(module, "display", lambda line, **how: told.append((line, how)), raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return told


def test_progress_in_a_notebook_is_one_line_updated_in_place(
    problem: Problem, displayed: list[tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    JointAdam(iterations=4).solve(problem, observers=[NotebookBar(WICKED)])
    assert len({how["display_id"] for _, how in displayed}) == 1
    assert [how["update"] for _, how in displayed] == [False, True, True, True, True]
    line, how = displayed[-1]
    assert how["raw"]
    assert WICKED not in line["text/html"]
    assert "4/4, loss" in line["text/plain"]
    assert tags(line["text/html"]) == ["progress"]


def test_a_short_solve_leaves_no_line(problem: Problem, displayed: list[tuple[Any, Any]]) -> None:
    JointAdam(iterations=4).solve(problem, observers=[NotebookBar("short", after=1e9)])
    assert displayed == []


@pytest.mark.parametrize(("jupyter", "kind"), [(True, NotebookBar), (False, ProgressBar)])
def test_the_bar_is_that_of_where_it_runs(jupyter: bool, kind: type[Observer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "Console", lambda stderr: Console(stderr=stderr, force_jupyter=jupyter))
    assert isinstance(api.progress_bar("fast"), kind)

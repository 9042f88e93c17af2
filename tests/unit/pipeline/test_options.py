"""The options of a restoration are checked before anything is computed, and no choice is made silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from night_scene import blurred_night, hook, night
from registered import registered

import invkit
from invkit.core.errors import AssemblyError, InputError, OutOfMemoryError
from invkit.core.interfaces import KernelPrior
from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.operators.convolution import Convolution
from invkit.pipeline import options, recipe_choice
from invkit.pipeline.inputs import Inputs, source_of
from invkit.pipeline.job import prepare
from invkit.pipeline.options import Options
from invkit.recipes.model import Recipe, load_recipe
from invkit.solvers.gradient_descent import GradientDescent
from invkit.solvers.wiener import Wiener

IMAGE = np.random.default_rng(0).uniform(size=(40, 44)).astype(np.float32)
QUICK = ["image_prior=pixels", "solver.iterations=2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel_size": 0},
        {"kernel_size": -3},
        {"kernel_size": True},
        {"kernel_size": 5.0},
        {"kernel_size": "31"},
        {"kernel_size": (5,)},
        {"kernel_size": (5, 5, 5)},
        {"color": "RGB"},
        {"color": "grey"},
        {"sigma": -1.0},
        {"sigma": float("nan")},
        {"sigma": float("inf")},
        {"sigma": 1e200},
        {"sigma": 10**400},
        {"kernel_size": -(10**400)},
        {"seed": -1},
        {"device": None},
        {"overrides": "image_prior=pixels"},
        {"overrides": [5]},
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_name(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(InputError, match=rf"{name} must be"):
        prepare(IMAGE, **{"recipe": "selfdeblur-small", "kernel_size": 5, **wrong})


@pytest.mark.parametrize("size", [5, np.int64(5), (5, 7), [5, 7], (np.int32(5), 7), "auto", None])
def test_right_kernel_sizes_are_accepted(size: Any) -> None:
    planned = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=size, overrides=QUICK)
    rows, columns = planned.assembly.problem.kernel_prior.shape[-2:]
    expected = (15, 15) if size in ("auto", None) else (5, 5) if np.ndim(size) == 0 else (5, 7)
    assert (rows, columns) == expected


def test_several_pictures_are_refused_by_a_recipe_with_a_selection() -> None:
    with pytest.raises(InputError, match="fast restores one image at a time"):
        prepare(torch.rand(2, 1, 40, 40), recipe="fast", kernel_size=5)


@pytest.mark.parametrize("several", [torch.rand(2, 1, 40, 44), [IMAGE, IMAGE[::-1]]], ids=["batch", "list"])
@pytest.mark.parametrize("recipe", ["selfdeblur-small", "fast-map"])
def test_several_pictures_have_a_kernel_each(several: Any, recipe: str) -> None:
    quick = QUICK if recipe == "selfdeblur-small" else ["solver.inner.iterations=1"]
    result = invkit.deblur(several, recipe=recipe, kernel_size=5, overrides=quick, progress=False)
    assert np.shape(result.image) == (2, 1, 40, 44)
    assert np.shape(result.kernel) == (2, 5, 5)
    assert np.allclose(np.sum(np.asarray(result.kernel), axis=(1, 2)), 1)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="differ in size"):
        prepare([IMAGE, IMAGE[:-1]], recipe="selfdeblur-small", kernel_size=5)


def test_kernel_and_contradicting_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"kernel given is 5x5, the kernel size 7x7"):
        prepare(IMAGE, recipe="selfdeblur-nonblind", kernel=np.full((5, 5), 0.04), kernel_size=7)


def test_unknown_devices_are_refused_by_a_sentence_of_invkit() -> None:
    for name in ("meta", "hpu", "gpu", ""):
        with pytest.raises(InputError, match="there is no device"):
            options.choose_device(name)


def test_a_problem_that_does_not_fit_in_memory_is_refused() -> None:
    class Vast(Pixels):
        def memory_needed(self) -> int:
            return 2**60

    class Greedy(Wiener):
        def memory_needed(self, problem: Problem) -> int:
            return 2**60

    def problem(prior: type[Pixels]) -> Problem:
        data, kernel = torch.rand(1, 1, 6, 8), torch.ones(1, 1, 1, 1)
        return Problem(data, Convolution(), prior((1, 1, 6, 8), data), KnownKernel((1, 1, 1, 1), kernel), MSE())

    here = torch.device("cpu")
    with pytest.raises(OutOfMemoryError, match=r"Vast needs about .* GB for an image of 8x6.*crop.*smaller network"):
        options.check_memory(problem(Vast), GradientDescent(), here)
    with pytest.raises(OutOfMemoryError, match=r"Greedy needs about .* GB for an image of 8x6.*crop.*in tiles"):
        options.check_memory(problem(Pixels), Greedy(), here)
    for solver in (GradientDescent(), Wiener()):
        options.check_memory(problem(Pixels), solver, here)


@pytest.mark.parametrize(
    ("kernel", "flaw"),
    [
        (torch.full((1, 1, 3, 3), 1.0), "sum to one"),
        (torch.full((1, 1, 3, 5), 1 / 15), "of shape"),
        (torch.tensor([[[[2.0, -1.0, 0.0]] * 3]]) / 3, "non-negative"),
        (torch.full((1, 1, 3, 3), torch.nan), "not finite"),
    ],
)
def test_priors_whose_values_are_no_kernels_are_refused(kernel: torch.Tensor, flaw: str) -> None:
    class Faulty(KernelPrior):
        def forward(self) -> torch.Tensor:
            return kernel

    with pytest.raises(AssemblyError, match=flaw):
        options.check_parameter_prior(Faulty((1, 1, 3, 3)))


def test_time_limit_must_be_positive() -> None:
    planned = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=5, overrides=QUICK)
    limits: list[Any] = [0, -1, "5"]
    for limit in limits:
        with pytest.raises(InputError, match="time limit"):
            planned.run(time_limit=limit)


def test_a_source_is_a_file_with_its_digest_and_an_array_has_none(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    expected = {
        "file": "x.bin",
        "path": str(path),
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
    }
    assert source_of(path) == source_of(str(path)) == expected
    monkeypatch.chdir(tmp_path)
    assert source_of("x.bin") == expected
    assert source_of(IMAGE) is None
    assert source_of([IMAGE, IMAGE]) is None
    assert source_of([path, IMAGE]) == [expected, None]


def test_checked_options_keep_their_values() -> None:
    given = {"kernel_size": [3, 5], "color": "rgb", "seed": 7, "device": "cpu", "sigma": 0.1}
    values = {**given, "whole_picture": True, "white": 2.0, "uncertainty": 8}
    assert Options.checked(["a=1"], values).model_dump() == values | {"kernel_size": (3, 5), "overrides": ("a=1",)}


# The recipe that "auto" stands for.


TOY = """
name = "{}"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {{name = "joint-adam", params = {{iterations = 1}}}}
"""
STAND_INS = {"FAST_RECIPE": "quick", "BEST_RECIPE": "patient", "REFINING_RECIPE": "refining"}
WINDOWED = TOY.format("x") + "measurement.window = 256\nnext = 'sparse-admm'\n"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes "auto" choose from recipes that take no time; gives a function that registers others."""
    for constant, name in STAND_INS.items():
        monkeypatch.setattr(recipe_choice, constant, name)
    with registered(**{name: TOY.format(name) for name in STAND_INS.values()}) as put:
        yield put


def inputs_of(height: int, width: int, kernel: np.ndarray | None = None) -> Inputs:
    return Inputs.read(torch.rand(1, 1, height, width), kernel, None, None)


@pytest.mark.parametrize(
    ("kernel", "limit", "name", "expected"),
    [
        (None, None, "best", r"best: best takes about \d+ s for 256x256 pixels$"),
        (None, 1e6, "best", r"best: best takes about \d+ s for 256x256 pixels$"),
        (None, 1.0, "fast", r"fast: best takes about \d+ s for 256x256 pixels, more than the time limit of 1 s$"),
        (np.ones((3, 3)) / 9, None, "polish", "polish: a kernel is given to start from$"),
        (np.ones((3, 3)) / 9, 1.0, "polish", "polish: a kernel is given to start from$"),
    ],
)
def test_auto_is_the_best_recipe_that_the_time_allows_or_the_one_that_refines_a_kernel(
    kernel: np.ndarray | None, limit: float | None, name: str, expected: str
) -> None:
    recipe, reason = recipe_choice.choose_recipe(inputs_of(256, 256, kernel), Options(), limit)
    assert recipe == name
    assert re.match(expected, reason)


def test_auto_sees_that_light_streaks_draw_the_kernel() -> None:
    light = night(30.0)[..., None] * np.array([1.0, 0.7, 0.3])
    photograph = Inputs.read(np.asarray(blurred_night(light, hook())), None, None, None)
    for size in (None, 31):
        asked = Options(kernel_size=size)
        expected = ("night", "night: light streaks of equal shape draw the kernel")
        assert recipe_choice.choose_recipe(photograph, asked, None) == expected
    assert recipe_choice.choose_recipe(photograph, Options(overrides=("seed=1",)), None)[0] == "best"


@pytest.mark.parametrize(
    ("size", "window", "times"),
    [
        ((256, 256), None, 1),
        ((512, 512), None, 4),
        ((512, 128), None, 1),
        ((512, 768), 256, 1),
        ((2000, 128), 256, 0.5),
        ((128, 128), 256, 0.25),
    ],
)
def test_the_expected_time_is_proportional_to_the_pixels_of_the_first_stage(
    toys: Callable[..., None], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], window: int | None, times: float
) -> None:
    monkeypatch.setattr(recipe_choice, "BEST_SECONDS", 12.0)
    if window is not None:
        toys(windowed=WINDOWED)
        monkeypatch.setattr(recipe_choice, "BEST_RECIPE", "windowed")
    for limit, name in ((12.0 * times + 0.1, recipe_choice.BEST_RECIPE), (12.0 * times - 0.1, "quick")):
        recipe, reason = recipe_choice.choose_recipe(inputs_of(*size), Options(), limit)
        assert recipe == name
        assert f"about {12 * times:.0f} s for {size[1]}x{size[0]} pixels" in reason


def test_no_recipe_and_auto_mean_the_same_and_the_result_says_which_was_chosen_and_why(
    toys: Callable[..., None],
) -> None:
    given = {"kernel_size": 5, "device": "cpu"}
    for recipe in ({}, {"recipe": None}, {"recipe": "auto"}):
        planned = prepare(IMAGE, **recipe, **given)  # type: ignore[arg-type]
        assert planned.name == "patient"
        assert planned.facts["recipe_choice"].startswith("patient: patient takes about")
        result = invkit.deblur(IMAGE, **recipe, **given, progress=False)  # type: ignore[arg-type]
        assert result.details["recipe_choice"] == planned.facts["recipe_choice"]
    hurried = invkit.deblur(IMAGE, kernel_size=5, time_limit=0.01, progress=False)
    assert hurried.details["recipe_choice"].startswith("quick: patient takes about")
    assert prepare(IMAGE, kernel=np.full((5, 5), 0.04)).facts["recipe_choice"].startswith("refining: a kernel")


def test_settings_change_the_chosen_recipe(toys: Callable[..., None]) -> None:
    planned = prepare(IMAGE, kernel_size=5, overrides=["iterations=3"])
    assert (planned.name, planned.assembly.solver.iterations) == ("patient", 3)


def test_a_named_recipe_is_no_choice_of_auto(toys: Callable[..., None]) -> None:
    named: list[str | Recipe] = [recipe_choice.BEST_RECIPE, load_recipe(recipe_choice.BEST_RECIPE)]
    assert all("recipe_choice" not in prepare(IMAGE, recipe=recipe, kernel_size=5).facts for recipe in named)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (None, "no image is given, and the recipe names none"),
        ("nowhere.png", "nowhere.png"),
        (np.zeros((2, 3, 4, 5)), r"the image has shape \(2, 3, 4, 5\)"),
    ],
)
@pytest.mark.parametrize("recipe", [None, "auto"])
def test_without_a_recipe_an_image_is_needed(image: Any, expected: str, recipe: str | None) -> None:
    with pytest.raises(InputError, match=expected):
        prepare(image, recipe=recipe)


@pytest.mark.parametrize("name", ["FAST_RECIPE", "BEST_RECIPE"])
def test_the_recipes_of_auto_without_a_kernel_are_blind_and_refuse_one(name: str) -> None:
    recipe = load_recipe(getattr(recipe_choice, name))
    assert not recipe.links()[0].is_nonblind
    with pytest.raises(InputError, match="starts from the kernels of its candidates and would ignore the given one"):
        options.check_accepts_kernel(recipe)


def test_the_recipe_of_auto_for_a_kernel_starts_from_it() -> None:
    recipe = load_recipe(recipe_choice.REFINING_RECIPE)
    options.check_accepts_kernel(recipe)
    options.check_nonblind(recipe)

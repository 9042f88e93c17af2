"""What a caller chooses is checked before anything is computed, and nothing is guessed in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from registered import registered

import invkit
from invkit.core.errors import AssemblyError, InputError, OutOfMemoryError
from invkit.core.interfaces import KernelPrior
from invkit.image_priors.pixels import Pixels
from invkit.pipeline import options
from invkit.pipeline.inputs import digest
from invkit.pipeline.job import prepare
from invkit.pipeline.options import Options
from invkit.recipes.model import load_recipe

IMAGE = np.random.default_rng(0).uniform(size=(40, 44)).astype(np.float32)
QUICK = ["image_prior=pixels", "solver.params.iterations=2"]


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
        prepare(IMAGE, **({"recipe": "selfdeblur-small", "kernel_size": 5} | wrong))


@pytest.mark.parametrize("size", [5, np.int64(5), (5, 7), [5, 7], (np.int32(5), 7), "auto", None])
def test_right_sizes_are_taken(size: object) -> None:
    job = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=size, overrides=QUICK)
    rows, columns = job.assembly.problem.kernel_prior.shape[-2:]
    expected = (15, 15) if size in ("auto", None) else (5, 5) if np.ndim(size) == 0 else (5, 7)
    assert (rows, columns) == expected


def test_several_pictures_are_refused_by_a_recipe_that_compares_kernels() -> None:
    with pytest.raises(InputError, match="fast restores one picture at a time"):
        prepare(torch.rand(2, 1, 40, 40), recipe="fast", kernel_size=5)


@pytest.mark.parametrize("several", [torch.rand(2, 1, 40, 44), [IMAGE, IMAGE[::-1]]], ids=["batch", "list"])
@pytest.mark.parametrize("recipe", ["selfdeblur-small", "fast-map"])
def test_several_pictures_have_a_kernel_each(several: object, recipe: str) -> None:
    quick = QUICK if recipe == "selfdeblur-small" else ["solver.params.inner.params.iterations=1"]
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


def test_unknown_devices_are_refused_in_own_words() -> None:
    for name in ("meta", "hpu", "gpu", ""):
        with pytest.raises(InputError, match="there is no device"):
            options.choose_device(name)


def test_what_does_not_fit_is_refused_before_it_is_begun() -> None:
    class Vast(Pixels):
        def memory_needed(self) -> int:
            return 2**60

    with pytest.raises(OutOfMemoryError, match=r"Vast needs about .* GB for an image of 8x6.*crop"):
        options.check_memory(Vast((1, 1, 6, 8), torch.rand(1, 1, 6, 8)), torch.device("cpu"))
    options.check_memory(Pixels((1, 1, 6, 8), torch.rand(1, 1, 6, 8)), torch.device("cpu"))


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (torch.full((1, 1, 3, 3), 1.0), "sum to one"),
        (torch.full((1, 1, 3, 5), 1 / 15), "of shape"),
        (torch.tensor([[[[2.0, -1.0, 0.0]] * 3]]) / 3, "non-negative"),
        (torch.full((1, 1, 3, 3), torch.nan), "not finite"),
    ],
)
def test_priors_that_give_no_kernels_are_refused(kernel: torch.Tensor, words: str) -> None:
    class Faulty(KernelPrior):
        def forward(self) -> torch.Tensor:
            return kernel

    with pytest.raises(AssemblyError, match=words):
        options.check_kernel_prior(Faulty((1, 1, 3, 3)))


def test_time_limit_must_be_positive() -> None:
    job = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=5, overrides=QUICK)
    for limit in (0, -1, "5"):
        with pytest.raises(InputError, match="time limit"):
            job.run(time_limit=limit)


def test_digest_names_a_file(tmp_path: Any) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    assert digest(path) == {
        "file": "x.bin",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
    }
    assert digest(IMAGE) is None


def test_checked_options_keep_their_values() -> None:
    values = {"kernel_size": [3, 5], "color": "rgb", "seed": 7, "device": "cpu", "sigma": 0.1}
    assert Options.checked(["a=1"], values).model_dump() == values | {"kernel_size": (3, 5), "overrides": ("a=1",)}


# What "auto" stands for.


TOY = """
name = "{}"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {{name = "joint-adam", params = {{iterations = 1}}}}
"""
PICKED = ["QUICK", "THOROUGH", "FROM_A_KERNEL"]
WINDOWED = TOY.format("x") + "measurement.window = 256\nnext = 'sparse-admm'\n"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lets "auto" pick from recipes that take no time; gives what registers others."""
    for name in PICKED:
        monkeypatch.setattr(options, name, name.lower().replace("_", "-"))
    with registered(**{name.lower(): TOY.format(name.lower().replace("_", "-")) for name in PICKED}) as put:
        yield put


def picture(height: int, width: int) -> torch.Tensor:
    return torch.zeros(1, 1, height, width)


@pytest.mark.parametrize(
    ("kernel", "limit", "name", "why"),
    [
        (None, None, "best", r"best takes about \d+ s for 256x256 pixels$"),
        (None, 1e6, "best", r"best takes about \d+ s for 256x256 pixels$"),
        (None, 1.0, "fast", r"best takes about \d+ s for 256x256 pixels, more than the time limit of 1 s$"),
        (np.ones((3, 3)) / 9, None, "polish", "a kernel is given to begin from$"),
        (np.ones((3, 3)) / 9, 1.0, "polish", "a kernel is given to begin from$"),
    ],
)
def test_the_best_recipe_is_picked_that_there_is_time_for_or_what_goes_on_from_a_kernel(
    kernel: np.ndarray | None, limit: float | None, name: str, why: str
) -> None:
    recipe, reason = options.picked(picture(256, 256), kernel, limit)
    assert recipe == name
    assert re.match(why, reason)


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
def test_what_it_takes_is_in_proportion_to_the_pixels_that_kernels_are_found_from(
    toys: Callable[..., None], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], window: int | None, times: float
) -> None:
    monkeypatch.setattr(options, "SECONDS", 12.0)
    if window is not None:
        toys(windowed=WINDOWED)
        monkeypatch.setattr(options, "THOROUGH", "windowed")
    for limit, name in ((12.0 * times + 0.1, options.THOROUGH), (12.0 * times - 0.1, "quick")):
        recipe, reason = options.picked(picture(*size), None, limit)
        assert recipe == name
        assert f"about {12 * times:.0f} s for {size[1]}x{size[0]} pixels" in reason


def test_no_recipe_and_auto_are_the_same_and_say_what_was_picked_and_why(toys: Callable[..., None]) -> None:
    given = {"kernel_size": 5, "device": "cpu"}
    for recipe in ({}, {"recipe": None}, {"recipe": "auto"}):
        job = prepare(IMAGE, **recipe, **given)  # type: ignore[arg-type]
        assert job.name == "thorough"
        assert job.facts["recipe_picked"].startswith("thorough: thorough takes about")
        result = invkit.deblur(IMAGE, **recipe, **given, progress=False)  # type: ignore[arg-type]
        assert result.details["recipe_picked"] == job.facts["recipe_picked"]
    hurried = invkit.deblur(IMAGE, kernel_size=5, time_limit=0.01, progress=False)
    assert hurried.details["recipe_picked"].startswith("quick: thorough takes about")
    assert prepare(IMAGE, kernel=np.full((5, 5), 0.04)).facts["recipe_picked"].startswith("from-a-kernel: a kernel")


def test_settings_reach_what_was_picked(toys: Callable[..., None]) -> None:
    job = prepare(IMAGE, kernel_size=5, overrides=["solver.params.iterations=3"])
    assert (job.name, job.assembly.solver.iterations) == ("thorough", 3)


def test_a_recipe_that_is_named_is_not_picked(toys: Callable[..., None]) -> None:
    named = [options.THOROUGH, load_recipe(options.THOROUGH)]
    assert all("recipe_picked" not in prepare(IMAGE, recipe=recipe, kernel_size=5).facts for recipe in named)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "no image is given, and without a recipe there is none that names one"),
        ("nowhere.png", "nowhere.png"),
        (np.zeros((2, 3, 4, 5)), r"the image has shape \(2, 3, 4, 5\)"),
    ],
)
@pytest.mark.parametrize("recipe", [None, "auto"])
def test_without_a_recipe_an_image_is_needed(image: Any, words: str, recipe: str | None) -> None:
    with pytest.raises(InputError, match=words):
        prepare(image, recipe=recipe)


@pytest.mark.parametrize("name", ["QUICK", "THOROUGH"])
def test_what_is_picked_without_a_kernel_finds_one_and_would_not_look_at_one_given(name: str) -> None:
    recipe = load_recipe(getattr(options, name))
    assert not recipe.links()[0].is_nonblind
    with pytest.raises(InputError, match="begins from kernels that its starts find"):
        options.check_takes_kernel(recipe)


def test_what_is_picked_for_a_kernel_begins_from_it() -> None:
    recipe = load_recipe(options.FROM_A_KERNEL)
    options.check_takes_kernel(recipe)
    options.check_nonblind(recipe)

"""The assembly of a recipe into a problem and a solver, and what it refuses before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import nn

from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, PluginError
from invkit.core.interfaces import Fidelity, ImagePrior, LatentPrior, Proximable
from invkit.core.parameters import validated
from invkit.core.problem import Problem
from invkit.core.solver import Solver
from invkit.fidelities.norms import MSE
from invkit.fidelities.schedule import Schedule
from invkit.fidelities.ssim import SSIM
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import Shape
from invkit.operators.pixelwise import Identity
from invkit.pipeline.assemble import Assembly, assemble, check_components
from invkit.recipes.model import Recipe, check_parameters, load_recipe, parse_recipe, validate_recipe
from invkit.regularizers.l2 import KernelL2
from invkit.regularizers.tv import TotalVariation

SMALL = """
name = "small"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}

[[regularizers]]
name = "tv"
weight = 0.5
"""
DATA = torch.rand(1, 1, 16, 18, generator=torch.Generator().manual_seed(0))
TINY = DATA[..., :8, :8]  # smaller than the window of SSIM


def small(*settings: str) -> Recipe:
    return parse_recipe(SMALL, "small.toml").with_overrides(settings)


def assembled(recipe: Recipe, **options: Any) -> Assembly:
    return assemble(recipe, DATA, (3, 5), **options)


@pytest.fixture
def registered() -> Iterator[Callable[..., None]]:
    """Register components for one test: ``registered("solvers", name=Class)``."""
    added = []

    def put(family: str, **components: Any) -> None:
        for name, component in components.items():
            registry.register(family, name, component)
            added.append((family, name))

    yield put
    for family, name in added:
        registry.unregister(family, name)


@pytest.mark.parametrize("name", ["richardson-lucy", "richardson-lucy-saturated", "night"])
def test_a_fidelity_that_the_solver_does_not_minimise_is_refused_by_name(name: str) -> None:
    recipe = load_recipe(name).with_overrides(["fidelity=l1"])
    with pytest.raises(
        AssemblyError, match=r"'richardson-lucy' needs .* 'l1' does not qualify; these do: gaussian-poisson, poisson"
    ):
        check_components(recipe, check_parameters(recipe, 0), 0.0)


def test_a_recipe_becomes_a_problem_and_a_solver_that_solves_it() -> None:
    made = assembled(small())
    result = made.solver.solve(made.problem)
    assert tuple(result.image.shape) == (1, 1, 18, 22)  # 16 + 3 - 1, 18 + 5 - 1
    assert tuple(result.kernel.shape) == (1, 1, 3, 5)
    assert result.iterations == 5


def test_the_resolved_recipe_holds_every_default_and_is_itself_a_recipe() -> None:
    resolved = assembled(small(), seed=11).recipe
    text = json.dumps(resolved)
    assert resolved["kernel_prior"]["params"]["hidden"] == 20
    assert resolved["kernel_prior"]["params"]["seed"] == 11
    again = validate_recipe(json.loads(text), "resolved")
    assert assembled(again, seed=5).recipe == resolved


def test_without_a_kernel_prior_only_the_image_is_unknown() -> None:
    recipe = parse_recipe('name = "denoise"\noperator = "identity"\nimage_prior = "pixels"\nsolver = "joint-adam"\n')
    problem = assemble(recipe, DATA, (1, 1)).problem
    assert list(problem.kernel_prior.parameters()) == []
    assert torch.equal(problem.kernel_prior(), torch.ones(1, 1, 1, 1))
    assert problem.image_prior().shape == DATA.shape


def test_several_fidelities_make_a_schedule() -> None:
    several = "\nfidelity = [{name = 'mse', until_iteration = 2}, {name = 'l1'}]\n"
    fidelity = assembled(parse_recipe(several + SMALL)).problem.fidelity
    assert isinstance(fidelity, Schedule)
    assert [type(fidelity.at(i)).__name__ for i in range(4)] == ["MSE", "MSE", "L1", "L1"]


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ([], [0.5]),
        (["regularizers.tv.scale_by=sigma"], [0.01]),
        (["regularizers.tv.scale_by=variance"], [0.0002]),
        (["regularizers.tv.weight=0"], []),
        (["regularizers.tv.min_weight=0.7"], [0.7]),
        (["regularizers.tv.scale_by=variance", "regularizers.tv.min_weight=0.0003"], [0.0003]),
    ],
)
def test_a_term_has_its_weight_and_is_dropped_if_that_is_zero(settings: list[str], weights: list[float]) -> None:
    made = assembled(small(*settings), sigma=0.02)
    assert [term.weight for term in made.problem.regularizers] == pytest.approx(weights)


def test_a_weight_is_scaled_by_the_value_of_a_photon() -> None:
    light = torch.full((1, 1, 200, 200), 20.0)
    counts = torch.poisson(light, generator=torch.Generator().manual_seed(0)) / 50
    recipe = small("regularizers.tv.scale_by=gain", "regularizers.tv.weight=3")
    (term,) = assemble(recipe, counts, (3, 5), kernel=None).problem.regularizers
    assert term.weight == pytest.approx(3 / 50, rel=0.1)  # from the quiet ones of 144 blocks


@pytest.mark.parametrize(("sigma", "weight"), [(0.0, 2e-4), (1e-3, 2e-4), (5e-3, 4e-4), (0.5, 0.04)])
def test_the_weight_is_at_least_min_weight(sigma: float, weight: float) -> None:
    made = assembled(
        small("regularizers.tv.weight=0.08", "regularizers.tv.scale_by=sigma", "regularizers.tv.min_weight=2e-4"),
        sigma=sigma,
    )
    assert [term.weight for term in made.problem.regularizers] == pytest.approx([weight])


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_every_registered_recipe_is_the_same_after_it_is_resolved(name: str) -> None:
    recipe, data = load_recipe(name), DATA.repeat(1, 1, 3, 3)
    data = data.repeat(1, 4, 1, 1) if recipe.operator.name == "multi-coil-mri" else data
    prior = "" if recipe.kernel_prior is None else recipe.kernel_prior.name
    given = {"known-mask": torch.ones(1, 1, *data.shape[2:]), "known-coil-maps": torch.full(data.shape, 0.5)}
    given |= {"known-stack-kernel": torch.full((1, 2, 3, 3), 1 / 18)}
    kernel = {"known": torch.full((1, 1, 5, 5), 1 / 25), **given}.get(prior)
    narrow = ["image_prior.channels=4"] if recipe.image_prior.name == "dip-skip" else []
    shallow = ["kernel_prior.scales=1"] if prior == "dip-skip" else []
    made = assemble(recipe.with_overrides([*narrow, *shallow]), data, (5, 5), kernel=kernel, sigma=0.01)
    again = validate_recipe(json.loads(json.dumps(made.recipe)), "resolved")
    assert assemble(again, data, (5, 5), kernel=kernel, sigma=0.01).recipe == made.recipe
    assert len(again.links()) == len(recipe.links())


# The abilities that a solver needs.


class Demanding(Solver[Any]):
    """A solver that is never started."""

    iterations = 1

    @validated
    def __init__(self, *, eagerness: Annotated[int, Field(gt=0)] = 1) -> None:
        self.eagerness = eagerness

    def start(self, problem: Problem) -> Any:
        raise AssertionError("started")

    def step(self, problem: Problem, state: Any) -> Any:
        raise AssertionError("started")


def demanding(part: str, ability: Any) -> type[Any]:
    return type("Demanding", (Demanding,), {"needs": {part: ability}})


@pytest.mark.parametrize(
    ("part", "ability", "expected"),
    [
        (
            "image_prior",
            LatentPrior,
            r"image_prior: 'demanding' needs .* a network with a random input, and 'pixels' does not.*: .*dip-skip",
        ),
        (
            "kernel_prior",
            Pixels,
            "kernel_prior: 'demanding' needs .* that is a Pixels, and 'softmax-fcn' does not qualify; these do: none",
        ),
        (
            "operator",
            Identity,
            "operator: 'demanding' needs .* that is a Identity, and 'convolution' does not.*do: identity",
        ),
        (
            "fidelity",
            SSIM,
            r"fidelity\.0: 'demanding' needs .* that is a SSIM, and 'mse' does not qualify; these do: ssim",
        ),
        (
            "regularizers",
            KernelL2,
            r"regularizers\.0: 'demanding' needs .* that is a KernelL2, and 'tv' does not qualify",
        ),
    ],
)
def test_a_missing_ability_is_refused_with_the_components_that_have_it(
    registered: Callable[..., None], part: str, ability: type[Any], expected: str
) -> None:
    registered("solvers", demanding=demanding(part, ability))
    with pytest.raises(AssemblyError, match=expected):
        assembled(small("solver=demanding"))


@pytest.mark.parametrize("setting", ["regularizers=[]", "regularizers.tv.weight=0", "regularizers.tv.scale_by=sigma"])
def test_a_needed_regularizer_must_have_a_weight_above_zero(registered: Callable[..., None], setting: str) -> None:
    registered("solvers", demanding=demanding("regularizers", TotalVariation))
    with pytest.raises(
        AssemblyError, match=r"regularizers: .*the recipe has no such term of a weight above zero.*do: tv"
    ):
        assembled(small("solver=demanding", setting), sigma=0.0)
    assert assembled(small("solver=demanding")).problem.regularizers


def test_a_need_of_an_unknown_part_is_the_fault_of_the_solver(registered: Callable[..., None]) -> None:
    registered("solvers", demanding=demanding("telescope", Proximable))
    with pytest.raises(PluginError, match="Demanding needs abilities of 'telescope'; the parts are operator, "):
        assembled(small("solver=demanding"))


def test_terms_on_the_kernel_need_no_ability_and_satisfy_no_need(registered: Callable[..., None]) -> None:
    """A solver needs abilities for the image; its own check decides whether it can use terms on the kernel."""
    registered("solvers", demanding=demanding("regularizers", TotalVariation))
    on_kernel = "regularizers=[{name = 'tv', weight = 0.5}, {name = 'kernel-l2', weight = 0.5, target = 'kernel'}]"
    assert [term.target for term in assembled(small("solver=demanding", on_kernel)).problem.regularizers] == [
        "image",
        "kernel",
    ]
    with pytest.raises(AssemblyError, match="the recipe has no such term of a weight above zero on the image"):
        assembled(small("solver=demanding", "regularizers.tv.target=kernel"))
    with pytest.raises(AssemblyError, match="half-quadratic ignores regularizers on the kernel, and KernelL2 is one"):
        assembled(small("solver=half-quadratic", on_kernel))


# A kernel that no prior uses.


def test_a_kernel_for_a_prior_that_cannot_start_from_it_is_refused() -> None:
    kernel = torch.full((1, 1, 3, 5), 1 / 15)
    with pytest.raises(
        InputError, match=r"recipe small estimates .* 'softmax-fcn', which cannot start from a given one; .*=known"
    ):
        assembled(small(), kernel=kernel)
    for name in ("known", "simplex"):
        prior = assembled(small(f"kernel_prior={name}"), kernel=kernel).problem.kernel_prior
        torch.testing.assert_close(prior(), kernel)


# Fidelities are tried before the priors are built.


class Unbuilt(ImagePrior):
    """An image prior that must not be built."""

    def __init__(self, shape: Shape) -> None:
        raise AssertionError("built")

    def forward(self) -> torch.Tensor:
        raise AssertionError("called")


@pytest.mark.parametrize("fidelity", ["ssim", "[{name = 'mse', until_iteration = 4}, {name = 'ssim'}]"])
def test_a_fidelity_that_cannot_compare_the_data_is_refused_before_anything_is_built(
    registered: Callable[..., None], fidelity: str
) -> None:
    registered("image_priors", unbuilt=Unbuilt)
    with pytest.raises(InputError, match=r"'ssim' needs images of at least 11x11 pixels, got 8x8"):
        assemble(small(f"fidelity={fidelity}", "image_prior=unbuilt"), TINY, (3, 3))


@pytest.mark.parametrize("until", [5, 1000])
def test_a_fidelity_that_is_never_used_is_no_error(until: int) -> None:
    recipe = small(f"fidelity=[{{name = 'mse', until_iteration = {until}}}, {{name = 'ssim'}}]")
    made = assemble(recipe, TINY, (3, 3))
    assert made.solver.solve(made.problem).iterations == 5


class Failing(MSE):
    """A fidelity that fails when called."""

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        raise KeyError("table of wavelengths")


def test_a_fidelity_that_fails_is_named(registered: Callable[..., None]) -> None:
    registered("fidelities", failing=Failing)
    with pytest.raises(PluginError, match=r"fidelity\.0: the component .*Failing failed: KeyError: 'table of wave"):
        assembled(small("fidelity=failing"))


# Components that fail when they are built.


class Fragile(ImagePrior):
    """Raises a given error."""

    error: ClassVar[BaseException]

    @validated
    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        raise self.error

    def forward(self) -> torch.Tensor:
        return torch.zeros(self.shape)


def fragile(error: BaseException) -> type[Any]:
    return type("Fragile", (Fragile,), {"error": error})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("too thin"), "ValueError: too thin"),
        (RuntimeError("mat1 and mat2 cannot be multiplied"), "RuntimeError: mat1 and mat2"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_a_component_that_fails_is_named_with_its_place_and_the_cause(
    registered: Callable[..., None], error: BaseException, expected: str
) -> None:
    registered("image_priors", fragile=fragile(error))
    with pytest.raises(PluginError, match=rf"image_prior: the component .*Fragile failed: {expected}") as caught:
        assembled(small("image_prior=fragile"))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        InputError("the image is too small"),
        KeyboardInterrupt(),
    ],
    ids=["memory", "cuda", "cpu", "invkit", "interrupt"],
)
def test_errors_that_the_caller_explains_pass_unchanged(registered: Callable[..., None], error: BaseException) -> None:
    registered("image_priors", fragile=fragile(error))
    with pytest.raises(type(error)) as caught:
        assembled(small("image_prior=fragile"))
    assert caught.value is error


def test_a_component_cannot_ask_for_an_argument_that_its_family_is_not_given(registered: Callable[..., None]) -> None:
    assert isinstance(assembled(small()).problem.kernel_prior, SoftmaxFCN)

    class Starting(Fidelity):
        """A fidelity with a positional argument that no fidelity is given."""

        @validated
        def __init__(self, start: nn.Module) -> None:
            super().__init__()

        def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
            return (predicted - data).square().mean((1, 2, 3))

    registered("fidelities", starting=Starting)
    with pytest.raises(
        PluginError, match=r"fidelity\.0: Starting asks the problem for start, but the problem gives nothing"
    ):
        assembled(small("fidelity=starting"))

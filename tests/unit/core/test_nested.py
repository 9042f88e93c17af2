"""Nested components: a recipe names them, Python code gives instances."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import torch
from narrow import known, tensor
from pydantic import Field

from invkit.apps.cli.components import type_text
from invkit.core import registry
from invkit.core.errors import AssemblyError, PluginError, RecipeError, UnknownNameError
from invkit.core.interfaces import ImagePrior, Proximable, Regularizer
from invkit.core.nested import NestedComponent, nested_component_of
from invkit.core.parameters import (
    Component,
    PositiveInt,
    Seed,
    nested_components_of,
    parameters_of,
    read_strictly,
    validated,
)
from invkit.core.problem import Problem
from invkit.core.solver import Solver
from invkit.pipeline.assemble import assemble
from invkit.recipes.model import Recipe, check_parameters, check_recipe, parse_recipe, validate_recipe
from invkit.recipes.schema import describe, recipe_schema
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.map.interfaces import KernelEstimation, KernelPostprocessing
from invkit.testing.common import build

DATA = torch.rand(1, 1, 16, 18, generator=torch.Generator().manual_seed(0))


class Idle(Solver[Any]):
    """A solver that is never started."""

    iterations = 1

    def start(self, problem: Problem) -> Any:
        raise AssertionError("started")

    def step(self, problem: Problem, state: Any) -> Any:
        raise AssertionError("started")


class Inner(Idle):
    """A solver to be nested."""

    @validated
    def __init__(self, *, iterations: PositiveInt = 4, rate: float = 0.5, seed: Seed = 0) -> None:
        self.iterations, self.rate, self.seed = iterations, rate, seed


class Other(Idle):
    """Another solver with some of the parameters."""

    @validated
    def __init__(self, *, iterations: PositiveInt = 9, colour: str = "red") -> None:
        self.iterations, self.colour = iterations, colour


class Fit(KernelEstimation):
    """A kernel estimation with a parameter."""

    @validated
    def __init__(self, *, ridge: float = 1.0) -> None:
        super().__init__()
        self.ridge = ridge

    def forward(self, sharp: torch.Tensor, blurred: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return kernel


class Outer(Idle):
    """A solver with nested components of each form.

    Args:
        latent: finds the image.
        kernel_estimation: finds the kernel.
        kernel_postprocessing: corrects the kernel.
        terms: penalties.
        depth: number of levels.
    """

    @validated
    def __init__(
        self,
        *,
        latent: Annotated[Solver[Any], Field(examples=["inner"])],
        kernel_estimation: KernelEstimation | None = None,
        kernel_postprocessing: KernelPostprocessing | None = None,
        terms: list[Regularizer] | None = None,
        depth: int = 1,
    ) -> None:
        self.latent, self.kernel_estimation, self.kernel_postprocessing, self.terms, self.depth = (
            latent,
            kernel_estimation,
            kernel_postprocessing,
            terms,
            depth,
        )


class Picky(Idle):
    """A solver that needs an ability of its nested component.

    Args:
        term: a penalty with a proximal map.
    """

    @validated
    def __init__(self, *, term: Annotated[Proximable, Field(examples=["tv"])]) -> None:
        self.term = term


REGISTERED = {
    ("solvers", "inner"): Inner,
    ("solvers", "other"): Other,
    ("solvers", "outer"): Outer,
    ("solvers", "picky"): Picky,
    ("kernel_estimation", "fit"): Fit,
}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    for (family, name), component in REGISTERED.items():
        registry.register(family, name, component)
    yield
    for family, name in REGISTERED:
        registry.unregister(family, name)


def recipe(params: str = 'latent = "inner"', *settings: str) -> Recipe:
    components = 'name = "r"\nimage_prior = "pixels"\nkernel_prior = "simplex"\n'
    text = components + f'solver = {{name = "outer", params = {{{params}}}}}'
    return parse_recipe(text).with_overrides(settings)


def solver(params: str = 'latent = "inner"', *settings: str, seed: int = 0) -> Any:
    return check_parameters(recipe(params, *settings), seed)["solver"].build({})


# Which keywords hold nested components.


class Homeless(Component):
    """A class of no family."""


@pytest.mark.parametrize(
    ("annotation", "nested"),
    [
        (Solver, NestedComponent(Solver)),
        (Solver[Any], NestedComponent(Solver)),
        (Annotated[KernelEstimation, Field(examples=["x"])], NestedComponent(KernelEstimation)),
        (KernelEstimation | None, NestedComponent(KernelEstimation, optional=True)),
        (Proximable, NestedComponent(Proximable)),
        (list[Regularizer], NestedComponent(Regularizer, many=True)),
        (list[Regularizer] | None, NestedComponent(Regularizer, many=True, optional=True)),
        (int, None),
        (list[int], None),
        (Solver | KernelEstimation, None),
        (list[Solver[Any] | None], None),
        (list[list[Regularizer]], None),
        (Homeless, None),
        (torch.Tensor | None, None),
    ],
)
def test_a_keyword_annotated_with_an_interface_holds_a_nested_component(
    annotation: Any, nested: NestedComponent | None
) -> None:
    assert nested_component_of(annotation) == nested


def test_only_keywords_hold_nested_components() -> None:
    assert {name: nested.family for name, nested in nested_components_of(Outer).items()} == {
        "latent": "solvers",
        "kernel_estimation": "kernel_estimation",
        "kernel_postprocessing": "kernel_postprocessing",
        "terms": "regularizers",
    }
    assert nested_components_of(TotalVariation) == {}


def test_an_instance_as_default_is_refused() -> None:
    class Lazy(Idle):
        def __init__(self, *, latent: Solver[Any] = Inner()) -> None:  # noqa: B008 - what is tested
            pass

    class Empty(Idle):
        def __init__(self, *, latent: Solver[Any] = None) -> None:  # type: ignore[assignment]
            pass

    for component in (Lazy, Empty):
        with pytest.raises(
            PluginError, match=r"the nested component 'latent' of .* has the default .*: leave the default out"
        ):
            parameters_of(component)


# Python code gives an instance, a recipe a name or a table.


def test_in_python_it_must_be_an_instance() -> None:
    inner = Inner()
    outer = Outer(latent=inner, terms=[TotalVariation()])
    assert outer.latent is inner
    refused: list[Any] = ["inner", TotalVariation(), None]
    for wrong in refused:
        with pytest.raises(ValueError, match="latent"):
            Outer(latent=wrong)


@pytest.mark.parametrize(
    "params", ['latent = "inner"', 'latent = {name = "inner"}', 'latent = {name = "inner", params = {}}']
)
def test_a_name_and_a_table_mean_the_same(params: str) -> None:
    built = solver(params)
    assert type(built.latent) is Inner
    assert (built.latent.iterations, built.kernel_estimation, built.kernel_postprocessing, built.terms) == (
        4,
        None,
        None,
        None,
    )


def test_nested_components_are_built_first_with_their_own_parameters() -> None:
    built = solver(
        'latent = {name = "outer", params = {latent = {name = "inner", params = {rate = 2}}, depth = 2}}, '
        'kernel_estimation = {name = "fit", params = {ridge = 3}}, terms = ["tv", {name = "kernel-l2"}]'
    )
    assert (built.depth, built.latent.depth, built.latent.latent.rate) == (1, 2, 2.0)
    assert built.kernel_estimation.ridge == 3
    assert [type(term).__name__ for term in built.terms] == ["TotalVariation", "KernelL2"]


def test_one_name_means_a_list_of_one() -> None:
    assert [type(term) for term in solver('latent = "inner", terms = "tv"').terms] == [TotalVariation]


def test_the_seed_reaches_nested_components_whose_recipe_names_none() -> None:
    built = solver('latent = {name = "outer", params = {latent = "inner"}}', seed=7)
    assert built.latent.latent.seed == 7
    assert solver('latent = {name = "inner", params = {seed = 3}}', seed=7).latent.seed == 3


def test_nested_components_have_the_positional_arguments_of_their_holder() -> None:
    class Pair(ImagePrior):
        """An image prior with a nested one."""

        @validated
        def __init__(self, shape: tuple[int, int, int, int], *, first: ImagePrior) -> None:
            super().__init__(shape)
            self.first = first

        def forward(self) -> torch.Tensor:
            return tensor(self.first())

    registry.register("image_priors", "pair", Pair)
    try:
        text = "name = 'r'\nimage_prior = {name = 'pair', params = {first = 'pixels'}}\nsolver = 'inner'"
        given = {"shape": (1, 1, 4, 5), "start": torch.zeros(1, 1, 4, 5)}
        built = check_parameters(parse_recipe(text), 0)["image_prior"].build(given)
    finally:
        registry.unregister("image_priors", "pair")
    assert tuple(built().shape) == (1, 1, 4, 5)


def test_the_resolved_recipe_holds_the_defaults_of_all_depths_and_is_itself_a_recipe() -> None:
    made = assemble(
        recipe('latent = {name = "outer", params = {latent = "inner"}}, terms = ["tv"]'), DATA, (3, 3), seed=5
    )
    params = made.recipe["solver"]["params"]
    assert params["latent"]["params"]["latent"] == {
        "name": "inner",
        "params": {"iterations": 4, "rate": 0.5, "seed": 5},
    }
    assert [term["name"] for term in params["terms"]] == ["tv"]
    assert params["terms"][0]["params"]["isotropic"] is True
    assert (params["kernel_estimation"], params["depth"]) == (None, 1)
    again = validate_recipe(json.loads(json.dumps(made.recipe)), "resolved")
    assert assemble(again, DATA, (3, 3), seed=6).recipe == made.recipe


# Errors name the place at any depth.


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("", r"solver\.latent is missing \(finds the image\)"),
        ("latent = 3", r"solver\.latent: should be a registered name of solvers, or a table of name and params, got 3"),
        ("latent = []", r"solver\.latent: should be a registered name of solvers, .*got \[\]"),
        ('latent = ""', r"solver\.latent.*: .*at least 1 character"),
        ("latent = {params = {}}", r"solver\.latent\.name is missing \(registered name"),
        ('latent = {name = "inner", parms = {}}', r"solver\.latent\.parms is not known; did you mean 'params'"),
        ('latent = {name = "inner", params = {rat = 1}}', r"solver\.latent\.rat is not known; .*'rate'"),
        (
            'latent = {name = "inner", params = {iterations = 0}}',
            r"r: solver\.latent\.iterations: .*greater than 0, got 0",
        ),
        ('latent = {name = "inner", params = {rate = "1"}}', r"latent\.rate: should be a number, got '1'"),
        ('latent = "inner", terms = ["tv", 3]', r"solver\.terms\.1: should be a registered name of regularizers"),
        ('latent = "inner", terms = [{nme = "tv"}]', r"solver\.terms\.0\.nme is not known; did you mean 'name'"),
        (
            'latent = "inner", terms = ["tv", {name = "tv", params = {x = 1}}]',
            r"solver\.terms\.1\.x is not known; known here: isotropic",
        ),
        (
            'latent = {name = "outer", params = {latent = {name = "inner", params = {rate = true}}}}',
            r"solver\.latent\.latent\.rate: should be a number, got True",
        ),
    ],
)
def test_a_wrong_value_or_name_is_refused_with_its_place(params: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        check_recipe(recipe(params))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ('latent = "iner"', r"solver\.latent: nothing named 'iner' in solvers; did you mean 'inner'"),
        ('latent = "tv"', r"solver\.latent: nothing named 'tv' in solvers"),
        ('latent = "inner", terms = ["tx"]', r"solver\.terms\.0: nothing named 'tx' in regularizers; .*'tv'"),
    ],
)
def test_an_unknown_component_is_refused_with_its_place_and_the_nearest(params: str, expected: str) -> None:
    with pytest.raises(UnknownNameError, match=expected):
        check_recipe(recipe(params))


def test_a_component_of_another_family_is_refused_with_its_place() -> None:
    registry.register("kernel_estimation", "stray", TotalVariation)
    try:
        with pytest.raises(
            PluginError, match=r"solver\.kernel_estimation: 'stray' .* not a subclass of .*KernelEstimation"
        ):
            check_recipe(recipe('latent = "inner", kernel_estimation = "stray"'))
    finally:
        registry.unregister("kernel_estimation", "stray")


def test_an_ability_of_a_nested_component_is_checked_at_assembly_at_any_depth() -> None:
    class Plain(Regularizer):
        """A regularizer without a proximal map."""

        @validated
        def __init__(self) -> None:
            super().__init__()

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.flatten(1).sum(1)

    registry.register("regularizers", "plain", Plain)
    try:
        expected = r"solver\.latent\.term: 'picky' needs .* that has a proximal map, and 'plain' does not qualify; .*tv"
        with pytest.raises(AssemblyError, match=expected):
            assemble(recipe('latent = {name = "picky", params = {term = "plain"}}'), DATA, (3, 3))
    finally:
        registry.unregister("regularizers", "plain")


def test_a_component_that_fails_inside_another_is_named_with_its_place() -> None:
    class Fragile(Inner):
        """A solver that fails when it is built."""

        def __init__(self) -> None:
            raise ZeroDivisionError("by zero")

    registry.register("solvers", "fragile", Fragile)
    try:
        with pytest.raises(PluginError, match=r"solver\.latent: the component .*Fragile failed: ZeroDivision"):
            solver('latent = "fragile"')
    finally:
        registry.unregister("solvers", "fragile")


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["solver.latent=other"], lambda s: type(s.latent) is Other and s.latent.iterations == 9),
        (["solver.latent.name=other"], lambda s: type(s.latent) is Other),
        (["solver.latent.iterations=3"], lambda s: (type(s.latent), s.latent.iterations) == (Inner, 3)),
        (
            ["solver.latent=other", "solver.latent.colour=blue"],
            lambda s: s.latent.colour == "blue",
        ),
        (
            ["solver.latent.iterations=3", "solver.latent=other"],
            lambda s: (type(s.latent), s.latent.iterations) == (Other, 3),
        ),
        (["solver.latent={name = 'inner', params = {rate = 2}}"], lambda s: s.latent.rate == 2),
        (["solver.kernel_estimation=fit"], lambda s: type(s.kernel_estimation) is Fit),
        (
            ["solver.kernel_estimation=fit", "solver.kernel_estimation.ridge=5"],
            lambda s: s.kernel_estimation.ridge == 5,
        ),
        (
            ["solver.kernel_estimation=fit", "solver.kernel_estimation=none"],
            lambda s: s.kernel_estimation is None,
        ),
        (
            [
                "solver.latent=outer",
                "solver.latent.latent=other",
                "solver.latent.latent.iterations=2",
            ],
            lambda s: (type(s.latent.latent), s.latent.latent.iterations) == (Other, 2),
        ),
        (["solver.terms=tv"], lambda s: len(s.terms) == 1),
        (
            ['solver.terms=["tv", "kernel-l2"]', "solver.terms.tv.isotropic=false"],
            lambda s: s.terms[0].isotropic is False,
        ),
        (
            ['solver.terms=["tv", "tv"]', "solver.terms.1=kernel-l2"],
            lambda s: type(s.terms[1]).__name__ == "KernelL2",
        ),
        (["solver.latent=other", "solver.depth=4"], lambda s: s.depth == 4),
        (
            ["solver.params={latent = 'other'}", "solver.latent.iterations=6"],
            lambda s: s.latent.iterations == 6,
        ),
    ],
)
def test_settings_reach_nested_components_in_any_order(settings: list[str], read: Callable[[Any], bool]) -> None:
    assert read(solver('latent = "inner"', *settings))
    if not settings[-1].endswith("none"):  # of two settings of one place the last one counts
        assert recipe('latent = "inner"', *settings) == recipe('latent = "inner"', *settings[::-1])


def test_a_chosen_nested_component_keeps_the_parameters_that_both_have() -> None:
    built = solver('latent = {name = "inner", params = {iterations = 2, rate = 3.0}}', "solver.latent=other")
    assert (type(built.latent), built.latent.iterations) == (Other, 2)


def test_a_chosen_component_keeps_the_nested_ones_of_the_old_one() -> None:
    class Outermost(Outer):
        """A solver with the same nested component."""

        @validated
        def __init__(self, *, latent: Solver[Any]) -> None:
            self.latent = latent

    registry.register("solvers", "outermost", Outermost)
    try:
        built = solver('latent = {name = "inner", params = {rate = 8}}', "solver=outermost")
    finally:
        registry.unregister("solvers", "outermost")
    assert (type(built), built.latent.rate) == (Outermost, 8.0)


@pytest.mark.parametrize(
    ("setting", "error", "expected"),
    [
        (
            "solver.kernel_estimation.ridge=1",
            RecipeError,
            r"nothing is at solver\.kernel_estimation yet; choose it first, as solver\.kernel_estimation=NAME",
        ),
        (
            "solver.terms.0=tv",
            RecipeError,
            r"no '0' in solver\.terms \(it is empty\); to add one, set \"solver\.terms=\[\{name = '",
        ),
        (
            "solver.latent.parms.rate=1",
            RecipeError,
            r"no place 'solver\.latent\.parms\.rate'; rate is at solver\.latent\.rate",
        ),
        ("solver.latent.rate.x=1", RecipeError, r"rate: should be a number, got \{'x': 1\}"),
        ("solver.latent=3", RecipeError, r"solver\.latent: should be a registered name of solvers"),
        ("solver.latent=none", RecipeError, r"solver\.latent: should be a registered name of solvers"),
        ("solver.latnt=inner", RecipeError, r"no place 'solver\.latnt'; did you mean 'solver\.latent'"),
        ("solver.latent=iner", UnknownNameError, "nothing named 'iner' in solvers; did you mean 'inner'"),
    ],
)
def test_a_wrong_setting_of_a_nested_component_is_refused(setting: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        check_recipe(recipe('latent = "inner"', setting))


def test_settings_leave_the_recipe_unchanged() -> None:
    before = recipe('latent = {name = "inner", params = {rate = 3}}')
    copy = before.model_dump_json()
    before.with_overrides(["solver.latent.rate=4", "solver.latent.iterations=1"])
    assert before.model_dump_json() == copy


# Descriptions.


def test_a_nested_component_is_described_by_its_family() -> None:
    parameters = describe("solvers", "outer")["parameters"]
    assert type_text(parameters["latent"]) == "a component of solvers"
    assert type_text(parameters["kernel_estimation"]) == "a component of kernel_estimation or none"
    assert type_text(parameters["terms"]) == "a list of components of regularizers or none"
    assert parameters["latent"]["description"] == "finds the image."


def test_the_schema_refers_to_each_family_once() -> None:
    schema = recipe_schema()
    [outer] = [
        t for t in schema["$defs"]["solvers"]["anyOf"][0]["oneOf"] if t["properties"]["name"].get("const") == "outer"
    ]
    slots = outer["properties"]["params"]["properties"]
    assert slots["latent"]["$ref"] == "#/$defs/solvers"
    assert slots["kernel_estimation"]["anyOf"] == [{"$ref": "#/$defs/kernel_estimation"}, {"type": "null"}]
    one, many = slots["terms"]["anyOf"][0]["anyOf"]
    assert (one, many["items"]) == ({"$ref": "#/$defs/regularizers"},) * 2
    assert "x-family" not in json.dumps(schema)
    assert {ref for ref in refs(schema) if ref != "#"} <= {f"#/$defs/{name}" for name in schema["$defs"]}


def refs(schema: Any) -> set[str]:
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = {schema["$ref"]} if isinstance(schema, dict) and isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(refs, inside))


# The conformance suite builds them from their examples.


def test_a_required_nested_component_is_built_from_its_example() -> None:
    assert type(build(Outer).latent) is Inner
    assert type(build(Picky).term) is TotalVariation


def test_a_check_may_give_a_nested_component_as_instance_name_or_table() -> None:
    fit = Fit()
    built = build(
        Outer,
        {},
        {"kernel_estimation": fit, "latent": {"name": "other", "params": {"colour": "blue"}}, "terms": ["tv"]},
    )
    assert built.kernel_estimation is fit
    assert isinstance(built.latent, Other)
    assert built.latent.colour == "blue"
    assert [type(term) for term in known(built.terms)] == [TotalVariation]


def test_nested_components_are_read_strictly() -> None:
    read = dict(read_strictly(parameters_of(Outer), {"latent": "inner", "terms": ["tv"]}))
    assert read["latent"].name == "inner"
    assert read["terms"][0].params == {}

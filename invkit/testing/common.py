"""Checks that the components of every family share, and how checks build a component.

Every check raises ``AssertionError`` with a sentence that says what the component did wrong.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar, cast

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from ..core import registry
from ..core.docstrings import args_of, argument_descriptions
from ..core.nested import Component, ComponentSpec, named
from ..core.parameters import nested_components_of, parameters_of, positional_names
from ..numerics.geometry import Shape

__all__ = [
    "assert_documented",
    "assert_gradients_reach",
    "assert_images_independent",
    "assert_portable",
    "assert_pure",
    "assert_random_state_untouched",
    "assert_seeded",
    "assert_unchanged",
    "build",
    "demand",
    "drawn",
]

BuiltComponent = TypeVar("BuiltComponent")

ParameterValues = Mapping[str, Any]
"""Parameters of a component that a check sets to other values than their defaults."""


def demand(holds: bool, complaint: str) -> None:
    """Raise ``AssertionError`` with the complaint unless it holds, also under ``python -O``.

    Example:
        >>> demand(1 + 1 == 2, "integers do not add up")
    """
    if not holds:
        raise AssertionError(complaint)


def drawn(shape: Shape | tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw uniform numbers in [0, 1) that depend only on the seed and the shape.

    Args:
        shape: of the result.
        seed: of the random numbers.
        dtype: of the result.

    Example:
        >>> bool((drawn((2, 3)) == drawn((2, 3))).all())
        True
    """
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def build(
    component: type[BuiltComponent], given: Mapping[str, object] | None = None, params: ParameterValues | None = None
) -> BuiltComponent:
    """Construct a component as a recipe would.

    A required parameter takes the first of its examples, ``Field(examples=[...])``. A nested component may be given as
    an instance or, as in a recipe, as a registered name or a table of name and params; it is then built likewise.

    Args:
        component: the class.
        given: values of the positional arguments, by name.
        params: keyword arguments that differ from their defaults.

    Example:
        >>> from invkit.fidelities import MSE
        >>> isinstance(build(MSE), MSE)
        True
    """
    given = {} if given is None else given
    positional = positional_names(component)
    unknown = [name for name in positional if name not in given]
    demand(not unknown, f"{component.__name__} takes {', '.join(unknown)}, but its family provides {', '.join(given)}")
    chosen = {} if params is None else params
    keywords, kind = {**examples(component, chosen), **chosen}, cast(type, component)
    for name, nested in nested_components_of(kind).items():
        if name in keywords:
            arguments = cast(type[Component], component).nested_arguments(name, given)
            keywords[name] = nested_built(nested.family, keywords[name], arguments)
    return component(*(given[name] for name in positional), **keywords)


def nested_built(family: str, value: Any, given: Mapping[str, object]) -> Any:
    """Build a nested component, or a list of them, unless it is an instance.

    Args:
        family: of the component.
        value: an instance, a name, a table of name and params, or a list of these.
        given: values of its positional arguments.
    """
    if isinstance(value, list):
        return [nested_built(family, one, given) for one in value]
    if not isinstance(value, str | Mapping):
        return value
    spec = ComponentSpec(**named(value))
    return build(registry.load(family, spec.name), given, spec.params)


def examples(component: type, chosen: ParameterValues | None = None) -> dict[str, Any]:
    """Return the example of each required parameter that is not chosen."""
    found = {}
    for name, field in parameters_of(component).model_fields.items():
        if field.is_required() and name not in (chosen or ()):
            demand(bool(field.examples), f"{component.__name__}: '{name}' is required and has no Field(examples=[...])")
            found[name] = (field.examples or [None])[0]
    return found


def assert_documented(component: type) -> None:
    """The class has a docstring, whose ``Args:`` section describes every parameter and nothing else.

    A base class may describe the parameters that the class shares with it, and a settings model its fields.
    """
    title, docstring = component.__name__, vars(component).get("__doc__") or ""
    demand(bool(docstring.strip()), f"{title} has no docstring")
    demand(not inspect.isabstract(component), f"{title} is abstract")
    written = inspect.signature(inspect.unwrap(component.__init__)).parameters  # type: ignore[misc]
    settings = [type(argument.default) for argument in written.values() if isinstance(argument.default, BaseModel)]
    described = {name for source in (component, *settings) for name in argument_descriptions(source)}
    missing = [name for name in parameters_of(component).model_fields if name not in described]
    demand(not missing, f"the section 'Args:' in the docstring of {title} does not describe {', '.join(missing)}")
    unknown = args_of(docstring).keys() - written.keys() - inspect.signature(component).parameters.keys()
    demand(not unknown, f"{title} has no argument {', '.join(sorted(unknown))}, but its section 'Args:' describes it")


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Copy every parameter and buffer, including buffers that are not saved."""
    return {name: value.detach().clone() for name, value in chain(module.named_parameters(), module.named_buffers())}


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names under which two snapshots differ."""
    names = sorted(before.keys() | after.keys())
    return [n for n in names if n not in before or n not in after or not torch.equal(before[n], after[n])]


@contextmanager
def assert_unchanged(module: nn.Module) -> Iterator[None]:
    """The enclosed code changes no parameter and no buffer."""
    before = snapshot(module)
    yield
    changed = differing(before, snapshot(module))
    demand(not changed, f"calling {type(module).__name__} changes its {', '.join(changed)}")


@contextmanager
def assert_random_state_untouched(what: str) -> Iterator[None]:
    """The enclosed code neither draws from nor seeds the global generators of torch, NumPy and Python."""
    before = random_state()
    yield
    demand(before == random_state(), f"{what} changes the global random state; draw from a generator of its own")


def random_state() -> bytes:
    """Return the states of the global generators of torch (CPU), NumPy and Python."""
    return pickle.dumps((torch.get_rng_state().numpy().tobytes(), np.random.get_state(), random.getstate()))


def assert_pure(part: nn.Module, *arguments: Any, between: tuple[Any, ...] | None = None) -> None:
    """Two calls and one of a deep copy return the same; a call changes no argument, no parameter, no random state.

    Args:
        part: the component.
        arguments: of the call; it returns a tensor or several.
        between: arguments of another call between the two, which must not matter.
    """
    name, tensors = type(part).__name__, [one for one in arguments if isinstance(one, Tensor)]
    before = [one.clone() for one in tensors]
    with assert_unchanged(part), assert_random_state_untouched(f"calling {name}"):
        first = [one.clone() for one in as_tensors(part(*arguments))]
        if between is not None:
            part(*between)
        demand(all(map(torch.equal, tensors, before)), f"{name} changes its arguments")
        again = as_tensors(part(*arguments))
        demand(all(map(torch.equal, first, again)), f"two calls of {name} give different values")
    copied = as_tensors(copy.deepcopy(part)(*arguments))
    demand(all(map(torch.equal, first, copied)), f"a deep copy of {name} gives different values")


def assert_images_independent(part: nn.Module, *arguments: Any, tolerance: float = 1e-5) -> None:
    """Each image of a batch gives the same as alone.

    Args:
        part: the component.
        arguments: of the call; all tensors have the same batch size.
        tolerance: largest difference, relative to the largest value. Sums may be rounded otherwise.
    """
    whole, count = as_tensors(part(*arguments)), next(len(one) for one in arguments if isinstance(one, Tensor))
    alone = [
        as_tensors(part(*(one[i : i + 1] if isinstance(one, Tensor) else one for one in arguments)))
        for i in range(count)
    ]
    for values, parts in zip(whole, zip(*alone, strict=True), strict=True):
        error = (values - torch.cat(parts)).abs().max()
        demand(bool(error <= tolerance * values.abs().max()), f"{type(part).__name__} mixes the images of a batch")


def as_tensors(value: Any) -> list[Tensor]:
    """Return the tensors that a component returned, one or several."""
    return [value] if isinstance(value, Tensor) else list(value)


def assert_seeded(component: type, given: Mapping[str, object], params: ParameterValues | None = None) -> None:
    """Two instances of the same seed are equal and of different seeds are not; building draws no global numbers.

    Args:
        component: the class of a module.
        given: values of its positional arguments.
        params: keyword arguments that differ from their defaults.
    """
    name, settings = component.__name__, {} if params is None else dict(params)
    with assert_random_state_untouched(f"building {name}"):
        first, second = (snapshot(build(component, given, settings)) for _ in range(2))
    demand(not differing(first, second), f"two {name} built alike differ; give every random number a seed")
    if "seed" in parameters_of(component).model_fields:
        other = snapshot(build(component, given, settings | {"seed": 12345}))
        demand(bool(differing(first, other)), f"{name} does not depend on its 'seed'")


def assert_portable(module: nn.Module, *arguments: Tensor) -> None:
    """A deep copy, and a copy loaded from ``state_dict``, give the same; changing the copy leaves the original."""
    name, value = type(module).__name__, module(*arguments).detach().clone()
    copied = copy.deepcopy(module)
    demand(torch.equal(copied(*arguments), value), f"a deep copy of {name} gives different values")
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    demand(torch.equal(module(*arguments), value), f"a deep copy of {name} shares its parameters")
    copied.load_state_dict(module.state_dict())
    demand(torch.equal(copied(*arguments), value), f"{name} loaded from its state_dict gives different values")


def assert_gradients_reach(module: nn.Module, output: Tensor) -> None:
    """A generic loss of ``output`` has finite gradients in every parameter, and some are not zero."""
    parameters = dict(module.named_parameters())
    if not parameters:
        return
    name = type(module).__name__
    loss = (output * drawn(tuple(output.shape), seed=7, dtype=output.dtype)).sum()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for label, gradient in zip(parameters, gradients, strict=True):
        demand(gradient is not None, f"no gradient reaches '{label}' of {name}")
        finite = gradient is None or bool(gradient.isfinite().all())
        demand(finite, f"the gradient in '{label}' of {name} is not finite")
    demand(any(bool(g.any()) for g in gradients if g is not None), f"all gradients in {name} are zero")

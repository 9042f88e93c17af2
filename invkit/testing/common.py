"""What the checks of every family share: building a component, and what any component must and must not do.

Every check raises ``AssertionError`` with a sentence that says what the component did.
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
from torch import Tensor, nn

from ..core import registry
from ..core.nested import Component, ComponentSpec, named
from ..core.parameters import nested_components_of, parameters_of, positional_names
from ..numerics.geometry import Shape
from .operators import demand

__all__ = [
    "assert_documented",
    "assert_gradients_reach",
    "assert_portable",
    "assert_random_state_untouched",
    "assert_seeded",
    "assert_unchanged",
    "build",
    "drawn",
]

C = TypeVar("C")

Settings = Mapping[str, Any]
"""Parameters of a component that a check sets apart from its defaults."""


def drawn(shape: Shape | tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform numbers in [0, 1) that depend on nothing but the seed and the shape."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def build(component: type[C], given: Mapping[str, object] | None = None, params: Settings | None = None) -> C:
    """Construct a component as a recipe would: positional arguments from ``given``, the rest at its defaults.

    A required parameter takes the first of its examples, ``Field(examples=[...])``. What stands in a slot may be an
    instance, or as in a recipe a registered name or a table of name and params; it is then built likewise.
    """
    given = {} if given is None else given
    positional = positional_names(component)
    unknown = [name for name in positional if name not in given]
    demand(not unknown, f"{component.__name__} asks for {', '.join(unknown)}; its family is given {', '.join(given)}")
    chosen = {} if params is None else params
    keywords = with_slots(component, {**examples(component, chosen), **chosen}, given)
    return component(*(given[name] for name in positional), **keywords)


def with_slots(component: type, keywords: Mapping[str, Any], given: Mapping[str, object]) -> dict[str, Any]:
    """The keywords of a component with the slots filled."""
    slots = {name: slot for name, slot in nested_components_of(component).items() if name in keywords}
    holder = cast(type[Component], component)
    held = {name: filled(slot.family, keywords[name], holder.nested_arguments(name, given)) for name, slot in slots.items()}
    return {**keywords, **held}


def filled(family: str, there: Any, given: Mapping[str, object]) -> Any:
    """What stands in a slot as an instance."""
    if isinstance(there, list):
        return [filled(family, one, given) for one in there]
    if not isinstance(there, str | Mapping):
        return there
    spec = ComponentSpec(**named(there))
    return build(registry.load(family, spec.name), given, spec.params)


def examples(component: type, chosen: Settings | None = None) -> dict[str, Any]:
    """The example of each required parameter that is not chosen."""
    found = {}
    for name, field in parameters_of(component).model_fields.items():
        if field.is_required() and name not in (chosen or ()):
            demand(bool(field.examples), f"{component.__name__}: '{name}' is required and has no Field(examples=[...])")
            found[name] = (field.examples or [None])[0]
    return found


def assert_documented(component: type) -> None:
    """The class says what it is, every parameter is named (no ``**kwargs``) and described."""
    demand(bool((vars(component).get("__doc__") or "").strip()), f"{component.__name__} has no docstring")
    demand(not inspect.isabstract(component), f"{component.__name__} is abstract")
    for name, field in parameters_of(component).model_fields.items():
        demand(bool(field.description), f"{component.__name__}: '{name}' has no Field(description=...)")


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer, those that are not saved included."""
    return {name: value.detach().clone() for name, value in chain(module.named_parameters(), module.named_buffers())}


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """The names under which two snapshots differ."""
    names = sorted(before.keys() | after.keys())
    return [n for n in names if n not in before or n not in after or not torch.equal(before[n], after[n])]


@contextmanager
def assert_unchanged(module: nn.Module) -> Iterator[None]:
    """What happens inside changes no parameter and no buffer."""
    before = snapshot(module)
    yield
    changed = differing(before, snapshot(module))
    demand(not changed, f"calling {type(module).__name__} changes its {', '.join(changed)}")


@contextmanager
def assert_random_state_untouched(what: str) -> Iterator[None]:
    """What happens inside neither draws from nor seeds the global generators of torch, NumPy and Python."""
    before = random_state()
    yield
    demand(before == random_state(), f"{what} changes the global random state; draw from a generator of its own")


def random_state() -> bytes:
    """The global generators of torch (CPU), NumPy and Python as bytes."""
    return pickle.dumps((torch.get_rng_state().numpy().tobytes(), np.random.get_state(), random.getstate()))


def assert_seeded(component: type, given: Mapping[str, object], params: Settings | None = None) -> None:
    """Two of the same seed are equal, two of different seeds are not, and building touches no global generator."""
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
    demand(torch.equal(copied(*arguments), value), f"a deep copy of {name} gives something else")
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    demand(torch.equal(module(*arguments), value), f"a deep copy of {name} shares its parameters")
    copied.load_state_dict(module.state_dict())
    demand(torch.equal(copied(*arguments), value), f"{name} loaded from its state_dict gives something else")


def assert_gradients_reach(module: nn.Module, output: Tensor) -> None:
    """A generic loss of ``output`` has finite gradients in every parameter, not all of them zero."""
    named = dict(module.named_parameters())
    if not named:
        return
    name = type(module).__name__
    loss = (output * drawn(tuple(output.shape), seed=7, dtype=output.dtype)).sum()
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    for label, gradient in zip(named, gradients, strict=True):
        demand(gradient is not None, f"no gradient reaches '{label}' of {name}")
        demand(
            gradient is None or bool(gradient.isfinite().all()), f"the gradient in '{label}' of {name} is not finite"
        )
    demand(any(bool(g.any()) for g in gradients if g is not None), f"all gradients in {name} are zero")

"""The arguments of deepinv's classes as parameters that a recipe can hold.

A recipe holds numbers, texts, booleans, lists and tables of them. A tensor stands there as nested lists, or as the
name of an .npy file; a generator of random numbers as its seed. What has no such form (devices, noise models, other
modules) keeps deepinv's default.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from inspect import Parameter, Signature
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ...core.errors import InputError, PluginError, RecipeError

__all__ = ["Argument", "arguments_of", "built", "passed", "signature"]

LEFT_OUT = ("device", "dtype", "noise_model", "sensor_model")  # the data, or whoever solves, decide of them
PLAIN = (bool, int, float, str)
LISTS = (list, tuple, Sequence, Iterable)
GENERATOR = "seed of the random numbers that deepinv draws when it is built"
PLACEHOLDER = "warn"  # deepinv's default where it wants one to choose; None is what it then takes


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor.

    Attributes:
        name: deepinv's.
        kind: its type in a recipe.
        default: ``Parameter.empty`` where it is required.
        own: deepinv's, which it has where it is not given.
        description: what deepinv says of it.
        is_tensor: whether lists and .npy files become tensors.
        is_generator: whether it is a generator, which a recipe gives the seed of.
    """

    name: str
    kind: Any
    default: Any
    own: Any
    description: str
    is_tensor: bool = False
    is_generator: bool = False

    def value(self, given: Any) -> Any:
        """What the constructor is to be given; raises `InputError` for a file or list that is no tensor."""
        if self.is_generator:
            return torch.Generator().manual_seed(given)
        if self.is_tensor and (isinstance(given, list) or str(given).endswith(".npy")):
            return as_tensor(self.name, given)
        return tuple(given) if isinstance(given, list) else given

    def keyword(self) -> Parameter:
        """As a keyword of a component."""
        kind: Any = Annotated[self.kind, Field(description=self.description)]
        return Parameter(self.name, Parameter.KEYWORD_ONLY, default=self.default, annotation=kind)


@cache
def arguments_of(owner: type, without: tuple[str, ...] = ()) -> tuple[Argument, ...]:
    """The arguments of a class of deepinv that a recipe can hold.

    Args:
        owner: the class.
        without: names of those to leave out.

    Raises:
        PluginError: it cannot be built from a recipe, because it asks for what none can hold.
    """
    hints, found = hints_of(owner), []
    for parameter in inspect.signature(owner).parameters.values():
        if parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL) or parameter.name in without:
            continue
        argument = argument_of(owner, parameter, hints.get(parameter.name, Parameter.empty))
        if argument is not None:
            found.append(argument)
        elif parameter.default is Parameter.empty:
            raise PluginError(
                f"deepinv's {owner.__name__} cannot stand in a recipe: it asks for '{parameter.name}', which is no "
                "number, text, list or table of them; write a component of your own that builds it"
            )
    return tuple(found)


def argument_of(owner: type, parameter: Parameter, annotation: Any) -> Argument | None:
    """One argument as a recipe can hold it; None where none can."""
    name, default = parameter.name, None if parameter.default == PLACEHOLDER else parameter.default
    kind = kind_of_untyped(name, default) if annotation is Parameter.empty else kind_of(annotation)
    if annotation is torch.Generator:
        return Argument(name, Annotated[int, Field(ge=0, lt=2**63)], 0, None, GENERATOR, is_generator=True)
    if kind is None or name in LEFT_OUT or name.startswith("_") or not is_plain(default):
        return None
    wanted = kind | None if default is None else kind
    is_tensor = Tensor in (annotation, *get_args(annotation))
    return Argument(name, wanted, default, parameter.default, described(owner, name), is_tensor)


def hints_of(owner: type) -> dict[str, Any]:
    """The types of a constructor's arguments; none where they name what is not installed."""
    try:
        return get_type_hints(owner.__init__)  # type: ignore[misc]
    except (NameError, AttributeError):
        return {}


def kind_of(annotation: Any) -> Any:
    """A type as a recipe can hold it; None where it cannot."""
    origin = get_origin(annotation) or annotation
    if annotation in PLAIN or origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in map(kind_of, get_args(annotation)) if kind is not None]
        return reduce(or_, dict.fromkeys(kinds)) if kinds else None
    if annotation is Tensor:
        return list[Any] | str
    if origin in LISTS:
        items = {kind_of(item) for item in get_args(annotation) if item is not Ellipsis}
        return list[items.pop() or Any] if len(items) == 1 else list[Any]  # type: ignore[misc]
    return dict[str, Any] if origin in (dict, Mapping) else None


def kind_of_untyped(name: str, default: Any) -> Any:
    """The type of an argument that deepinv does not say, by its default or else its name; None where neither tells."""
    if default is not None and default is not Parameter.empty:
        return kind_of(type(default))
    return list[int] if name.endswith("_size") else None


def is_plain(default: Any) -> bool:
    """Whether a default can be written into a recipe, or there is none."""
    known = default is Parameter.empty or default is None or isinstance(default, PLAIN)
    return known or (isinstance(default, list | tuple) and all(is_plain(item) for item in default))


def described(owner: type, name: str) -> str:
    """The first sentence of what deepinv says of an argument."""
    text = inspect.getdoc(owner) or ""
    found = re.search(rf":param [^:\n]*\b{name}\s*:(.*?)(?=\n\s*:|\n\s*\n|\Z)", text, flags=re.DOTALL)
    words = " ".join(found[1].split()) if found else ""
    plain = re.sub(r":\w+:`~?([^`<]*)[^`]*`", r"\1", words).replace("`", "")
    return re.split(r"(?<=[^.])\.(?: |$)", plain)[0].strip() or f"as deepinv's {owner.__name__} takes it"


def as_tensor(name: str, given: list[Any] | str) -> Tensor:
    """Nested lists, or an .npy file, as a tensor, of floating-point numbers in float32."""
    try:
        values = np.asarray(given) if isinstance(given, list) else np.load(Path(given), allow_pickle=False)
        tensor = torch.from_numpy(np.array(values))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{name} cannot be read as a tensor: {error}; give nested lists of numbers, or an .npy file"
        ) from error
    return tensor.float() if tensor.is_floating_point() else tensor


def signature(arguments: Iterable[Argument], *more: Parameter) -> Signature:
    """The signature of a component with such parameters, ``more`` first."""
    return Signature([*more, *(argument.keyword() for argument in arguments)])


def passed(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[str, Any]:
    """What deepinv's constructor is given: what differs from its own defaults."""
    named = [(argument, values[argument.name]) for argument in arguments]
    return {one.name: one.value(given) for one, given in named if given != one.own}


def built(owner: type, given: Mapping[str, Any]) -> Any:
    """An instance of a class of deepinv; raises `RecipeError` where it refuses, or needs a package."""
    try:
        return owner(**given)
    except Exception as error:  # deepinv asserts, indexes and divides what it is given
        shown = {name: value if isinstance(value, PLAIN) else type(value).__name__ for name, value in given.items()}
        raise RecipeError(
            f"deepinv's {owner.__name__} cannot be built with {shown or 'its defaults'}: "
            f"{type(error).__name__}: {error}"
        ) from error

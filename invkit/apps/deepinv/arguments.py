"""The arguments of deepinv's classes as parameters of recipes.

A recipe contains numbers, texts, booleans, lists and tables. A tensor is given as nested lists or as the name of an
.npy file, a random generator as its seed. Arguments without such a form (devices, noise models, other modules) keep
deepinv's default.
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
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from ...core.errors import InputError, PluginError, RecipeError, reported_as
from ...core.files import read_array
from ...core.parameters import Seed
from ...core.runtime.weights import weights_only

__all__ = [
    "Argument",
    "args_section",
    "build_instance",
    "component_signature",
    "constructor_arguments",
    "recipe_arguments",
]

EXCLUDED_ARGUMENTS = ("device", "dtype", "noise_model", "sensor_model")  # the data or the solver determine them
PLAIN_TYPES = (bool, int, float, str)
SEQUENCE_TYPES = (list, tuple, Sequence, Iterable)
SEED_DESCRIPTION = "seed of the random numbers that deepinv draws at construction"
UNSET_DEFAULT = "warn"  # deepinv's default where it recommends a choice; it then uses None


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor of deepinv.

    Attributes:
        name: deepinv's name.
        kind: its type in a recipe.
        default: its default in a recipe; ``Parameter.empty`` if it is required.
        original_default: deepinv's default, which applies if the argument is not passed.
        description: deepinv's description.
        is_tensor: whether lists and .npy files become tensors.
        is_generator: whether it is a random generator, for which a recipe gives the seed.
    """

    name: str
    kind: Any
    default: Any
    original_default: Any
    description: str
    is_tensor: bool = False
    is_generator: bool = False

    def converted(self, value: Any) -> Any:
        """A value of a recipe as the constructor expects it; raises `InputError` if a tensor cannot be read."""
        if self.is_generator:
            return torch.Generator().manual_seed(value)
        if self.is_tensor and (isinstance(value, list) or str(value).endswith(".npy")):
            return read_tensor(self.name, value)
        return tuple(value) if isinstance(value, list) else value

    def keyword(self) -> Parameter:
        """The keyword of the component."""
        return Parameter(self.name, Parameter.KEYWORD_ONLY, default=self.default, annotation=self.kind)


@cache
def recipe_arguments(owner: type, without: tuple[str, ...] = ()) -> tuple[Argument, ...]:
    """The arguments of a class of deepinv that a recipe can contain.

    Args:
        owner: the class.
        without: names of arguments to exclude.

    Raises:
        PluginError: a recipe cannot build the class, because a required argument has no form in a recipe.
    """
    hints, found = type_hints_of(owner), []
    for parameter in inspect.signature(owner).parameters.values():
        if parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL) or parameter.name in without:
            continue
        argument = recipe_argument(owner, parameter, hints.get(parameter.name, Parameter.empty))
        if argument is not None:
            found.append(argument)
        elif parameter.default is Parameter.empty:
            raise PluginError(
                f"deepinv's {owner.__name__} cannot be used in a recipe: it requires '{parameter.name}', which is no "
                "number, text, list or table of them; write a component of your own that builds it"
            )
    return tuple(found)


def recipe_argument(owner: type, parameter: Parameter, annotation: Any) -> Argument | None:
    """One argument in the form of a recipe; None if it has no such form.

    Args:
        owner: the class.
        parameter: of its constructor.
        annotation: the type of the parameter; ``Parameter.empty`` if unknown.
    """
    name, default = parameter.name, None if parameter.default == UNSET_DEFAULT else parameter.default
    kind = type_by_default(name, default) if annotation is Parameter.empty else recipe_type(annotation)
    if torch.Generator in (annotation, *get_args(annotation)):  # Python 3.10 adds None to the type of "= None"
        return Argument(name, Seed, 0, None, SEED_DESCRIPTION, is_generator=True)
    if kind is None or name in EXCLUDED_ARGUMENTS or name.startswith("_") or not fits_recipe(default):
        return None
    optional_kind = kind | None if default is None else kind
    is_tensor = Tensor in (annotation, *get_args(annotation))
    return Argument(name, optional_kind, default, parameter.default, description_of(owner, name), is_tensor)


def type_hints_of(owner: type) -> dict[str, Any]:
    """The types of a constructor's arguments; empty if they refer to a package that is not installed."""
    try:
        return get_type_hints(owner.__init__)  # type: ignore[misc]
    except (NameError, AttributeError):
        return {}


def recipe_type(annotation: Any) -> Any:
    """The type in a recipe for a type of deepinv; None if there is none."""
    origin = get_origin(annotation) or annotation
    if annotation in PLAIN_TYPES or origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in map(recipe_type, get_args(annotation)) if kind is not None]
        return reduce(or_, dict.fromkeys(kinds)) if kinds else None
    if annotation is Tensor:
        return list[Any] | str
    if origin in SEQUENCE_TYPES:
        items = {recipe_type(item) for item in get_args(annotation) if item is not Ellipsis}
        return list[items.pop() or Any] if len(items) == 1 else list[Any]  # type: ignore[misc]
    return dict[str, Any] if origin in (dict, Mapping) else None


def type_by_default(name: str, default: Any) -> Any:
    """The type of an argument that deepinv does not annotate, from its default or its name; None if neither tells."""
    if default is not None and default is not Parameter.empty:
        return recipe_type(type(default))
    return list[int] if name.endswith("_size") else None


def fits_recipe(default: Any) -> bool:
    """Whether a recipe can contain a default, or there is no default."""
    plain = default is Parameter.empty or default is None or isinstance(default, PLAIN_TYPES)
    return plain or (isinstance(default, list | tuple) and all(fits_recipe(item) for item in default))


def description_of(owner: type, name: str) -> str:
    """The first sentence of deepinv's description of an argument."""
    text = inspect.getdoc(owner) or ""
    found = re.search(rf":param [^:\n]*\b{name}\s*:(.*?)(?=\n\s*:|\n\s*\n|\Z)", text, flags=re.DOTALL)
    joined = " ".join(found[1].split()) if found else ""
    plain = re.sub(r":\w+:`~?([^`<]*)[^`]*`", r"\1", joined).replace("`", "")
    return re.split(r"(?<=[^.])\.(?: |$)", plain)[0].strip() or f"see deepinv's {owner.__name__}"


def read_tensor(name: str, value: list[Any] | str) -> Tensor:
    """Nested lists, or the contents of an .npy file, as a tensor; floating-point numbers become float32."""
    try:
        values = np.asarray(value) if isinstance(value, list) else read_array(Path(value))
        tensor = torch.from_numpy(np.array(values))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{name} cannot be read as a tensor: {error}; give nested lists of numbers, or an .npy file"
        ) from error
    return tensor.float() if tensor.is_floating_point() else tensor


def component_signature(arguments: Iterable[Argument], *more: Parameter) -> Signature:
    """The signature of a component with these arguments as keywords, after ``more``."""
    return Signature([*more, *(argument.keyword() for argument in arguments)])


def args_section(arguments: Iterable[Argument]) -> str:
    """The section of a component's docstring that describes these arguments; empty without arguments."""
    entries = [f"    {argument.name}: {argument.description}" for argument in arguments]
    return "\n".join(["Args:", *entries]) if entries else ""


def constructor_arguments(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from deepinv's defaults, as its constructor expects them."""
    pairs = [(argument, values[argument.name]) for argument in arguments]
    return {argument.name: argument.converted(value) for argument, value in pairs if value != argument.original_default}


def build_instance(owner: type, arguments: Mapping[str, Any]) -> Any:
    """An instance of a class of deepinv; raises `RecipeError` if deepinv refuses the arguments or needs a package."""
    shown = {k: value if isinstance(value, PLAIN_TYPES) else type(value).__name__ for k, value in arguments.items()}
    what = f"deepinv's {owner.__name__} cannot be built with {shown or 'its defaults'}"
    with reported_as(RecipeError, what), weights_only():
        return owner(**arguments)

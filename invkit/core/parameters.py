"""Parameters of components, derived from the signatures and docstrings of their classes.

Positional arguments come from the *problem* (a shape); keyword-only arguments may be set by a *recipe*. A pydantic
model is derived from the keywords, and its descriptions from the ``Args:`` section of the class's docstring. One
signature and one docstring are thus the Python interface, the validation of recipes, the source of ``invkit describe``
and of the JSON schema. A keyword may hold a nested component (`invkit.core.nested`): the constructor takes an instance,
the model takes name and parameters.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from inspect import Parameter
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, validate_call

from .docstrings import argument_descriptions
from .errors import InputError, PluginError, reported_as
from .messages import describe_problems
from .nested import Component, NestedComponent, nested_component_of
from .plugin_loading import entry_point_name

__all__ = [
    "LARGEST",
    "Component",
    "Fraction",
    "NonNegative",
    "NonNegativeInt",
    "Positive",
    "PositiveFraction",
    "PositiveInt",
    "Seed",
    "flat_settings",
    "nested_components_of",
    "parameters_of",
    "parameters_schema",
    "positional_names",
    "read_strictly",
    "validated",
]

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LARGEST = 1e12
"""The largest number that a recipe or an option may give: its cube still has a meaning in single precision."""

Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

PROBLEM_ARGUMENTS = ("shape", "start", "guess", "root", "folder")  # that a problem, an evaluation or a run gives
RESERVED_NAMES = {*dir(BaseModel), *dir(type(BaseModel))}  # a field of such a name would hide an attribute of pydantic
KINDS = {
    "missing_argument": "missing",
    "missing_keyword_only_argument": "missing",
    "unexpected_keyword_argument": "extra_forbidden",
}
"""The types of pydantic's errors about the arguments of a call, as those about the fields of a model."""
POSITIONAL_KINDS = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def validated(constructor: Callable[P, T]) -> Callable[P, T]:
    """Check a constructor's arguments against its annotations, from Python as from a recipe.

    Raises `InputError` (a ``ValueError``) when called with a wrong or unknown argument.
    """
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(constructor)
    names = list(inspect.signature(constructor).parameters)

    @wraps(constructor)
    def construct(*args: P.args, **keywords: P.kwargs) -> T:
        with refused_by_name(constructor.__qualname__, names, args, keywords):
            return checked(*args, **keywords)

    return construct


@contextmanager
def refused_by_name(
    title: str, names: Sequence[str], args: Sequence[object], keywords: Mapping[str, object]
) -> Iterator[None]:
    """Turn pydantic's error about the arguments of a component into a sentence that calls it as recipes do.

    Args:
        title: of the error; errors of other titles pass, as those of models that the constructor builds.
        names: of the arguments that may be given, in order.
        args: the positional arguments that were given, the new instance first.
        keywords: the others.

    Raises:
        InputError: instead of ``pydantic.ValidationError``.
    """
    try:
        yield
    except ValidationError as error:
        if error.title != title:
            raise
        component, descriptions = type(args[0]), argument_descriptions(type(args[0]))
        wrong = [plain_problem(problem, names) for problem in error.errors()]
        given = {argument_name(n, known): each for known in ([], names) for n, each in enumerate(args)} | dict(keywords)
        own = inspect.signature(component).parameters  # with the fields of its settings
        known = {name: descriptions.get(name) for name in own}
        called = entry_point_name(getattr(component, "family", ""), component) or component.__name__
        raise InputError(f"{called}: {describe_problems(wrong, given, lambda _: known)}") from error


def plain_problem(problem: Any, names: Sequence[str]) -> dict[str, Any]:
    """Pydantic's error about an argument of a call as one about a field, with a name as its place."""
    first, *rest = problem["loc"]
    kind = KINDS.get(problem["type"], problem["type"])
    is_extra = kind == "unexpected_positional_argument"
    name = first if isinstance(first, str) else argument_name(first, [] if is_extra else names)
    return {**problem, "type": kind, "loc": (name, *rest)}


def argument_name(position: int, names: Sequence[str]) -> str:
    """What errors call the argument at a position; the instance has position 0."""
    return names[position] if position < len(names) else f"argument {position}"


def flat_settings(constructor: Callable[..., None]) -> Callable[..., None]:
    """Check a constructor as `validated` does, and accept each field of its keyword ``settings`` as a keyword.

    Components that share many settings keep them in one frozen pydantic model. Their constructors take an instance of
    it as the keyword ``settings``, and the instance in the signature gives the defaults. A recipe then sets
    ``params = { channels = 32 }``, and Python code writes ``DipSkipImage(shape, channels=32)``. Python code may also
    give the model itself; a field given beside it replaces the model's value. The ``Args:`` section of the model's
    docstring describes the fields.

    Raises `InputError` (a ``ValueError``) when called with a wrong or unknown argument.
    """
    signature = inspect.signature(constructor, eval_str=True)
    default: BaseModel = signature.parameters["settings"].default
    model, checked = type(default), validated(constructor)
    types, descriptions = get_type_hints(model, include_extras=True), argument_descriptions(model)
    kinds = {name: described(types[name], descriptions.get(name)) for name in model.model_fields}
    fields = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(default, name), annotation=kind)
        for name, kind in kinds.items()
    ]

    @wraps(constructor)
    def flat(*args: Any, settings: BaseModel = default, **keywords: Any) -> None:
        own = {name: keywords.pop(name) for name in model.model_fields if name in keywords}
        if own and isinstance(settings, model):
            with refused_by_name(model.__name__, list(kinds), args[:1], own):
                settings = model(**{**dict(settings), **own})
        checked(*args, settings=settings, **keywords)

    arguments = [p for q in signature.parameters.values() for p in (fields if q.name == "settings" else [q])]
    flat.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]
    return flat


@cache
def parameters_of(component: type) -> type[BaseModel]:
    """The pydantic model of the parameters that a recipe may set on ``component``; unknown names are refused.

    Raises:
        PluginError: the constructor breaks the rules of components. It takes ``**kwargs``, which would accept misspelt
            parameters (a component without ``__init__`` inherits such a one from ``nn.Module``); it has a positional
            argument that no problem gives; a keyword has no type, a type that cannot be found or a reserved name; or a
            nested component has a default other than None.
    """
    fields: dict[str, Any] = {}
    descriptions = argument_descriptions(component)
    for parameter in arguments_of(component):
        check_argument(component, parameter)
        if parameter.kind is Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is Parameter.empty else parameter.default
            kind = described(type_in_recipe(parameter.annotation), descriptions.get(parameter.name))
            fields[parameter.name] = (kind, default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    with reported_as(PluginError, f"the types of {component.__qualname__}'s keywords cannot be used"):
        model: type[BaseModel] = create_model(f"{component.__name__}Parameters", __config__=config, **fields)
        model.model_rebuild(raise_errors=True)  # finds the names inside a type, as in list["Thing"]
    return model


def described(kind: Any, description: str | None) -> Any:
    """A type with a description for pydantic, if there is one."""
    return Annotated[kind, Field(description=description)] if description else kind


def type_in_recipe(annotation: Any) -> Any:
    """The type of a keyword in a recipe: its own type, or that of the spec of a nested component."""
    nested = nested_component_of(annotation)
    if nested is None:
        return annotation
    facts = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    kind = nested.type_in_recipe()
    for fact in facts:  # its examples; Annotated[kind, *facts] is Python 3.11's
        kind = Annotated[kind, fact]
    return kind


@cache
def nested_components_of(component: type) -> dict[str, NestedComponent]:
    """The nested components of a component by keyword; raises as `parameters_of`."""
    parameters_of(component)
    keywords = [p for p in arguments_of(component) if p.kind is Parameter.KEYWORD_ONLY]
    found = {parameter.name: nested_component_of(parameter.annotation) for parameter in keywords}
    return {name: nested for name, nested in found.items() if nested is not None}


def parameters_schema(component: type) -> dict[str, Any]:
    """The JSON schema of `parameters_of`.

    Raises:
        PluginError: as `parameters_of`; also if a keyword has a type that no recipe can hold.
    """
    model = parameters_of(component)
    remedy = "recipes hold numbers, texts, true and false, lists and tables of them"
    with reported_as(PluginError, f"{component.__qualname__} has a keyword that a recipe cannot hold", remedy):
        return model.model_json_schema()


def positional_names(component: type) -> list[str]:
    """The names of a constructor's positional arguments, which the problem gives; raises as `parameters_of`.

    Example:
        >>> from invkit.kernel_priors import SoftmaxFCN
        >>> positional_names(SoftmaxFCN)
        ['shape']
    """
    return [parameter.name for parameter in arguments_of(component) if parameter.kind in POSITIONAL_KINDS]


def read_strictly(model: type[M], values: Mapping[str, Any]) -> M:
    """Validate the plain data of a file without conversions: "2" is not a number and 2.0 not a whole number.

    Whole numbers are accepted as floating-point numbers and lists as tuples, which TOML and JSON do not have.

    Raises:
        pydantic.ValidationError: a value is not allowed.
        TypeError: a value has a type that JSON does not have, as a date, or a text is not Unicode; names it.
    """
    text = json.dumps(values, default=refuse_value, ensure_ascii=False)
    try:
        content = text.encode()
    except UnicodeEncodeError as error:  # from a command line or a file name in another encoding
        raise TypeError(f"{text[error.start : error.end]!a} is no Unicode text") from error
    return model.model_validate_json(content, strict=True)


def refuse_value(value: object) -> object:
    """Refuse a value of a type that JSON does not have."""
    raise TypeError(f"{value!r:.80} is a {type(value).__name__}")


def arguments_of(component: type) -> list[Parameter]:
    """The arguments of a constructor with their types; raises `PluginError` if they cannot be found."""
    remedy = "import them when the module is run, not only under TYPE_CHECKING"
    with reported_as(PluginError, f"the types of {component.__qualname__}'s arguments cannot be found", remedy):
        return list(inspect.signature(component, eval_str=True).parameters.values())


def check_argument(component: type, parameter: Parameter) -> None:
    """Raise `PluginError` for an argument that breaks the rules of `parameters_of`."""
    who, name = component.__qualname__, parameter.name
    if parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL):
        signs = "**" if parameter.kind is Parameter.VAR_KEYWORD else "*"
        raise PluginError(f"{who} takes {signs}{name}; a component must have an __init__ that names each parameter")
    if parameter.kind in POSITIONAL_KINDS and name not in PROBLEM_ARGUMENTS:
        raise PluginError(
            f"{who} has the positional argument '{name}', and problems give only {', '.join(PROBLEM_ARGUMENTS)} by "
            "position; parameters that a recipe sets stand after a '*' in the signature"
        )
    if parameter.kind is Parameter.KEYWORD_ONLY and parameter.annotation is Parameter.empty:
        raise PluginError(f"the keyword '{name}' of {who} has no type; write one, as '{name}: float'")
    if parameter.kind is Parameter.KEYWORD_ONLY and (name in RESERVED_NAMES or name.startswith("_")):
        raise PluginError(f"the keyword '{name}' of {who} has a name that pydantic reserves; choose another name")
    nested = nested_component_of(parameter.annotation)
    if nested and parameter.default is not Parameter.empty and not (parameter.default is None and nested.optional):
        raise PluginError(
            f"the nested component '{name}' of {who} has the default {parameter.default!r:.60}; the recipe must name "
            "it: leave the default out and write Field(examples=[...]), or use the type '... | None' with None"
        )

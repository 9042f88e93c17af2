"""How a component says what may be set: its constructor's signature is the one place.

Positional arguments are what the *problem* gives (a shape); keyword-only arguments are what a *recipe* may set.
From the latter a pydantic model is derived, so that the signature is at once the Python interface, the validation
of a recipe, ``invkit describe`` and the JSON schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model, validate_call

from .errors import PluginError

__all__ = ["Fraction", "NonNegative", "Positive", "PositiveInt", "Seed", "Shape", "parameters_of", "validated"]

P = ParamSpec("P")
T = TypeVar("T")

Shape = tuple[int, int, int, int]
"""(B, C, H, W): batch, channels, height, width."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="seed of every random number this component draws")]


def validated(constructor: Callable[P, T]) -> Callable[P, T]:
    """Check a constructor's arguments against its annotations, from Python as from a recipe.

    Raises ``pydantic.ValidationError`` (a ``ValueError``) when called with a wrong or unknown argument.
    """
    return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(constructor)


@cache
def parameters_of(component: type) -> type[BaseModel]:
    """The pydantic model of what a recipe may set on ``component``; unknown names are refused.

    Raises:
        PluginError: the constructor takes ``**kwargs``, which would let a misspelt parameter pass unseen; so does the
            one a component inherits from ``nn.Module`` when it writes none.
    """
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(component, eval_str=True).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            raise PluginError(
                f"{component.__qualname__} takes **{name}; a component must have an __init__ that names each parameter"
            )
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (parameter.annotation, default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return create_model(f"{component.__name__}Parameters", __config__=config, **fields)

"""Priors and denoisers of deepinv as regularizers, each by its own name and with its own parameters."""

from __future__ import annotations

from functools import cache
from inspect import Parameter
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ...core.interfaces import Regularizer
from ...core.parameters import Positive, parameters_of
from ...regularizers.deepinv_priors import DeepinvPrior, PlugAndPlay, denoiser_classes, prior_classes
from .arguments import Argument, arguments_of, passed, signature

__all__ = ["regularizer_class", "regularizer_names"]

SIGMA = Parameter(
    "sigma",
    Parameter.KEYWORD_ONLY,
    default=0.05,
    annotation=Annotated[Positive, Field(description="noise level ([0, 1] units) of the penalty's denoiser")],
)


class NamedPrior(DeepinvPrior):
    """An explicit prior of deepinv; `regularizer_class` makes the subclasses."""

    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # which they are, each subclass's signature says
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        super().__init__(prior=type(self).__name__, options=passed(self.arguments, values))


class NamedDenoiser(PlugAndPlay):
    """A denoiser of deepinv where a proximal map should be; `regularizer_class` makes the subclasses."""

    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # as above
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        sigma = values.pop("sigma")
        super().__init__(denoiser=type(self).__name__, settings=passed(self.arguments, values), sigma=sigma)


def regularizer_names() -> list[str]:
    """Priors and denoisers of deepinv."""
    return sorted({*prior_classes(), *denoiser_classes()})


@cache
def regularizer_class(name: str) -> type[Regularizer]:
    """The component of a prior or denoiser of deepinv; raises `PluginError` where no recipe can hold its arguments."""
    is_prior = name in prior_classes()
    source, base = (prior_classes()[name], NamedPrior) if is_prior else (denoiser_classes()[name], NamedDenoiser)
    arguments = arguments_of(source)
    about = "explicit prior" if is_prior else "denoiser in the place of a proximal map (plug and play)"
    tells = "deepinv-prior" if is_prior else "plug-and-play"
    body = {
        "__doc__": f"deepinv's ``{name}`` as an {about}.\n\nThe component {tells} tells how it is used.",
        "__module__": source.__module__,
        "__signature__": signature(arguments, *(() if is_prior else (SIGMA,))),
        "arguments": arguments,
    }
    return type(name, (base,), body)

"""Classes of deepinv's linear physics as forward operators that a recipe can name."""

from __future__ import annotations

import inspect
from abc import ABC
from functools import cache
from inspect import Parameter
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from ...core.errors import PluginError, RecipeError
from ...core.interfaces import Blur, KernelPrior, OperatorParameterPrior
from ...core.operator_parameters import MaskPrior
from ...core.parameters import parameters_of
from .arguments import Argument, arguments_of, built, passed, signature
from .calls import physics_classes
from .physics import PhysicsOperator

__all__ = ["PICTURES", "PhysicsBlur", "PhysicsComponent", "operator_class"]

UNKNOWNS = {
    "Blur": "filter",
    "BlurFFT": "filter",
    "Downsampling": "filter",
    "Inpainting": "mask",
    "MRI": "mask",
    "SpaceVaryingBlur": "filters",
    "TiledSpaceVaryingBlur": "filters",
    "Upsampling": "filter",
}
"""The argument of a physics that the operator's second argument, the unknown, is."""

KINDS: dict[str, type[OperatorParameterPrior]] = {"filter": KernelPrior, "filters": KernelPrior, "mask": MaskPrior}  # type: ignore[type-abstract]
"""What such an argument is."""

OPTIONAL = ("Downsampling", "SpaceVaryingBlur", "TiledSpaceVaryingBlur", "Upsampling")
"""Where it may be given once and for all, as Downsampling's "bicubic", which is no blur kernel."""

IDLE = {"Inpainting": ("pixelwise", "rng")}
"""Arguments of no use beside the unknown."""

REFUSED = {
    **dict.fromkeys(
        ("ComposedLinearPhysics", "DecomposablePhysics", "LinearPhysics"), "is made of functions or physics"
    ),
    "Pansharpen": "gives two pictures of different sizes",
}
"""What no operator can be made of, and why."""

UNTIL_THEN = {"filter": torch.ones(1, 1, 1, 1)}
"""What a physics is built with in the place of its unknown: ``Downsampling`` warns at every call if it has none."""

PICTURES = (
    *("Blur", "BlurFFT", "Decolorize", "Demosaicing", "Denoising", "Downsampling", "DownsamplingMatlab", "Inpainting"),
    *("SpaceVaryingBlur", "TiledSpaceVaryingBlur", "Upsampling"),
)
"""The physics whose data are pictures in [0, 1]."""


class PhysicsComponent(PhysicsOperator, ABC):
    """A class of deepinv's physics, built from what a recipe says; `operator_class` makes the subclasses.

    Attributes:
        source: deepinv's class.
        arguments: those of its arguments that a recipe can hold.
    """

    source: ClassVar[type]
    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # which they are, each subclass's signature says
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        parameter = values.pop("parameter", "")
        if parameter and values.get(parameter) is not None:
            raise RecipeError(
                f"the {parameter} of deepinv's {self.source.__name__} is its unknown, and given; leave it out, or set "
                "parameter = ''"
            )
        given = passed(self.arguments, values) | {name: UNTIL_THEN[name] for name in UNTIL_THEN if name == parameter}
        size = given.get("img_size")
        whole = size if isinstance(size, tuple) and len(size) == 3 else None
        super().__init__(ready(built(self.source, given)), parameter, image_size=whole)


class PhysicsBlur(PhysicsComponent, Blur, ABC):
    """A physics that is a convolution by its unknown, which solvers may do by Fourier transforms."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.padding = self.physics.padding


@cache
def operator_class(name: str) -> type[PhysicsComponent]:
    """The component of a class of deepinv's physics.

    Raises:
        PluginError: it is not linear, or cannot be built from a recipe.
    """
    source = physics_classes()[name]
    if not issubclass(source, physics_classes()["LinearPhysics"]):
        raise PluginError(f"deepinv's {name} is not linear in the image, as forward operators are")
    if name in REFUSED:
        raise PluginError(f"deepinv's {name} {REFUSED[name]}, which no recipe can hold; write an operator of your own")
    parameter = UNKNOWNS.get(name, "")
    arguments = arguments_of(source, (*IDLE.get(name, ()), *(() if name in OPTIONAL else (parameter,))))
    body = {
        "__doc__": f"{first_paragraph(source)}\n\ndeepinv's ``{name}``; deepinv tells more of the parameters.",
        "__module__": source.__module__,
        "__signature__": signature(arguments, *choice_of(name, parameter)),
        "source": source,
        "arguments": arguments,
        "parameter_prior": KINDS.get(parameter, KernelPrior),
        "data_range": (0.0, 1.0) if name in PICTURES else None,
    }
    return type(name, (PhysicsBlur if name == "Blur" else PhysicsComponent,), body)


def choice_of(name: str, parameter: str) -> list[Parameter]:
    """The keyword that names the unknown, where there is one."""
    if not parameter:
        return []
    names: Any = Literal[parameter, ""] if name in OPTIONAL else Literal[parameter]
    meaning = f"deepinv's argument that the prior gives{', or an empty text for none' if name in OPTIONAL else ''}"
    kind: Any = Annotated[names, Field(description=meaning)]
    return [Parameter("parameter", Parameter.KEYWORD_ONLY, default=parameter, annotation=kind)]


def first_paragraph(source: type) -> str:
    """What a class of deepinv is, in its own words."""
    return (inspect.getdoc(source) or source.__name__).strip().split("\n\n")[0]


def ready(physics: Any) -> Any:
    """A physics that has drawn its random numbers, without the generator, which torch could not always copy."""
    for name, value in vars(physics).items():
        if isinstance(value, torch.Generator):
            setattr(physics, name, None)
    return physics

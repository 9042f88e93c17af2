"""deepinv's physics, priors and denoisers as components with their class names, such as ``deepinv:Blur``."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import Parameter
from typing import Any, ClassVar, Literal

import torch

from ...core.errors import PluginError, RecipeError
from ...core.interfaces import Blur, KernelPrior, OperatorParameterPrior, Regularizer
from ...core.operator_parameters import MaskPrior
from ...core.parameters import Positive, parameters_of
from ...core.registry import Adapter
from ...regularizers.deepinv_priors import DeepinvPrior, prior_classes
from ...regularizers.denoisers import denoiser_classes
from ...regularizers.plug_and_play import PlugAndPlay
from .arguments import (
    Argument,
    args_section,
    build_instance,
    component_signature,
    constructor_arguments,
    recipe_arguments,
)
from .physics import PhysicsOperator, physics_classes

__all__ = ["IMAGE_PHYSICS", "DeepinvAdapter", "PhysicsBlur", "PhysicsComponent", "operator_class", "regularizer_class"]


class DeepinvAdapter(Adapter):
    """deepinv's linear physics as operators, its priors and denoisers as regularizers, by their class names.

    Their parameters are those arguments of deepinv's classes that a recipe can contain. A tensor is given as nested
    lists or as the name of an .npy file.
    """

    def names(self, family: str) -> Sequence[str]:
        """The class names for a family."""
        return FAMILIES[family][0]() if family in FAMILIES else []

    def component(self, family: str, name: str) -> Any:
        """The component for a class of deepinv; raises `PluginError` if the class cannot be one."""
        return FAMILIES[family][1](name)


# Operators

PARAMETER_ARGUMENTS = {
    "Blur": "filter",
    "BlurFFT": "filter",
    "Downsampling": "filter",
    "Inpainting": "mask",
    "MRI": "mask",
    "SpaceVaryingBlur": "filters",
    "TiledSpaceVaryingBlur": "filters",
    "Upsampling": "filter",
}
"""The argument of a physics that is the operator's parameter, its second argument."""

PARAMETER_PRIORS: dict[str, type[OperatorParameterPrior]] = {"mask": MaskPrior}  # type: ignore[type-abstract]
"""The kind of prior for such an argument; a kernel prior for all others."""

OPTIONAL_PARAMETERS = ("Downsampling", "SpaceVaryingBlur", "TiledSpaceVaryingBlur", "Upsampling")
"""The physics whose parameter may also be fixed, such as the "bicubic" of Downsampling, which is no blur kernel."""

UNUSED_ARGUMENTS = {"Inpainting": ("pixelwise", "rng")}
"""Arguments that have no effect if the parameter is given."""

REFUSED_PHYSICS = {
    **dict.fromkeys(
        ("ComposedLinearPhysics", "DecomposablePhysics", "LinearPhysics"), "is made of functions or physics"
    ),
    "Pansharpen": "gives two images of different sizes",
}
"""The physics that cannot be operators, with the reason."""

PLACEHOLDERS = {"filter": torch.ones(1, 1, 1, 1)}
"""The value of a parameter at construction. ``Downsampling`` warns at every call if it was built without one."""

IMAGE_PHYSICS = (
    *("Blur", "BlurFFT", "Decolorize", "Demosaicing", "Denoising", "Downsampling", "DownsamplingMatlab", "Inpainting"),
    *("SpaceVaryingBlur", "TiledSpaceVaryingBlur", "Upsampling"),
)
"""The physics whose data are images in [0, 1]."""


class PhysicsComponent(PhysicsOperator, ABC):
    """A class of deepinv's physics, built from a recipe; `operator_class` creates the subclasses.

    Attributes:
        source: deepinv's class.
        arguments: those of its arguments that a recipe can contain.

    Args:
        parameter: the argument of deepinv's class that the operator's parameter replaces; an empty text for none.
    """

    source: ClassVar[type]
    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # the signature of each subclass names them
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        parameter = values.pop("parameter", "")
        if parameter and values.get(parameter) is not None:
            raise RecipeError(
                f"the {parameter} of deepinv's {self.source.__name__} is given, but it is also the operator's "
                "parameter; leave it out, or set parameter = ''"
            )
        placeholder = {parameter: PLACEHOLDERS[parameter]} if parameter in PLACEHOLDERS else {}
        arguments = constructor_arguments(self.arguments, values) | placeholder
        size = arguments.get("img_size")
        image_size = size if isinstance(size, tuple) and len(size) == 3 else None
        super().__init__(without_generators(build_instance(self.source, arguments)), parameter, image_size=image_size)


class PhysicsBlur(PhysicsComponent, Blur, ABC):
    """A physics that is a convolution with its parameter, which solvers may compute by Fourier transforms."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.padding = self.physics.padding


@cache
def operator_class(name: str) -> type[PhysicsComponent]:
    """The component for a class of deepinv's physics.

    Raises:
        PluginError: the physics is not linear, or a recipe cannot build it.
    """
    source = physics_classes()[name]
    if not issubclass(source, physics_classes()["LinearPhysics"]):
        raise PluginError(f"deepinv's {name} is not linear in the image, as forward operators must be")
    if name in REFUSED_PHYSICS:
        raise PluginError(
            f"deepinv's {name} {REFUSED_PHYSICS[name]}; a recipe cannot describe it; write an operator of your own"
        )
    parameter = PARAMETER_ARGUMENTS.get(name, "")
    excluded = (*UNUSED_ARGUMENTS.get(name, ()), *(() if name in OPTIONAL_PARAMETERS else (parameter,)))
    arguments = recipe_arguments(source, excluded)
    summary = (inspect.getdoc(source) or source.__name__).strip().split("\n\n")[0]
    about = f"This is deepinv's ``{name}``; its documentation has more about the parameters."
    body = {
        "__doc__": f"{summary}\n\n{about}\n\n{args_section(arguments)}",
        "__module__": source.__module__,
        "__signature__": component_signature(arguments, *parameter_choice(name, parameter)),
        "source": source,
        "arguments": arguments,
        "parameter_prior": PARAMETER_PRIORS.get(parameter, KernelPrior),
        "data_range": (0.0, 1.0) if name in IMAGE_PHYSICS else None,
    }
    return type(name, (PhysicsBlur if name == "Blur" else PhysicsComponent,), body)


def parameter_choice(name: str, parameter: str) -> list[Parameter]:
    """The keyword that names the operator's parameter, if there is one."""
    if not parameter:
        return []
    names: Any = Literal[parameter, ""] if name in OPTIONAL_PARAMETERS else Literal[parameter]
    return [Parameter("parameter", Parameter.KEYWORD_ONLY, default=parameter, annotation=names)]


def without_generators(physics: Any) -> Any:
    """Remove the generators of a physics, which has drawn its random numbers; torch cannot always copy them."""
    for name, value in vars(physics).items():
        if isinstance(value, torch.Generator):
            setattr(physics, name, None)
    return physics


# Regularizers

SIGMA = Parameter("sigma", Parameter.KEYWORD_ONLY, default=0.05, annotation=Positive)  # of `PlugAndPlay`


class NamedPrior(DeepinvPrior):
    """An explicit prior of deepinv; `regularizer_class` creates the subclasses."""

    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # the signature of each subclass names them
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        super().__init__(prior=type(self).__name__, options=constructor_arguments(self.arguments, values))


class NamedDenoiser(PlugAndPlay):
    """A denoiser of deepinv in the place of a proximal map; `regularizer_class` creates the subclasses."""

    arguments: ClassVar[tuple[Argument, ...]]

    def __init__(self, **settings: Any) -> None:  # the signature of each subclass names them
        values = parameters_of(type(self)).model_validate(settings).model_dump()
        sigma, name = values.pop("sigma"), type(self).__name__
        super().__init__(denoiser=name, settings=constructor_arguments(self.arguments, values), sigma=sigma)


def regularizer_names() -> list[str]:
    """The priors and denoisers of deepinv."""
    return sorted({*prior_classes(), *denoiser_classes()})


@cache
def regularizer_class(name: str) -> type[Regularizer]:
    """The component for a prior or denoiser; raises `PluginError` if a recipe cannot contain a required argument."""
    is_prior = name in prior_classes()
    source, base = (prior_classes()[name], NamedPrior) if is_prior else (denoiser_classes()[name], NamedDenoiser)
    arguments = recipe_arguments(source)
    role = "an explicit prior" if is_prior else "a denoiser in the place of a proximal map (plug and play)"
    general = "deepinv-prior" if is_prior else "plug-and-play"
    about = f"deepinv's ``{name}`` as {role}.\n\nThe component {general} describes its use."
    body = {
        "__doc__": f"{about}\n\n{args_section(arguments)}",
        "__module__": source.__module__,
        "__signature__": component_signature(arguments, *(() if is_prior else (SIGMA,))),
        "arguments": arguments,
    }
    return type(name, (base,), body)


FAMILIES: Mapping[str, tuple[Callable[[], Sequence[str]], Callable[[str], Any]]] = {
    "operators": (lambda: sorted(physics_classes()), operator_class),
    "regularizers": (regularizer_names, regularizer_class),
}
"""By family, the available names and the function that gives the component for a name."""

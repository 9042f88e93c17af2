"""Denoisers of deepinv, of other libraries and of the user, behind one call."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import InputError, RecipeError, first_line, reported_as
from ..core.messages import near_names
from ..core.runtime.weights import weights_only
from ..networks.random import seeded

__all__ = ["TRIAL_SIZE", "Denoiser", "denoiser_classes", "known_class", "named_denoiser", "subclasses_in"]

NOISE_NAMES = ("sigma", "sigma_denoiser", "noise", "noise_level", "std", "ths")  # of an argument with a default
TRIAL_SIZE = (64, 64)  # height and width of the images that test a prior or a denoiser
TRIAL_NOISE = 0.05  # noise level of the test
WEIGHTS_REMEDY = "connect once, give the path of its weights as weights, or use TVDenoiser"


class Denoiser:
    """A denoiser, loaded at the first use. It is no module, so that its weights are neither trained nor saved.

    Args:
        title: what errors call it.
        settings: arguments of its class.
        load: gives a module that is called with images (B, C, H, W) and a noise level or, if it has one argument only,
            with images.
        advice: what to change if it does not denoise an image.
        remedy: what to do if it cannot be loaded.
    """

    def __init__(
        self, title: str, settings: Mapping[str, Any], load: Callable[[], Any], advice: str, remedy: str = ""
    ) -> None:
        self.title, self.settings, self.load = title, dict(settings), load
        self.advice, self.remedy = advice, remedy
        self.accepted: set[int] = set()  # numbers of channels

    @torch.no_grad()
    def __call__(self, images: Tensor, sigma: float) -> Tensor:
        """Images (B, C, H, W) with noise of standard deviation ``sigma`` -> the same shape; raises `InputError`."""
        if images.shape[1] not in self.accepted:
            self.try_on(images.shape[1])
        denoiser = self.module.to(images)
        # A copy with the same weights: deepinv's TV denoisers would start from the image of the previous call.
        return torch.cat([self.applied(copy.copy(denoiser), image[None], sigma) for image in images])

    def applied(self, module: Any, image: Tensor, sigma: float) -> Tensor:
        """One image (1, C, H, W), denoised."""
        found: Tensor = module(image, sigma) if self.takes_noise else module(image)
        return found

    @cached_property
    def module(self) -> Any:
        """The denoiser, ready for use; raises `InputError`."""
        loading = reported_as(InputError, f"{self.title} cannot be loaded", self.remedy)
        with loading, seeded(0), weights_only():  # a network draws random weights before it loads its own
            return self.load().eval().requires_grad_(False)

    @cached_property
    def takes_noise(self) -> bool:
        """Whether it is told the noise level."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.module.forward).parameters.values()
        is_any = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)
        second = [one for one in parameters if one.kind in kinds][1:2]
        return is_any or any(one.default is one.empty or one.name in NOISE_NAMES for one in second)

    @torch.no_grad()
    def try_on(self, channels: int) -> None:
        """Denoise a black image; raises `InputError`. A later error is then not a fault of the settings."""
        module, trial = self.module, torch.zeros(1, channels, *TRIAL_SIZE)
        with_settings = f" with settings {self.settings}" if self.settings else ""
        refusal = f"{self.title}{with_settings} does not denoise an image of {channels} channels"
        with reported_as(InputError, refusal, self.advice):
            found = self.applied(copy.copy(module.to(trial)), trial, TRIAL_NOISE)
        if not (isinstance(found, Tensor) and found.shape == trial.shape):
            raise InputError(f"{refusal}: its result is no image of this shape; {self.advice}")
        self.accepted.add(channels)


def named_denoiser(name: str, settings: Mapping[str, Any], weights: str | None) -> Denoiser:
    """The denoiser of a name: a class of deepinv, or "module:attribute" of an installed module.

    Args:
        name: of the denoiser.
        settings: arguments of a class.
        weights: path of a file of weights; None for those that the class has.

    Raises:
        RecipeError: there is no such denoiser, or it does not accept the settings.
        InputError: the file of weights cannot be used.
    """
    module, _, attribute = name.partition(":")
    if attribute:
        return imported_denoiser(module, attribute, settings, weights)
    return deepinv_denoiser(name, settings if weights is None else {**settings, "pretrained": weights})


def denoiser_of(module: nn.Module) -> Denoiser:
    """A denoiser of the user's own module, which is copied and does not change."""
    advice = "it is called with images (B, C, H, W), or with images and a noise level, and gives images of their shape"
    return Denoiser(type(module).__name__, {}, lambda: copy.deepcopy(module), advice)


def imported_denoiser(place: str, attribute: str, settings: Mapping[str, Any], weights: str | None) -> Denoiser:
    """The denoiser at a place of an installed module: a class derived from ``torch.nn.Module``, or an instance.

    A recipe can name it, so nothing else is called: a function could do anything.

    Args:
        place: of the module, as "my_package.networks".
        attribute: of the module.
        settings: arguments of a class.
        weights: path of a file of weights; None for none.
    """
    title = f"{place}:{attribute}"
    try:
        found = getattr(import_module(place), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"there is no denoiser '{title}': {first_line(error)}; give 'module:Class'") from error
    if isinstance(found, type) and issubclass(found, nn.Module):
        check_settings(title, found, settings)
    elif not isinstance(found, nn.Module) or settings:
        what = "takes no settings" if isinstance(found, nn.Module) else "is no torch.nn.Module, and no class of them"
        raise RecipeError(f"'{title}' cannot be the denoiser: it {what}")
    advice = "change its settings, or use another denoiser"
    denoiser = Denoiser(title, settings, lambda: with_weights(built_module(found, settings), title, weights), advice)
    if weights is not None:
        _ = denoiser.module  # a wrong file is refused before any computation
    return denoiser


def built_module(found: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of an instance, or an instance of a class."""
    return copy.deepcopy(found) if isinstance(found, nn.Module) else found(**settings)


def with_weights(module: nn.Module, title: str, path: str | None) -> nn.Module:
    """A module with the weights of a file, of which numbers alone are read; raises `InputError`."""
    if path is None:
        return module
    remedy = "give a file of torch.save that holds its state_dict"
    with reported_as(InputError, f"the weights of {title} cannot be read from {path}", remedy):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(saved.get("state_dict", saved))
    return module


# deepinv


def known_class(name: str, classes: Mapping[str, Any], kind: str) -> Any:
    """One of several classes of deepinv.

    Args:
        name: of the class.
        classes: by their names.
        kind: noun for the error message, "prior" or "denoiser".

    Raises:
        RecipeError: deepinv has no such class; suggests the nearest one.
    """
    if name in classes:
        return classes[name]
    near = near_names(name, classes, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(classes)}"
    raise RecipeError(f"deepinv has no {kind} '{name}'; {hint}")


def subclasses_in(module: Any, base: type) -> dict[str, Any]:
    """The subclasses of a class in a module, by name, without the class itself."""
    members = inspect.getmembers(module, inspect.isclass)
    return {name: member for name, member in members if issubclass(member, base) and member is not base}


def denoiser_classes() -> dict[str, Any]:
    """The denoisers of deepinv by name."""
    from deepinv import models

    return subclasses_in(models, models.Denoiser)


def deepinv_denoiser(name: str, settings: Mapping[str, Any]) -> Denoiser:
    """A denoiser of deepinv; raises `RecipeError` unless it exists, accepts the settings and denoises.

    One that has weights is loaded at the first use.
    """
    source = known_class(name, denoiser_classes(), "denoiser")
    arguments = check_settings(f"deepinv's {name}", source, settings)
    has_weights = arguments.get("pretrained") not in (None, False)
    denoiser = Denoiser(
        f"deepinv's {name}",
        settings,
        lambda: source(**settings),
        "change the settings (of networks in_channels and out_channels) or use TVDenoiser",
        WEIGHTS_REMEDY if has_weights else "",
    )
    if not has_weights:  # otherwise the weights would have to be loaded now
        try:
            denoiser.try_on(1)
        except InputError as error:
            raise RecipeError(str(error)) from error
    return denoiser


def check_settings(title: str, source: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a class, with defaults; raises `RecipeError` if it does not accept the settings."""
    try:
        bound = inspect.signature(source).bind(**settings)
    except TypeError as error:
        raise RecipeError(f"{title} cannot be used with settings {dict(settings)}: {error}") from error
    bound.apply_defaults()
    return dict(bound.arguments)

"""The image as free pixels in a range of values, or as one colour."""

from __future__ import annotations

import copy
from math import isinf
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import Assignable, ImagePrior, Resizable
from ..core.parameters import validated
from ..core.ranges import UNIT_RANGE, Ranged, ValueRange
from ..numerics.framing import extend_to, new_size
from ..numerics.geometry import Shape, shape_of
from ..numerics.resampling import resample

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ConstantImage", "Initial", "Pixels", "boxed", "starting_image"]

SIGMOID_MARGIN = 1e-3  # distance of starting values from 0 and 1, which a sigmoid cannot reach

Initial = Literal["data", "grey"]


class Pixels(ImagePrior, Assignable, Resizable, Ranged):
    """Free pixels: the prior can give every image in its range and prefers none; regularizers express preferences.

    ``parametrization="clamp"`` clamps free numbers. A plain clamp has no gradient outside the box. This one keeps the
    gradients that lead back into it, so that descent is projected descent. ``"sigmoid"`` is smooth, and slow near 0
    and 1.

    Args:
        shape: (B, C, H, W).
        start: the data, (B, C, H', W') with H' <= H and W' <= W; needed for ``initial="data"``. If they are smaller
            than the image, as under a valid convolution, their edge pixels continue them on all sides.
        parametrization: how free numbers become pixels of the range.
        initial: the starting image: the data, or 0.5 everywhere.
        range: lowest and highest value of a pixel, in the units of the data that the solver sees; ``-inf`` and ``inf``
            for no bound. In a recipe, a bound that differs from [0, 1] replaces the one that follows from the data.

    Raises:
        InputError: ``initial="data"`` and ``start`` is missing, not finite, larger than the image, or has another
            batch or number of channels; or the range is empty, or has no bounds for a sigmoid.

    Example:
        >>> Pixels((1, 1, 2, 2), torch.tensor([[[[-0.5, 0.25], [0.5, 2.0]]]]))().tolist()
        [[[[0.0, 0.25], [0.5, 1.0]]]]
        >>> Pixels((1, 1, 1, 2), torch.tensor([[[[-0.5, 2.0]]]]), range=(float("-inf"), 1.5))().tolist()
        [[[[-0.5, 1.5]]]]
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        parametrization: Literal["clamp", "sigmoid"] = "clamp",
        initial: Initial = "data",
        range: ValueRange = UNIT_RANGE,  # noqa: A002 - the field's word
    ) -> None:
        super().__init__(shape)
        check_bounds(range, parametrization)
        self.parametrization = parametrization
        self.range = range
        self.free = nn.Parameter(
            self.freed(starting_image(start, shape, initial=initial, prior="pixels", within=range))
        )

    def forward(self) -> Tensor:
        """Give the image, (B, C, H, W), within the range."""
        low, high = self.range
        return (
            self.free.sigmoid() * (high - low) + low
            if self.parametrization == "sigmoid"
            else boxed(self.free, self.range)
        )

    def assigned(self, value: Tensor) -> Self:
        """Return pixels of an image (B, C, H, W) of any size, clamped to the range (a sigmoid: its inner 99.8 %)."""
        free = nn.Parameter(self.freed(value.detach().clamp(*self.range)), self.free.requires_grad)
        pixels = copy.deepcopy(self, {id(self.free): free})  # the copy takes these numbers instead of the old ones
        pixels.shape = shape_of(value)
        return pixels

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the image resampled about its centre; raises `InputError` for another batch or number of channels."""
        return self.assigned(resample(self().detach(), new_size(self.shape, shape), scale))

    def in_range(self, low: float, high: float) -> Self:
        """Return the same image within [low, high]; raises `InputError` as the constructor."""
        check_bounds((low, high), self.parametrization)
        pixels = copy.copy(self)
        pixels.range = low, high
        return pixels.assigned(self().detach())

    def freed(self, image: Tensor) -> Tensor:
        """Return the free numbers of an image within the range."""
        low, high = self.range
        return image if self.parametrization == "clamp" else ((image - low) / (high - low)).logit(SIGMOID_MARGIN)


class ConstantImage(ImagePrior):
    """One colour for the whole image, such as the airlight of a hazy scene or the light of a veil.

    Args:
        shape: (B, C, H, W).
        start: the data, (B, C, H', W') with H' <= H and W' <= W; needed for ``initial="data"``.
        initial: the starting colour: the mean of the data, or 0.5.
        fixed: whether the colour stays at its starting value; otherwise it is an unknown.

    Raises:
        InputError: as `Pixels`.
    """

    @validated
    def __init__(
        self, shape: Shape, start: Tensor | None = None, *, initial: Initial = "data", fixed: bool = False
    ) -> None:
        super().__init__(shape)
        image = starting_image(start, shape, initial=initial, prior="constant")
        self.colour = nn.Parameter(image.mean((-2, -1), keepdim=True), requires_grad=not fixed)

    def forward(self) -> Tensor:
        """Give the image, (B, C, H, W), in [0, 1]."""
        return boxed(self.colour).expand(self.shape)


def check_bounds(value_range: ValueRange, parametrization: str) -> None:
    """Refuse a range without values, and one without bounds for a sigmoid; raises `InputError`.

    Args:
        value_range: of the pixels.
        parametrization: "clamp" or "sigmoid".
    """
    low, high = value_range
    if not low < high:
        raise InputError(f"the range of pixels must rise, got [{low:g}, {high:g}]")
    if parametrization == "sigmoid" and (isinf(low) or isinf(high)):
        raise InputError(f"a sigmoid needs a finite range, got [{low:g}, {high:g}]; set parametrization to 'clamp'")


def boxed(free: Tensor, value_range: ValueRange = UNIT_RANGE) -> Tensor:
    """Clamp free numbers to a range; the gradient vanishes only where descent would leave it."""
    image: Tensor = _Box.apply(free, value_range)
    return image


class _Box(torch.autograd.Function):
    """The function `boxed` with its gradient."""

    @staticmethod
    def forward(ctx: Any, free: Tensor, value_range: ValueRange) -> Tensor:
        ctx.save_for_backward(free)
        ctx.range = value_range
        return free.clamp(*value_range)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (free,), (gradient,), (low, high) = ctx.saved_tensors, gradients, ctx.range
        outward = ((free <= low) & (gradient > 0)) | ((free >= high) & (gradient < 0))
        return gradient.masked_fill(outward, 0), None


def starting_image(
    data: Tensor | None, shape: Shape, *, initial: Initial, prior: str, within: ValueRange = UNIT_RANGE
) -> Tensor:
    """Return the data as an image within a range, or a grey image, on the CPU in the default floating type.

    Args:
        data: (B, C, H', W') with H' <= H and W' <= W; their edge pixels continue them on all sides.
        shape: (B, C, H, W) of the image.
        initial: "data" or "grey".
        prior: registered name of the prior, for error messages.
        within: the range.

    Raises:
        InputError: ``initial="data"`` and the data are missing, not finite, larger than the image, or have another
            batch or number of channels.
    """
    if initial == "grey":
        return torch.full(shape, 0.5).clamp(*within)
    if data is None:
        raise InputError(f"the image prior '{prior}' starts from the data, but none are given; set initial to 'grey'")
    fits = (
        data.ndim == 4 and data.shape[:2] == shape[:2] and all(d <= s for d, s in zip(data.shape, shape, strict=True))
    )
    if not fits:
        raise InputError(
            f"the image prior '{prior}' cannot start an image of {tuple(shape)} from data of {tuple(data.shape)}; "
            "set initial to 'grey'"
        )
    if not bool(torch.isfinite(data).all()):
        raise InputError("the data contain NaN or infinite values; mask or replace them first")
    image = data.detach().to("cpu", torch.get_default_dtype(), copy=True).clamp(*within)
    return extend_to(image, (shape[-2], shape[-1]))

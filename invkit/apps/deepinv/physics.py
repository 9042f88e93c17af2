"""An instance of deepinv's linear physics as a forward operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ...core.interfaces import ForwardOperator
from ...numerics.geometry import Shape, Size, shape_of
from .calls import as_data, drawn, in_one_precision, like_of, physics_classes, throwaway

__all__ = ["PhysicsOperator"]

EXACT = 1e-10  # of the dot test in float64


@dataclass(frozen=True)
class Law:
    """What holds for data and unknowns of some shapes.

    Attributes:
        image: shape of the image.
        measured: shape of the data as deepinv has them.
        exact: whether the physics' own adjoint is one.
    """

    image: Shape
    measured: tuple[int, ...]
    exact: bool


class PhysicsOperator(ForwardOperator):
    """``y = A(x)`` by an instance of deepinv's linear physics, without its noise; one argument of A may be the unknown.

    deepinv's physics store what they are called with. Here every call is made on a copy that shares all tensors, with
    places of its own for them, and is thrown away: it stores nothing, and what the physics derives from its argument
    (the spectrum of ``BlurFFT``) is derived from the one given. ``torch.func.functional_call`` would leave that stale.
    Tensors of the physics are cast to the image's precision.

    Data are (B, C, H, W); those that deepinv has as (B, M) or (B, C, M) are here (B, 1, 1, M) or (B, 1, C, M), and of
    five and more dimensions all between the first and the last two are one.

    What image such data have is asked of the physics, once for each shape, by its adjoint or the size that it was
    built for. The same two calls tell whether that is an adjoint (the dot test, in float64): deepinv's is not for
    kernels without a margin under some paddings. Where it is none, the adjoint is A's vector-Jacobian product, which
    takes about twice as long.

    Args:
        physics: linear in the image.
        parameter: name of the argument of A that is the unknown; an empty text where it has none, and what is given as
            the second argument is not looked at.
        image_size: (C, H, W) that it was built for, if for one.
        measured: shape of its data without the batch, where these are not (C, H, W).
    """

    data_range = None  # noise may leave [0, 1]

    def __init__(
        self,
        physics: nn.Module,
        parameter: str = "",
        *,
        image_size: tuple[int, ...] | None = None,
        measured: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.physics: Any = physics
        self.parameter = parameter
        self.image_size, self.measured = image_size, measured
        self.laws: dict[tuple[Shape, Shape], Law] = {}  # found so far

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and the unknown -> data (B, C', H', W'); differentiable in both.

        Raises:
            InputError: the physics gives no real tensor.
        """
        image, kernel = in_one_precision(image, kernel)
        with torch.autocast(image.device.type, enabled=False):
            return as_data(self.name, self.at_hand(image).A(image, **self.given(kernel)))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C', H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>`` for the same unknown.

        Raises:
            InputError: see `image_shape`.
        """
        data, kernel = in_one_precision(data, kernel)
        law = self.law(shape_of(data), shape_of(kernel))
        if not law.exact:
            return self.transposed(data, kernel, law.image)
        with torch.autocast(data.device.type, enabled=False):
            back: Tensor = self.at_hand(data).A_adjoint(data.reshape(law.measured), **self.given(kernel))
        return back

    def transposed(self, data: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        """The adjoint as A's vector-Jacobian product; no gradient passes."""
        with torch.enable_grad():
            nothing = data.new_zeros(shape, requires_grad=True)
            (back,) = torch.autograd.grad(self(nothing, kernel.detach()), nothing, data.detach())
        return back

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """The shape of the image that gives such data.

        Raises:
            InputError: the physics does not take data, or an unknown, of these shapes, or does not look at the unknown.
        """
        return self.law(data_shape, kernel_shape).image

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """Kernels (B, 1, h, w), or as many as the physics has (K, 1, h, w); a mask (B, 1, H', W')."""
        if self.parameter == "filters":
            return self.filters(data_shape, kernel_size), 1, *kernel_size
        size = data_shape[2:] if self.parameter == "mask" else kernel_size
        return data_shape[0], 1, *size

    def filters(self, data_shape: Shape, kernel_size: Size) -> int:
        """How many kernels the physics has."""
        if isinstance(self.physics, physics_classes()["TiledSpaceVaryingBlur"]):
            height, width = (data_shape[2 + i] + kernel_size[i] - 1 for i in range(2))
            rows, columns = self.physics.num_filters((height, width), self.physics.patch_size, self.physics.stride)
            return int(rows * columns)
        if self.physics.multipliers is None:
            raise InputError(f"deepinv's {self.name} needs its multipliers (1, 1, K, H, W); give them, as an .npy file")
        return int(self.physics.multipliers.shape[2])

    def law(self, data_shape: Shape, kernel_shape: Shape) -> Law:
        """What holds for these shapes; raises as `image_shape`."""
        key = (*data_shape[:4],), (*kernel_shape[:4],)
        if key not in self.laws:
            with torch.no_grad():
                self.laws[key] = self.asked(*key)
        return self.laws[key]

    def asked(self, data_shape: Shape, kernel_shape: Shape) -> Law:
        """Try the shapes that the image may have."""
        like = like_of(self.physics)
        kernel = self.parameter_prior.allowed(drawn(kernel_shape, like))
        reasons = []
        for guess in self.guesses(data_shape, kernel, like):
            try:
                image = drawn(guess(), like)
                seen = self.at_hand(like).A(image, **self.given(kernel))
                fits = image.ndim == 4 and tuple(as_data(self.name, seen).shape) == data_shape
            except Exception as error:  # deepinv does not say in advance what it cannot do
                reasons.append(f"{type(error).__name__}: {error}")
                continue
            if fits:
                self.check_parameter_prior(image, seen, kernel)
                return Law(shape_of(image), tuple(seen.shape), self.has_adjoint(image, seen, kernel))
            reasons.append(f"an image of {tuple(image.shape)} gives data of {tuple(seen.shape)}")
        told = f" with a {self.parameter} of {tuple(kernel_shape)}" if self.parameter else ""
        raise InputError(
            f"deepinv's {self.name} has no image for data of {tuple(data_shape)}{told}: "
            f"{'; '.join(dict.fromkeys(reasons))}"
        )

    def guesses(self, data_shape: Shape, kernel: Tensor, like: Tensor) -> Iterator[Callable[[], tuple[int, ...]]]:
        """Ways to the shape of the image."""
        batch, *rest = data_shape
        if self.image_size is not None:
            size = self.image_size
            yield lambda: (batch, *size)
        data = drawn((batch, *(self.measured or rest)), like)
        yield lambda: self.at_hand(like).A_adjoint(data, **self.given(kernel)).shape
        yield lambda: data_shape

    def check_parameter_prior(self, image: Tensor, seen: Tensor, kernel: Tensor) -> None:
        """Refuse a physics that takes its argument and does not look at it; raises `InputError`."""
        if self.parameter and torch.equal(self.at_hand(image).A(image, **self.given(kernel + 1)), seen):
            raise InputError(
                f"deepinv's {self.name} does not look at the {self.parameter} that it is called with, so that it could "
                "not be found; take another physics, as deepinv:Blur"
            )

    def has_adjoint(self, image: Tensor, seen: Tensor, kernel: Tensor) -> bool:
        """Whether the physics' own adjoint passes the dot test; raises `InputError` where A's gradient would not."""
        data = drawn(tuple(seen.shape), seen, seed=1)
        ways: list[Callable[[], Tensor]] = [
            lambda: self.at_hand(image).A_adjoint(data, **self.given(kernel)),
            lambda: self.transposed(as_data(self.name, data), kernel, shape_of(image)),
        ]
        for way in ways:
            try:
                difference = (seen * data).sum() - (image * way()).sum()
            except Exception:  # there may be none, or none for these shapes
                continue
            if bool(difference.abs() <= EXACT * seen.norm() * data.norm()):
                return way is ways[0]
        raise InputError(
            f"neither the adjoint of deepinv's {self.name} nor the gradient of its A is the transpose of A; set its "
            "parameters otherwise, as adjoint_via_backprop of Tomography"
        )

    def given(self, kernel: Tensor) -> dict[str, Tensor]:
        """The unknown as deepinv takes it."""
        if not self.parameter:
            return {}
        return {self.parameter: kernel.transpose(0, 1)[None] if self.parameter == "filters" else kernel}

    def at_hand(self, like: Tensor) -> Any:
        """The physics, to be used once; on the device and in the precision of a tensor."""
        return throwaway(self.physics, like)

    @property
    def name(self) -> str:
        """Of the physics' class."""
        return type(self.physics).__name__

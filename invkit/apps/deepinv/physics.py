"""An instance of deepinv's linear physics as a forward operator, without changes to the instance."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ...core.interfaces import LinearOperator
from ...numerics.geometry import Shape, Size, shape_of

__all__ = ["PhysicsOperator", "as_real_data", "physics_classes", "temporary_copy"]

DOT_TEST_TOLERANCE = 1e-10  # in float64


@dataclass(frozen=True)
class PhysicsShapes:
    """Facts about a physics for data and a parameter of given shapes.

    Attributes:
        image: shape of the image.
        measured: shape of the data in deepinv.
        adjoint_is_exact: whether the physics' own adjoint passes the dot test.
    """

    image: Shape
    measured: tuple[int, ...]
    adjoint_is_exact: bool


class PhysicsOperator(LinearOperator):
    """``y = A(x)`` with deepinv's linear physics, without its noise; one argument of A may be the operator's parameter.

    deepinv's physics store the arguments of their calls. Here every call uses a temporary copy, which shares all
    tensors but has its own attributes. So the physics stores nothing. Everything that it derives from an argument (the
    spectrum of ``BlurFFT``) belongs to that argument; ``torch.func.functional_call`` would use a stale spectrum. The
    tensors of the physics are cast to the precision of the image.

    Data are (B, C, H, W). deepinv's data (B, M) or (B, C, M) are (B, 1, 1, M) or (B, 1, C, M) here; of five and more
    dimensions, all between the first and the last two are flattened.

    The image shape for given data is found once per shape, by the physics' adjoint or its constructed size. The same
    two calls test the adjoint (dot test in float64): for kernels without a margin, deepinv's adjoint is wrong under
    some paddings. A wrong adjoint is replaced by A's vector-Jacobian product, which takes about twice as long.

    Args:
        physics: linear in the image.
        parameter: name of the argument of A that is the operator's parameter. With an empty text there is none, and the
            second argument of a call is ignored.
        image_size: (C, H, W) for which the physics was built, if there is one.
        measured: shape of its data without the batch, if it is not (C, H, W).
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
        self.known_shapes: dict[tuple[Shape, Shape], PhysicsShapes] = {}

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and the parameter -> data (B, C', H', W'); differentiable in both.

        Raises:
            InputError: the physics does not give a real tensor.
        """
        image, kernel = in_one_precision(image, kernel)
        with torch.autocast(image.device.type, enabled=False):
            return as_real_data(self.name, self.copy_like(image).A(image, **self.keyword(kernel)))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C', H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>`` for the same parameter.

        Raises:
            InputError: see `image_shape`.
        """
        data, kernel = in_one_precision(data, kernel)
        shapes = self.shapes(shape_of(data), shape_of(kernel))
        if not shapes.adjoint_is_exact:
            return self.adjoint_by_autograd(data, kernel, shapes.image)
        with torch.autocast(data.device.type, enabled=False):
            measured = data.reshape(shapes.measured)
            image: Tensor = self.copy_like(data).A_adjoint(measured, **self.keyword(kernel))
        return image

    def adjoint_by_autograd(self, data: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        """The adjoint as A's vector-Jacobian product, without gradients.

        Args:
            data: (B, C', H', W').
            kernel: the parameter.
            shape: (B, C, H, W) of the image.
        """
        with torch.enable_grad():
            zero_image = data.new_zeros(shape, requires_grad=True)
            (image,) = torch.autograd.grad(self(zero_image, kernel.detach()), zero_image, data.detach())
        return image

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """The shape of the image for such data.

        Raises:
            InputError: the physics does not accept data or a parameter of these shapes, or ignores the parameter.
        """
        return self.shapes(data_shape, kernel_shape).image

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """Kernels (B, 1, h, w), or as many as the physics has (K, 1, h, w); a mask (B, 1, H', W')."""
        if self.parameter == "filters":
            return self.filter_count(data_shape, kernel_size), 1, *kernel_size
        size = data_shape[2:] if self.parameter == "mask" else kernel_size
        return data_shape[0], 1, *size

    def filter_count(self, data_shape: Shape, kernel_size: Size) -> int:
        """The number of kernels of the physics."""
        if isinstance(self.physics, physics_classes()["TiledSpaceVaryingBlur"]):
            height, width = (data_shape[2 + i] + kernel_size[i] - 1 for i in range(2))
            rows, columns = self.physics.num_filters((height, width), self.physics.patch_size, self.physics.stride)
            return int(rows * columns)
        if self.physics.multipliers is None:
            raise InputError(f"deepinv's {self.name} needs its multipliers (1, 1, K, H, W); give them, as an .npy file")
        return int(self.physics.multipliers.shape[2])

    def shapes(self, data_shape: Shape, kernel_shape: Shape) -> PhysicsShapes:
        """The facts for these shapes, found once; raises as `image_shape`."""
        key = (*data_shape[:4],), (*kernel_shape[:4],)
        if key not in self.known_shapes:
            with torch.no_grad():
                self.known_shapes[key] = self.find_shapes(*key)
        return self.known_shapes[key]

    def find_shapes(self, data_shape: Shape, kernel_shape: Shape) -> PhysicsShapes:
        """Try the possible shapes of the image, one after the other."""
        like = float64_like(self.physics)
        kernel = self.parameter_prior.allowed(uniform_random(kernel_shape, like))
        reasons = []
        for guess in self.image_shape_guesses(data_shape, kernel, like):
            try:
                image = uniform_random(guess(), like)
                seen = self.copy_like(like).A(image, **self.keyword(kernel))
                fits = image.ndim == 4 and tuple(as_real_data(self.name, seen).shape) == data_shape
            except Exception as error:  # deepinv does not document which shapes it refuses
                reasons.append(f"{type(error).__name__}: {error}")
                continue
            if fits:
                self.check_parameter_is_used(image, seen, kernel)
                return PhysicsShapes(shape_of(image), tuple(seen.shape), self.has_exact_adjoint(image, seen, kernel))
            reasons.append(f"an image of {tuple(image.shape)} gives data of {tuple(seen.shape)}")
        parameter = f" with a {self.parameter} of {tuple(kernel_shape)}" if self.parameter else ""
        raise InputError(
            f"deepinv's {self.name} has no image for data of {tuple(data_shape)}{parameter}: "
            f"{'; '.join(dict.fromkeys(reasons))}"
        )

    def image_shape_guesses(
        self, data_shape: Shape, kernel: Tensor, like: Tensor
    ) -> Iterator[Callable[[], tuple[int, ...]]]:
        """Functions that may give the shape of the image.

        Args:
            data_shape: (B, C', H', W').
            kernel: the parameter.
            like: gives precision and device of the trial data.
        """
        batch, *rest = data_shape
        if self.image_size is not None:
            size = self.image_size
            yield lambda: (batch, *size)
        data = uniform_random((batch, *(self.measured or rest)), like)
        yield lambda: self.copy_like(like).A_adjoint(data, **self.keyword(kernel)).shape
        yield lambda: data_shape

    def check_parameter_is_used(self, image: Tensor, seen: Tensor, kernel: Tensor) -> None:
        """Refuse a physics that accepts its parameter but ignores it; raises `InputError`.

        Args:
            image: (B, C, H, W).
            seen: the data of the image and the parameter.
            kernel: the parameter.
        """
        if self.parameter and torch.equal(self.copy_like(image).A(image, **self.keyword(kernel + 1)), seen):
            raise InputError(
                f"deepinv's {self.name} ignores the {self.parameter} of a call, so that it cannot be estimated; use "
                "another physics, such as deepinv:Blur"
            )

    def has_exact_adjoint(self, image: Tensor, seen: Tensor, kernel: Tensor) -> bool:
        """Whether the physics' own adjoint passes the dot test; raises `InputError` if A's gradient fails it, too.

        Args:
            image: (B, C, H, W).
            seen: the data of the image and the parameter.
            kernel: the parameter.
        """
        data = uniform_random(tuple(seen.shape), seen, seed=1)
        adjoints: list[Callable[[], Tensor]] = [
            lambda: self.copy_like(image).A_adjoint(data, **self.keyword(kernel)),
            lambda: self.adjoint_by_autograd(as_real_data(self.name, data), kernel, shape_of(image)),
        ]
        for adjoint in adjoints:
            try:
                difference = (seen * data).sum() - (image * adjoint()).sum()
            except Exception:  # there may be no adjoint, or none for these shapes
                continue
            if bool(difference.abs() <= DOT_TEST_TOLERANCE * seen.norm() * data.norm()):
                return adjoint is adjoints[0]
        raise InputError(
            f"neither the adjoint of deepinv's {self.name} nor the gradient of its A is the transpose of A; change its "
            "parameters, such as adjoint_via_backprop of Tomography"
        )

    def keyword(self, kernel: Tensor) -> dict[str, Tensor]:
        """The parameter as deepinv's A expects it."""
        if not self.parameter:
            return {}
        return {self.parameter: kernel.transpose(0, 1)[None] if self.parameter == "filters" else kernel}

    def copy_like(self, like: Tensor) -> Any:
        """A copy of the physics for one call, on the device and in the precision of a tensor."""
        return temporary_copy(self.physics, like)

    @property
    def name(self) -> str:
        """The name of the physics' class."""
        return type(self.physics).__name__


@cache
def physics_classes() -> dict[str, Any]:
    """The physics of deepinv by name, linear or not."""
    from deepinv import physics

    members = inspect.getmembers(physics, inspect.isclass)
    return {name: member for name, member in members if issubclass(member, physics.Physics)}


def temporary_copy(module: nn.Module, like: Tensor) -> Any:
    """A copy with its own attributes that shares every tensor, except for precision and device."""
    copied = module.__new__(type(module))
    precision = {name: like.dtype for name, value in vars(module).items() if is_floating_dtype(value)}
    copied.__dict__.update(vars(module), **precision)
    for place in ("_parameters", "_buffers"):
        copied.__dict__[place] = {name: cast(value, like) for name, value in vars(module)[place].items()}
    children = module._modules.items()
    copied.__dict__["_modules"] = {k: None if child is None else temporary_copy(child, like) for k, child in children}
    return copied


def cast(value: Tensor | None, like: Tensor) -> Tensor | None:
    """A tensor of a physics on another device; floating-point and complex numbers also in another precision."""
    if value is None or not (value.is_floating_point() or value.is_complex()):
        return value if value is None else value.to(like.device)
    return value.to(like.device, like.dtype.to_complex() if value.is_complex() else like.dtype)


def is_floating_dtype(value: object) -> bool:
    """Whether a value is a precision to which a physics may cast its data."""
    return isinstance(value, torch.dtype) and value.is_floating_point


def float64_like(module: nn.Module) -> Tensor:
    """An empty float64 tensor on the device of a module; on the CPU if the device has no float64."""
    device = next(chain(module.buffers(), module.parameters()), torch.empty(0)).device
    return torch.empty(0, dtype=torch.float64, device="cpu" if device.type == "mps" else device)


def uniform_random(shape: tuple[int, ...], like: Tensor, seed: int = 0) -> Tensor:
    """Uniform random numbers in [0, 1).

    Args:
        shape: of the result.
        like: gives precision and device.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(tuple(shape), generator=generator, dtype=torch.float64).to(like)


def in_one_precision(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision, at least float32."""
    dtype = torch.promote_types(torch.promote_types(image.dtype, kernel.dtype), torch.float32)
    return image.to(dtype), kernel.to(dtype)


def as_real_data(name: str, measured: Any) -> Tensor:
    """The data of the physics ``name`` as (B, C, H, W); raises `InputError` unless they are one real tensor."""
    if not isinstance(measured, Tensor) or measured.is_complex() or measured.ndim < 2:
        kind = f"{measured.dtype} of shape {tuple(measured.shape)}" if isinstance(measured, Tensor) else type(measured)
        raise InputError(f"deepinv's {name} gives {kind}; data must be one tensor of real numbers for each image")
    batch, *rest = measured.shape
    if len(rest) < 3:
        return measured.reshape(batch, *(1 for _ in range(3 - len(rest))), *rest)
    return measured.flatten(1, -3)

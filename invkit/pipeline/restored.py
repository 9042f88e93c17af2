"""The restored picture: its size, its colours, its distance from the truth; and what is returned beside it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..core.interfaces import ForwardOperator
from ..core.operator_parameters import ComplexImage, PartlySeen, Stacked
from ..core.problem import Problem
from ..core.result import KERNEL, Array
from ..media.colour import from_luma_chroma, to_luma_chroma
from ..media.layouts import Layout, without_single_batch
from ..numerics.framing import visible_part, visible_size
from ..numerics.geometry import Size, shape_of, size_of
from .assemble import Assembly
from .input_image import resized_planes
from .stages import Stage

__all__ = [
    "before_solve",
    "parameter_in_layout",
    "psnr",
    "psnr_before_and_after",
    "restored_color",
    "restored_size",
    "stack_under",
    "variances_in_layout",
    "visible_image",
    "with_chroma",
]

COMPLEX_CHANNELS = 2  # real and imaginary part


def restored_size(assembly: Assembly, last: Stage) -> Size:
    """(height, width) of the image that is returned."""
    problem, data = assembly.problem, last.data
    if isinstance(problem.operator, Stacked):
        return size_of(data)
    image = problem.operator.image_shape(shape_of(data), problem.kernel_prior.shape)
    return visible_size(image[2:], size_of(data), problem.kernel_prior.shape[2:])


def visible_image(operator: ForwardOperator, image: Tensor, data: Tensor, kernel: Tensor) -> Tensor:
    """The part of a restored image (B, C, H, W) that data depend on.

    Args:
        operator: of the data.
        image: the restored image.
        data: (B, C, H', W').
        kernel: the operator's parameter.
    """
    if isinstance(operator, Stacked):
        return operator.visible(image, shape_of(data))
    plane = visible_part(image, size_of(data), size_of(kernel))
    return plane * operator.seen(kernel) if isinstance(operator, PartlySeen) else plane


def stack_under(operator: ForwardOperator, image: Tensor, data: Tensor) -> Tensor:
    """The part of a stack that lies under data; an image that is no stack as it is.

    Args:
        operator: of the data.
        image: (B, C, H, W).
        data: (B, D, H', W').
    """
    return operator.visible(image, shape_of(data)) if isinstance(operator, Stacked) else image


def with_chroma(plane: Tensor, chroma: Tensor | None) -> Tensor:
    """A restored luma with the chroma that was kept, on its grid; without chroma the plane itself."""
    return plane if chroma is None else from_luma_chroma(plane, resized_planes(chroma, size_of(plane)))


def restored_color(stage: Stage) -> str:
    """What a stage restores of its picture: "luma", "rgb" or, without colour, "grey"."""
    return "luma" if stage.chroma is not None else "rgb" if stage.data.shape[1] == 3 else "grey"


def psnr_before_and_after(operator: ForwardOperator, before: Tensor, after: Tensor, truth: Tensor) -> dict[str, float]:
    """`psnr` of a picture before and after its restoration; of complex images that of the magnitudes.

    Of a stack it is that of all voxels, without alignment.

    Args:
        operator: of the data.
        before: (B, C, H, W) in [0, 1].
        after: (B, C, H, W) in [0, 1].
        truth: (1, C, H, W) in [0, 1].
    """
    if isinstance(operator, Stacked):
        return {"before": psnr_of_voxels(before, truth), "after": psnr_of_voxels(after, truth)}
    if isinstance(operator, ComplexImage) and operator.has_complex_image:
        before, after, truth = (magnitude(one) for one in (before, after, truth))
    return {"before": psnr(before, truth), "after": psnr(after, truth)}


def psnr_of_voxels(stack: Tensor, truth: Tensor) -> float:
    """PSNR of two stacks (B, D, H, W), dB."""
    return float(-10 * (stack - truth).square().mean().log10())


def magnitude(image: Tensor) -> Tensor:
    """That of real and imaginary part (B, 2, H, W), as (B, 1, H, W); an image (B, 1, H, W) as it is."""
    return image.square().sum(1, keepdim=True).sqrt() if image.shape[1] == COMPLEX_CHANNELS else image


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Shift-aligned PSNR of the luma of one picture, in dB (Levin's protocol)."""
    from ..numerics.registration import aligned_psnr

    luma, reference = (to_luma_chroma(x)[0] if x.shape[1] == 3 else x for x in (picture, truth))
    border = min(15, min(truth.shape[-2:]) // 4)  # the protocol's 15, or less for a small picture
    return aligned_psnr(luma[0, 0], reference[0, 0], border=border, max_shift=min(5, border))


def variances_in_layout(found: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Posterior variances as arrays, or as tensors if the input was one, without the batch if that is one."""
    values = {name: torch.as_tensor(value) for name, value in found.items()}
    values |= {KERNEL: values[KERNEL][:, 0]} if KERNEL in values else {}
    return {name: without_single_batch(value, layout) for name, value in values.items()}


def parameter_in_layout(value: Tensor, layout: Layout, *, are_kernels: bool) -> Array:
    """The operator's parameter as an array, or as a tensor if the input was one; kernels sum to one in float64.

    Args:
        value: (B, 1, h, w), or another parameter (B, ...).
        layout: of the input.
        are_kernels: whether the values are kernels.
    """
    if are_kernels:
        value = value[:, 0].double()
        value = value / value.sum((-2, -1), keepdim=True)  # float32 sums to one within 1e-6 only
    return without_single_batch(value, layout)


def before_solve(problem: Problem, picture: Tensor, last: Stage) -> Tensor:
    """The scene before the solve: the input, or the operator's initial image if the data are no such picture.

    Args:
        problem: of the first stage.
        picture: the data, (B, C, H, W).
        last: the stage whose image is returned.
    """
    initial = problem.operator.initial_image(last.data, problem.kernel_prior().detach().to(last.data))
    if problem.operator.data_range is not None and size_of(initial) == size_of(picture):
        return picture
    whole = with_chroma(stack_under(problem.operator, initial, last.data), last.chroma)
    return whole.clamp(last.image_range[0], max(1.0, last.image_range[1]))

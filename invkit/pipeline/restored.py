"""The restored picture: its size, its colours, and its distance from the truth."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import ForwardOperator
from ..core.operator_parameters import PartlySeen, Stacked
from ..media.colour import from_luma_chroma, to_luma_chroma
from ..numerics.framing import visible_part, visible_size
from ..numerics.geometry import Size, shape_of, size_of
from .assemble import Assembly
from .input_image import resized_planes
from .stages import Stage

__all__ = ["psnr", "restored_color", "restored_size", "stack_under", "visible_image", "with_chroma"]

COLOURS = 3  # more channels are planes


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
    """The part of a stack that lies under data (B, D, H, W); an image that is no stack as it is."""
    return operator.visible(image, shape_of(data)) if isinstance(operator, Stacked) else image


def with_chroma(plane: Tensor, chroma: Tensor | None) -> Tensor:
    """A restored luma with the chroma that was kept, on its grid; without chroma the plane itself."""
    return plane if chroma is None else from_luma_chroma(plane, resized_planes(chroma, size_of(plane)))


def restored_color(stage: Stage) -> str:
    """What a stage restores of its picture: "luma", "rgb" or, without colour, "grey"."""
    return "luma" if stage.chroma is not None else "rgb" if stage.data.shape[1] == 3 else "grey"


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Shift-aligned PSNR of the luma of one picture, in dB (Levin's protocol); of a stack of all voxels, unaligned."""
    if picture.shape[1] > COLOURS:
        return float(-10 * (picture - truth).square().mean().log10())
    from ..numerics.registration import aligned_psnr

    luma, reference = (to_luma_chroma(x)[0] if x.shape[1] == 3 else x for x in (picture, truth))
    border = min(15, min(truth.shape[-2:]) // 4)  # the protocol's 15, or less for a small picture
    return aligned_psnr(luma[0, 0], reference[0, 0], border=border, max_shift=min(5, border))

"""The files and arrays of a run, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core import registry
from ..core.errors import InputError
from ..core.files import read_array, sha256_of
from ..core.interfaces import ForwardOperator, KernelPrior, LinearOperator
from ..core.operator_parameters import MeasuredPixels, Stacked
from ..core.result import Array
from ..media.images import Layout, read_image, to_bchw
from ..media.kernels import as_kernel, read_kernel
from ..media.layouts import batched
from ..media.masks import as_measured_pixels, check_not_inverted, read_measured_pixels
from ..numerics.geometry import Size, size_of
from ..recipes.model import Recipe
from .input_image import FLOAT_BITS, SINGLE_PRECISION, InputImage, scaled_to_unit
from .variances import read_variance, with_unmeasured_filled

__all__ = [
    "ArrayOrFile",
    "ImageInput",
    "Inputs",
    "check_truth",
    "read_input_image",
    "read_inputs",
    "read_operator_parameter",
    "source_of",
]

ArrayOrFile: TypeAlias = Array | str | Path
ImageInput: TypeAlias = ArrayOrFile | Sequence[ArrayOrFile]
"""One image, or several of the same size in a list or tuple."""

NO_VALUES = np.empty((0, 0, 0))


@dataclass(frozen=True)
class Inputs:
    """All that a run reads.

    Attributes:
        image: the measured data.
        parameter: the operator's parameter, a kernel (B, 1, h, w) or another one; None if it was not given.
        truth: the true image (1, C, H, W), in the data's units; None if it was not given.
        variance: of the given data, (B or 1, C or 1, H, W), infinite where nothing was measured; None if not given.
        sources: name, path and SHA-256 of the files, by "image", "kernel", "truth" and "variance"; None for arrays.
        files: the paths of all files.
    """

    image: InputImage
    parameter: Tensor | None
    truth: Tensor | None
    sources: dict[str, Any]
    files: tuple[Path, ...]
    variance: Tensor | None = None

    @classmethod
    def read(
        cls,
        image: ImageInput,
        kernel: ArrayOrFile | None,
        truth: ArrayOrFile | None,
        operator: type[ForwardOperator] | None,
        white: float | None = None,
        variance: ArrayOrFile | None = None,
    ) -> Inputs:
        """Read image, kernel, truth and variances.

        Args:
            image: file, array or tensor, or several.
            kernel: the operator's parameter, if it is known or approximately known.
            truth: the true image.
            operator: the class whose data and parameter they are; None for a blur.
            white: the value of a picture that counts as white; None to find it.
            variance: of the noise of each datum; None if it is not known.

        Raises:
            InputError: one of them cannot be read or used.
        """
        given = {"image": image, "kernel": kernel, "truth": truth, "variance": variance}
        measured, are_pictures = read_input_image(image, operator), operator is None or operator.data_range is not None
        noise, data, bits = None, measured.data, measured.bits
        if variance is not None:
            noise = read_variance(variance, data, measured.layout, are_pictures=are_pictures, bits=bits)
            measured = replace(measured, data=with_unmeasured_filled(data, noise, are_pictures=are_pictures))
        raw = measured
        if are_pictures:
            keeps_constants = operator is None or issubclass(operator, LinearOperator)
            measured = scaled_to_unit(raw, white, keeps_constants=keeps_constants)
        elif white is not None:
            raise InputError("white is an option for pictures, and these data are none; leave it out")
        several = image if isinstance(image, list | tuple) else [image]
        paths = [one for one in (*several, kernel, truth, variance) if isinstance(one, str | Path)]
        parameter = None if kernel is None else read_operator_parameter(kernel, operator)
        if operator is not None and issubclass(operator, MeasuredPixels) and parameter is not None:
            check_masks(measured.data, parameter)
        seen = None if truth is None else picture_truth(truth, raw) if are_pictures else read_truth(truth, operator)
        return cls(
            image=measured,
            parameter=parameter,
            truth=None if seen is None else measured.from_units(seen),
            sources={name: source_of(one) for name, one in given.items()},
            files=tuple(map(Path, paths)),
            variance=noise,
        )

    def with_variance_scaled(self) -> Inputs:
        """Inputs whose variances are in the units of the scaled data, squared, as their data are."""
        return self if self.variance is None else replace(self, variance=self.variance / self.image.divisor**2)

    def divided_by(self, white: float, brightness: float, degree: float = 1.0) -> Inputs:
        """Inputs whose data and truth are divided, and whose result will be multiplied; as `InputImage.divided_by`."""
        image = self.image.divided_by(white, brightness, degree)
        return replace(self, image=image, truth=None if self.truth is None else self.truth / white)


def read_inputs(
    image: ImageInput | None,
    kernel: ArrayOrFile | None,
    truth: ArrayOrFile | None,
    method: Recipe | None,
    recipe: str | Path | Recipe | None,
    white: float | None,
    variance: ArrayOrFile | None,
) -> Inputs:
    """Read what was given; image and kernel that were not are those of the recipe's measurement.

    Args:
        image: given by the user, or None.
        kernel: given by the user, or None.
        truth: given by the user, or None.
        method: the recipe; None if it is to be chosen.
        recipe: what the user gave for it; files in a recipe are relative to its folder.
        white: given by the user, or None.
        variance: given by the user, or None.

    Raises:
        InputError: there is no image, or a file cannot be read or used.
    """
    folder = Path() if recipe is None or isinstance(recipe, Recipe) else Path(recipe).parent
    named = method.measurement if method else None
    if image is None and (named is None or named.image is None):
        raise InputError("no image is given, and the recipe names none (measurement.image); give one with --image")
    if image is None and named and named.image:
        image = folder / named.image
    if kernel is None and named and named.kernel:
        kernel = folder / named.kernel
    assert image is not None
    operator = registry.load("operators", method.operator.name) if method else None
    return Inputs.read(image, kernel, truth, operator, white, variance)


def picture_truth(truth: ArrayOrFile, image: InputImage) -> Tensor:
    """Read the true image of pictures (1, C, H, W); raises `InputError` if its units are not those of the image."""
    seen = read_input_image(truth)
    if has_own_units(seen) != has_own_units(image):
        raise InputError(
            f"the truth runs from {float(seen.data.min()):.4g} to {float(seen.data.max()):.4g}, and the image from "
            f"{float(image.data.min()):.4g} to {float(image.data.max()):.4g}, where 8 and 16 bits count from 0 to 1; "
            "give both in the same units"
        )
    return seen.data


def has_own_units(image: InputImage) -> bool:
    """Whether the numbers of an image lie outside [0, 1]."""
    return bool((image.data < 0).any() or (image.data > 1).any())


def check_masks(data: Tensor, masks: Tensor) -> None:
    """Refuse masks (B or 1, 1, H, W) that are inverted for data (B, C, H, W) of their size; raises `InputError`."""
    if size_of(data) == size_of(masks) and len(masks) in (1, len(data)):
        for one, mask in zip(data, masks.expand(len(data), -1, -1, -1), strict=True):
            check_not_inverted(one.numpy(), mask[0].numpy() > 0)


def read_input_image(image: ImageInput, operator: type[ForwardOperator] | None = None) -> InputImage:
    """Read measured data as an operator takes them; without an operator, as pictures.

    Raises:
        InputError: they cannot be read or used, or several images differ in size.
    """
    if isinstance(image, list | tuple):
        return stacked([read_input_image(one, operator) for one in image])
    if operator is not None and operator.data_range is None:
        given: ArrayOrFile = image  # type: ignore[assignment]  # several, which lists and tuples are, came before
        return read_stacked(given) if issubclass(operator, Stacked) else read_numbers(given, operator.data_form)
    if isinstance(image, np.ma.MaskedArray):
        return read_masked(image)
    photo = read_image(image, in_units=True) if isinstance(image, str | Path) else None
    picture, layout = to_bchw(image if photo is None else photo.pixels, in_units=True)  # type: ignore[arg-type]
    return InputImage(picture, layout, None if photo is None else replace(photo, pixels=np.empty((0, 0))))


def read_masked(image: np.ma.MaskedArray[Any, Any]) -> InputImage:
    """Read a masked array (H, W) or (H, W, C); a pixel is masked if one of its channels is. Raises `InputError`."""
    each = np.ma.getmaskarray(image)
    masked = np.asarray(each.any(-1) if each.ndim == 3 else each)
    if masked.all():
        raise InputError("every pixel of the image is masked; give an image that shows something")
    values = np.array(image.data)
    values[masked] = values[~masked].mean(0).astype(values.dtype)
    return InputImage(*to_bchw(values, in_units=True), masked=masked if masked.any() else None)


def stacked(several: Sequence[InputImage]) -> InputImage:
    """Several images along the batch, in the layout of the first; raises `InputError` if sizes differ."""
    if not several:
        raise InputError("an empty list was given for the image; give at least one picture")
    shapes = {tuple(one.data.shape[1:]) for one in several}
    if len(shapes) > 1:
        sizes = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(f"the images differ in size (channels x height x width): {sizes}; give images of one size")
    if len({(one.bits == FLOAT_BITS, has_own_units(one)) for one in several}) > 1:
        raise InputError(
            "some of the images are in [0, 1] and others not, or some are floating point and others have 8 or 16 bits; "
            "give all in the same units and of one type"
        )
    if any(one.masked is not None for one in several):
        raise InputError("masked arrays are restored one at a time; give each by itself")
    first = several[0]
    opaque = replace(first.layout, alpha=None)
    photo = first.photo and replace(first.photo, alpha=None)
    return InputImage(torch.cat([one.data for one in several]), opaque, photo)


def read_stacked(given: ArrayOrFile, what: str = "the measured data") -> InputImage:
    """Read a stack (D, H, W), or several of one size in an array (B, D, H, W), with its name in errors.

    Raises:
        InputError: it is no stack.
    """
    from ..media.stacks import check_not_colour, read_stack

    is_file = isinstance(given, str | Path)
    stack = read_stack(given) if is_file else None  # type: ignore[arg-type]
    check_not_colour(given, what)
    found = read_numbers(given if stack is None else stack.values, "(D, H, W), a stack of planes", what)
    kind: Literal["array", "tensor"] = "tensor" if isinstance(given, Tensor) else "array"
    ndim = 3 if len(found.data) == 1 and (stack is not None or np.ndim(given) == 3) else 4  # type: ignore[arg-type]
    return replace(found, layout=Layout(kind, ndim, 32, planes=True), stack=stack and replace(stack, values=NO_VALUES))


def read_numbers(numbers: ArrayOrFile, form: str, what: str = "the measured data") -> InputImage:
    """Read data that are no pictures: (C, H, W) or (B, C, H, W) of finite real numbers, channels first.

    Args:
        numbers: array, tensor or .npy file.
        form: what (C, H, W) are, for errors.
        what: the name of an array in errors.

    Raises:
        InputError: another shape or type, or a file that is not .npy.
    """
    values, name = real_numbers(numbers, what)
    if values.ndim not in (3, 4) or 0 in values.shape:
        raise InputError(
            f"{name} has shape {values.shape}; give {form}, channels first, or several of them along a further "
            "first dimension"
        )
    data = single_precision(values if values.ndim == 4 else values[None], name)
    if isinstance(numbers, Tensor):
        return InputImage(data, Layout("tensor", values.ndim, 32))
    return InputImage(data, Layout("array", 2 if values.ndim == 3 else 4, 32))  # images return as (H, W) or (H, W, C)


def read_truth(given: ArrayOrFile, operator: type[ForwardOperator] | None) -> Tensor:
    """Read the true image of data that are no pictures, (B, C, H, W), in any units. Raises `InputError`."""
    is_stack = operator is not None and issubclass(operator, Stacked)
    return read_stacked(given).data if is_stack else read_numbers_image(given)


def read_numbers_image(given: ArrayOrFile) -> Tensor:
    """Read an image in any units, (B, C, H, W); a picture's file lies in [0, 1]. Raises `InputError`."""
    if isinstance(given, str | Path) and Path(given).suffix.lower() != ".npy":
        return read_input_image(given).data
    values, name = real_numbers(given, "the truth")
    if not 2 <= values.ndim <= 4 or 0 in values.shape:
        raise InputError(f"{name} has shape {values.shape}; give an image (H, W) or (H, W, C)")
    return single_precision(np.ascontiguousarray(batched(values, isinstance(given, Tensor))), name)


def single_precision(values: npt.NDArray[Any], name: str) -> Tensor:
    """A copy in float32; raises `InputError` for NaN, infinite values, and values that float32 cannot hold."""
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values; replace them first")
    largest = float(np.abs(values).max())
    if largest and not SINGLE_PRECISION[0] < largest < SINGLE_PRECISION[1]:
        raise InputError(
            f"the largest magnitude in {name} is {largest:.3g}, beyond single precision; multiply the data by a number "
            "that brings it near 1"
        )
    return torch.from_numpy(np.array(values, dtype=np.float32))


def real_numbers(given: ArrayOrFile, what: str = "the measured data") -> tuple[npt.NDArray[Any], str]:
    """An array, a tensor or an .npy file as an array of real numbers, and its name in errors; raises `InputError`."""
    if isinstance(given, np.ma.MaskedArray):
        remedy = "give array.filled(0), and a variance that is NaN where data are unknown"
        raise InputError(f"a kernel, or data that are no picture, cannot be masked; {remedy}")
    if isinstance(given, str | Path):
        values, name = read_array(Path(given)), str(given)
    else:
        values, name = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given), what
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise InputError(f"{name} holds no real numbers; give complex numbers as channels of real and imaginary parts")
    return values, name


def check_truth(truth: Tensor, size: Size) -> None:
    """Refuse a true image that has not the size of the restored one; raises `InputError`."""
    if size_of(truth) != tuple(size):
        raise InputError(
            f"the truth is {size_of(truth)} and the image {tuple(size)} (height, width); "
            "they must show the same part of the scene"
        )


def read_operator_parameter(given: ArrayOrFile, operator: type[ForwardOperator] | None) -> Tensor:
    """Read the parameter of an operator from a file or an array.

    Returns:
        Kernels (B, 1, h, w), each non-negative and summing to one, of an array (h, w) or (B, h, w); other parameters
        as they are, (B, C, H, W), of an array with as many dimensions or fewer.

    Raises:
        InputError: it cannot be read, or is not a kernel; warns as `as_kernel`.
    """
    if operator is None or issubclass(operator.parameter_prior, KernelPrior):
        return read_kernels(given)
    if issubclass(operator, MeasuredPixels):
        return read_measured(given)
    if issubclass(operator, Stacked):
        from ..media.stacks import read_stack_kernels

        return torch.from_numpy(read_stack_kernels(given)).float()
    if isinstance(given, str | Path) and Path(given).suffix.lower() != ".npy":
        return read_input_image(given).data.mean(1, keepdim=True)
    values, name = real_numbers(given, "the operator's parameter")
    if not 2 <= values.ndim <= 4:
        raise InputError(f"{name} has shape {values.shape}; give (H, W), (C, H, W) or (B, C, H, W)")
    return torch.from_numpy(np.array(values, dtype=np.float32)).view((1,) * (4 - values.ndim) + values.shape)


def read_measured(given: ArrayOrFile) -> Tensor:
    """Read a mask of measured pixels, (B, 1, H, W) of zeros and ones, from a file or an array with leading dimensions.

    Raises:
        InputError: it is no such mask.
    """
    if isinstance(given, str | Path):
        return torch.from_numpy(read_measured_pixels(given)).float()[None, None]
    values, name = real_numbers(given)
    if not 2 <= values.ndim <= 4 or 0 in values.shape:
        raise InputError(f"{name} has shape {values.shape}; give a mask (H, W), or several (B, 1, H, W)")
    several = values.reshape(-1, *values.shape[-2:])
    masks = np.stack([as_measured_pixels(one, "the mask") for one in several])
    return torch.from_numpy(masks).float().view((1,) * (4 - values.ndim) + values.shape)


def read_kernels(given: ArrayOrFile) -> Tensor:
    """Read kernels (B, 1, h, w): an array (h, w) or a picture of one, or an array or .npy file (B, h, w) of several."""
    several = None if isinstance(given, str | Path) and Path(given).suffix.lower() != ".npy" else kernel_stack_of(given)
    if several is not None:
        each = [as_kernel(one, f"kernel {index}") for index, one in enumerate(several, start=1)]
        return torch.from_numpy(np.stack(each)).float()[:, None]
    kernel = read_kernel(given) if isinstance(given, str | Path) else as_kernel(real_numbers(given)[0])
    return torch.from_numpy(kernel).float()[None, None]


def kernel_stack_of(given: ArrayOrFile) -> npt.NDArray[Any] | None:
    """Several kernels (B, h, w), given as such or as (B, 1, h, w); None for anything else."""
    try:
        values, _ = real_numbers(given)
    except InputError:
        return None
    values = values[:, 0] if values.ndim == 4 and values.shape[1] == 1 else values
    return values if values.ndim == 3 and len(values) > 1 else None


def source_of(given: ImageInput | None) -> Any:
    """Name, absolute path and SHA-256 of a file, or of each of several; None for an array."""
    if isinstance(given, list | tuple):
        return [source_of(one) for one in given] if any(isinstance(one, str | Path) for one in given) else None
    if not isinstance(given, str | Path):
        return None
    path = Path(given)
    return {"file": path.name, "path": str(path.absolute()), "sha256": sha256_of(path)}

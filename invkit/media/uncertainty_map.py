"""The map of the standard deviations of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.result import IMAGE, KERNEL, Result
from .figures import TITLE, draw_deviation_panel, draw_kernel_panel, kernel_stack, new_figure, row_height
from .layouts import channels_last

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["uncertainty_map"]

WIDTHS = (2.2, 1.0)  # of the panels of the image and of the kernel
MIN_HEIGHT = 4.0  # inches, for title and colour bar beside the panel


def uncertainty_map(result: Result) -> Figure:
    """The standard deviation of each pixel, and of each weight of the kernel if it is there; of a batch, of the first.

    Raises:
        InputError: the result has no standard deviations.
    """
    if IMAGE not in result.deviations:
        raise InputError(
            "the result has no standard deviations; ask for them with uncertainty=True (--uncertainty auto)"
        )
    image = result.deviations[IMAGE]
    has_kernel = KERNEL in result.deviations
    share = WIDTHS[0] / sum(WIDTHS) if has_kernel else 1.0
    figure = new_figure(max(MIN_HEIGHT, share * row_height([channels_last(image).shape[1:3]])))
    panels = figure.add_gridspec(1, 1 + has_kernel, width_ratios=WIDTHS[: 1 + has_kernel])
    draw_deviation_panel(figure.add_subplot(panels[0]), image, result.white)
    if has_kernel:
        axes = figure.add_subplot(panels[1])
        draw_kernel_panel(axes, kernel_stack(result.deviations[KERNEL]), are_kernels=True)
        axes.set_title("Standard deviation of the kernel", **TITLE)
    return figure

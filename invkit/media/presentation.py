"""Results and problems as HTML for notebooks.

The HTML has no scripts, needs no other files, and sets no colours.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from io import BytesIO
from typing import Any

import numpy.typing as npt
from torch import nn

from ..core.problem import Problem, Term
from ..core.result import Result
from .figures import counted_title, drawable, kernel_stack
from .html import MUTED, card_html
from .images import quantised
from .kernels import planes_picture, size_text
from .layouts import channels_last, drawable_batch

__all__ = ["problem_html", "result_html"]

IMAGE_SIDE, PLANES_SIDE = 300, 200  # pixels; two images and a kernel fit side by side
WEBP_QUALITY = 90  # an image of that size takes about 20 kB
FIGURE = "display:inline-block;margin:.5em .8em .2em 0;vertical-align:top"


def result_html(result: Result) -> str:
    """The images before and after, the kernel, and how the solve ended; of a batch the first image."""
    recipe = result.details.get("recipe") or {}
    before = "" if result.blurry is None else image_html(drawable_batch(result.blurry, result), "before")
    parameter = planes_html(kernel_stack(result.kernel), "kernel" if result.has_kernel else "operator parameter")
    figures = before + image_html(drawable_batch(result.image, result), "restored") + parameter
    title = " · ".join(filter(None, [recipe.get("name"), recipe.get("title")]))
    return card_html("Result", title, figures, result_facts(result))


def result_facts(result: Result) -> Iterable[tuple[str, str]]:
    """How a solve ended, in rows."""
    details = result.details
    yield "solve", f"{result.stopped}, {result.iterations} iterations in {result.seconds:.1f} s"
    if "psnr" in details:
        yield "PSNR", f"{details['psnr']['before']:.2f} dB before, {details['psnr']['after']:.2f} dB after"
    if details.get("noise_sigma") is not None:
        yield "noise", f"std {details['noise_sigma']:.4f}, {details.get('noise_sigma_from', 'given')}"
    for notice in details.get("notices", ()):
        yield "note", str(notice)
    for warning in details.get("warnings", ()):
        yield "warning", str(warning)


def problem_html(problem: Problem) -> str:
    """The objective, its unknowns and the data; nothing is computed."""
    fidelity, operator = (type(part).__name__ for part in (problem.fidelity, problem.operator))
    terms = "".join(f" + {term_text(term)}" for term in problem.regularizers)
    data = problem.data.detach()
    low, high = (float(end) for end in data.aminmax())
    rows = {
        "data y": f"{size_text(*data.shape)}, {low:.3g} to {high:.3g}, {data.device}",
        "image x": prior_text(problem.image_prior, problem.image_prior.shape),
        "kernel k": prior_text(problem.kernel_prior, problem.kernel_prior.shape),
    }
    is_image = problem.operator.data_range is not None
    shown = image_html(channels_last(data), "data") if is_image else planes_html(data[0].cpu().double().numpy(), "data")
    return card_html("Problem", f"minimise {fidelity}({operator}(x, k), y){terms}", shown, rows.items())


def term_text(term: Term) -> str:
    """A term of the objective, as ``0.01 TotalVariation(x)``."""
    return f"{term.weight:.3g} {type(term.regularizer).__name__}({'x' if term.target == 'image' else 'k'})"


def prior_text(prior: nn.Module, shape: Iterable[int]) -> str:
    """A prior by its class, the shape of its output and the number of its parameters."""
    unknowns = sum(parameter.numel() for parameter in prior.parameters())
    return f"{type(prior).__name__}, {size_text(*shape)}, {unknowns:,} unknowns"


def image_html(batch: npt.NDArray[Any], caption: str) -> str:
    """The first of images (B, H, W, C) in [0, 1]."""
    return figure_html(quantised(drawable(batch[0]), 8), counted_title(caption, len(batch)), batch.shape[1:3])


def planes_html(planes: npt.NDArray[Any], caption: str) -> str:
    """Planes (N, h, w) of numbers side by side, each number a square."""
    return figure_html(planes_picture(planes), caption, planes.shape[1:], lossless=True)


def figure_html(samples: npt.NDArray[Any], caption: str, size: tuple[int, ...], *, lossless: bool = False) -> str:
    """An image of 8 bits, embedded in the page, above its caption.

    Args:
        samples: (H, W) or (H, W, C), uint8.
        caption: text.
        size: height and width to be stated, pixels.
        lossless: keep the pixels sharp and small, for kernels.
    """
    from PIL import Image

    picture, buffer = Image.fromarray(samples), BytesIO()
    side, resampling = (PLANES_SIDE, Image.Resampling.BOX) if lossless else (IMAGE_SIDE, Image.Resampling.LANCZOS)
    picture.thumbnail((side, side), resampling)
    picture.save(buffer, format="WEBP", quality=WEBP_QUALITY, lossless=lossless)
    text = escape(f"{caption}, {size_text(*reversed(size))}")
    source = f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
    inside = f'<img src="{source}" alt="{text}" style="display:block;max-width:100%">'
    return f'<div style="{FIGURE}">{inside}<div style="{MUTED}">{text}</div></div>'

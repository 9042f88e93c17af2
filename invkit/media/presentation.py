"""How results and problems present themselves: what `Result` and `Problem` call, and their HTML for notebooks.

The HTML has no script, no file and no colour of its own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from io import BytesIO
from typing import Any

import numpy.typing as npt
from torch import Tensor, nn

from ..core.problem import Problem, Term
from ..core.result import Array, Result
from .animation import animate
from .comparison import comparison
from .encoding import quantised
from .figures import drawable, kernel_stack, overview, titled
from .kernels import planes_picture
from .layouts import channels_last
from .output import save_result

__all__ = [
    "MUTED",
    "animate",
    "card",
    "comparison",
    "overview",
    "problem_html",
    "result_html",
    "save_result",
    "table",
]

WIDEST, NARROWER = 300, 200  # pixels of a picture and of a kernel; two and one stand side by side
QUALITY = 90  # of WebP, at which a picture of that size is about 20 kB
LINE = "1px solid rgba(127,127,127,.35)"  # seen on white and on black
CARD = f"border:{LINE};border-radius:6px;padding:.7em 1em;display:inline-block;max-width:100%;text-align:left"
MUTED = "opacity:.7;font-size:90%"
CELL = f"text-align:left;vertical-align:top;padding:.15em 1em .15em 0;border:0;border-top:{LINE};background:none"
FIGURE = "display:inline-block;margin:.5em .8em .2em 0;vertical-align:top"


def result_html(result: Result) -> str:
    """The pictures before and after, the kernel, and how it went; of a batch the first."""
    recipe = result.details.get("recipe") or {}
    what = "kernel" if result.has_kernel else "unknown"
    before = "" if result.blurry is None else image_figure(result.blurry, "before")
    pictures = before + image_figure(result.image, "restored") + kernel_figure(result.kernel, what)
    return card("Result", " · ".join(filter(None, [recipe.get("name"), recipe.get("title")])), pictures, facts(result))


def problem_html(problem: Problem) -> str:
    """What is minimised over what, and the data; computes nothing."""
    names = {part: type(getattr(problem, part)).__name__ for part in ("fidelity", "operator")}
    terms = "".join(f" + {term_words(term)}" for term in problem.regularizers)
    sentence = f"minimise {names['fidelity']}({names['operator']}(x, k), y){terms}"
    low, high = (float(end) for end in problem.data.detach().aminmax())
    rows = {
        "data y": f"{dimensions(problem.data.shape)}, {low:.3g} to {high:.3g}, {problem.data.device}",
        "image x": prior_words(problem.image_prior, problem.image_prior.shape),
        "kernel k": prior_words(problem.kernel_prior, problem.kernel_prior.shape),
    }
    return card("Problem", sentence, data_figure(problem), rows.items())


def card(title: str, subtitle: str, body: str, rows: Iterable[tuple[str, str]]) -> str:
    """A frame with a heading; ``body`` is HTML, all else is text."""
    head = f"<b>{escape(title)}</b>" + (f" <span>{escape(subtitle)}</span>" if subtitle else "")
    return f'<div style="{CARD}"><div>{head}</div>{body}{table(rows)}</div>'


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Rows of a name and a text."""
    lines = "".join(
        f'<tr><td style="{CELL};opacity:.7">{escape(name)}</td><td style="{CELL}">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table style="margin:.4em 0 0;border-collapse:collapse">{lines}</table>' if lines else ""


def facts(result: Result) -> Iterable[tuple[str, str]]:
    """How a solve went, in rows."""
    details = result.details
    yield "solve", f"{result.stopped}, {result.iterations} iterations in {result.seconds:.1f} s"
    if "psnr" in details:
        psnr = details["psnr"]
        yield "PSNR", f"{psnr['before']:.2f} dB before, {psnr['after']:.2f} dB after"
    if details.get("noise_sigma") is not None:
        yield "noise", f"std {details['noise_sigma']:.4f}, {details.get('noise_sigma_from', 'given')}"
    for doubt in details.get("doubts", ()):
        yield "doubtful", str(doubt)


def term_words(term: Term) -> str:
    """A term of the sum, as ``0.01 TotalVariation(x)``."""
    return f"{term.weight:.3g} {type(term.regularizer).__name__}({'x' if term.target == 'image' else 'k'})"


def prior_words(prior: nn.Module, shape: Iterable[int]) -> str:
    """A prior by its class, what it gives and how many numbers are sought."""
    unknowns = sum(parameter.numel() for parameter in prior.parameters())
    return f"{type(prior).__name__}, {dimensions(shape)}, {unknowns:,} unknowns"


def dimensions(shape: Iterable[int]) -> str:
    """A shape as people write it."""
    return " × ".join(map(str, shape))  # noqa: RUF001  a true times sign


def image_figure(image: Array, caption: str) -> str:
    """The first picture of any layout."""

    batch = channels_last(image)
    return figure(pixels(drawable(batch[0])), titled(caption, len(batch)), batch.shape[1:3])


def kernel_figure(kernel: Array, caption: str) -> str:
    """Kernels, or the planes of another unknown, side by side."""
    return planes_figure(kernel_stack(kernel), caption)


def data_figure(problem: Problem) -> str:
    """The data as a picture, or where they are none as the planes of numbers they are."""
    data: Tensor = problem.data.detach()
    if problem.operator.data_range is not None:
        return image_figure(data, "data")
    return planes_figure(data[0].cpu().double().numpy(), "data")


def planes_figure(planes: npt.NDArray[Any], caption: str) -> str:
    """Planes (N, h, w) of numbers, each of its squares enlarged."""
    return figure(planes_picture(planes), caption, planes.shape[1:], squares=True)


def pixels(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Floats in [0, 1] as 8 bits."""
    return quantised(picture, 8)


def figure(samples: npt.NDArray[Any], caption: str, size: tuple[int, ...], *, squares: bool = False) -> str:
    """A picture of 8 bits within the page, under it its caption and true size; one of ``squares`` without loss."""
    from PIL import Image

    picture, buffer = Image.fromarray(samples), BytesIO()
    side, resampling = (NARROWER, Image.Resampling.BOX) if squares else (WIDEST, Image.Resampling.LANCZOS)
    picture.thumbnail((side, side), resampling)
    picture.save(buffer, format="WEBP", quality=QUALITY, lossless=squares)
    words = escape(f"{caption}, {size[1]} × {size[0]}")  # noqa: RUF001
    source = f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
    inside = f'<img src="{source}" alt="{words}" style="display:block;max-width:100%">'
    return f'<div style="{FIGURE}">{inside}<div style="{MUTED}">{words}</div></div>'

"""SelfDeblur at its full length, for gpu.py: image by image, and the images of a kernel as a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu import PartRequest
from scenes import scene

from invkit.benchmark.measuring import Meter
from invkit.core.evaluation import Sample, Trial
from invkit.core.runtime.threads import usual_torch_state
from invkit.datasets import Levin
from invkit.metrics import AlignedPSNR, AlignedSSIM, KernelSimilarity
from invkit.numerics.framing import visible_part
from invkit.numerics.geometry import size_of
from invkit.numerics.noise import estimate_sigma
from invkit.pipeline.assemble import assemble
from invkit.pipeline.job import prepare
from invkit.recipes.model import load_recipe

RECIPES = ("selfdeblur-released", "selfdeblur")
FIRST_IMAGES = ((3, 5), (2, 3), (1, 4), (3, 6))  # image and kernel; the published run fails on the last one
KERNELS = (5, 3, 4, 6, 1, 2, 7, 8)
METRICS = {"psnr": AlignedPSNR(max_shift=10), "ssim": AlignedSSIM(max_shift=10)}
KERNEL_METRIC = KernelSimilarity()
RESERVE = 1.15  # a solve starts only if so many times the time of the longest one is left
WARM_UP = 0.1  # seconds of a solve whose result is thrown away: start of the GPU, choice of algorithms
TINY_SIDES = (64, 5)  # of the picture and of the kernel, pixels
TINY_SETTINGS = ("image_prior.channels=4", "image_prior.scales=3", "solver.iterations=5")

Emit = Callable[..., None]


@dataclass(frozen=True)
class Picture:
    """A blurry image of a part.

    Attributes:
        name: of its case.
        sample: the images.
        kernel_size: (h, w) that the recipe is given.
    """

    name: str
    sample: Sample
    kernel_size: tuple[int, int]


class Remaining:
    """The time of a part, and whether another solve fits in.

    Args:
        seconds: that are left.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline, self.longest = time.monotonic() + seconds, 0.0

    @property
    def seconds(self) -> float:
        """Until the end of the part."""
        return self.deadline - time.monotonic()

    def is_enough(self) -> bool:
        """Whether a solve as long as the longest one so far can still end."""
        return self.seconds > max(RESERVE * self.longest, 0.1)


def images_part(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """Both recipes on one image after the other, first the four named ones in TF32 and in bfloat16, then the others."""
    remaining, settings = Remaining(request.seconds), TINY_SETTINGS if request.tiny else ()
    first, others = pictures_of(request)
    plan = [*product(("tf32", "bfloat16"), first, RECIPES), *product(("tf32",), others, RECIPES)]
    for place, (precision, picture, recipe) in enumerate(plan):
        overrides = [*settings, f"solver.precision={precision.replace('tf32', 'float32')}"]
        job = prepare(
            picture.sample.image,
            recipe=recipe,
            kernel_size=picture.kernel_size,
            device=str(device),
            overrides=overrides,
        )
        if place == 0:
            job.run(time_limit=WARM_UP)
        if not remaining.is_enough():
            return
        with Meter() as meter:
            result = job.run(time_limit=remaining.seconds)
        remaining.longest = max(remaining.longest, meter.seconds)
        figures = figures_of(picture, np.asarray(result.image), np.asarray(result.kernel))
        cost = {"seconds": meter.seconds, "peak_bytes": meter.peak(device)}
        facts = {"recipe": recipe, "precision": precision, "case": picture.name}
        ended = {"iterations": result.iterations, "stopped": result.stopped}
        emit(f"{recipe}, {precision}, {picture.name}", **facts, **ended, **cost, **figures)


def batch_part(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """Both recipes on the images of a kernel at once."""
    remaining = Remaining(request.seconds)
    for place, (recipe, pictures) in enumerate(product(RECIPES, list(batches_of(request)))):
        if place == 0:
            solve_batch(recipe, pictures, device, (request.tiny, WARM_UP))
        if not remaining.is_enough():
            return
        facts, images, kernels = solve_batch(recipe, pictures, device, (request.tiny, remaining.seconds))
        remaining.longest = max(remaining.longest, facts["seconds"])
        each = [figures_of(*three) for three in zip(pictures, images, kernels, strict=True)]
        names = [picture.name for picture in pictures]
        rows = [{"case": name, **figures} for name, figures in zip(names, each, strict=True)]
        emit(f"{recipe}, tf32, {' '.join(names)}", recipe=recipe, precision="tf32", **facts, images=rows)


@usual_torch_state()
def solve_batch(
    recipe: str, pictures: Sequence[Picture], device: torch.device, how: tuple[bool, float]
) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Solve pictures of one size with kernels of one size together.

    Args:
        recipe: its name.
        pictures: the pictures.
        device: where to solve.
        how: whether the network is tiny, and the seconds after which the solve is stopped.

    Returns:
        Facts of the solve, the images (H, W) and the kernels (h, w).
    """
    (is_tiny, seconds), kernel_size = how, pictures[0].kernel_size
    method = load_recipe(recipe).with_overrides([*TINY_SETTINGS] if is_tiny else [])
    stacked = np.stack([picture.sample.image for picture in pictures]).astype(np.float32)[:, None]
    data = torch.from_numpy(stacked)
    with Meter() as meter:
        assembly = assemble(method, data, kernel_size, sigma=estimate_sigma(data))
        result = assembly.solver.solve(assembly.problem.to(device), time_limit=seconds)
        images = visible_part(torch.as_tensor(result.image), size_of(data), kernel_size)[:, 0].clamp(0, 1)
    facts = {
        "batch": len(pictures),
        "seconds": meter.seconds,
        "seconds_for_an_image": meter.seconds / len(pictures),
        "peak_bytes": meter.peak(device),
        "iterations": result.iterations,
        "stopped": result.stopped,
    }
    return facts, list(images.numpy()), list(torch.as_tensor(result.kernel)[:, 0].numpy())


def figures_of(picture: Picture, image: Any, kernel: Any) -> dict[str, float | None]:
    """PSNR and SSIM of a restored image (H, W), of the input and of the published image, and the kernel's similarity.

    Args:
        picture: the picture.
        image: restored.
        kernel: estimated, (h, w).
    """
    published = picture.sample.references.get("selfdeblur")
    of = {"": image, "input_": picture.sample.image} | ({} if published is None else {"published_": published})
    figures: dict[str, float | None] = {}
    for which, pixels in of.items():
        trial = Trial(picture.sample, pixels, np.asarray(kernel, dtype=np.float64), 0.0, 0.0, 0)
        figures |= {f"{which}{name}": metric.measure(trial) for name, metric in METRICS.items()}
        if not which:
            figures["kernel_similarity"] = KERNEL_METRIC.measure(trial)
    return figures


def pictures_of(request: PartRequest) -> tuple[list[Picture], list[Picture]]:
    """The pictures that come first, and all others."""
    if not has_levin(request):
        sides = [TINY_SIDES] if request.tiny else [(255, 15), (255, 17), (255, 19), (255, 31)]
        return [synthetic(*each) for each in sides], []
    cases = list(product((1, 2, 3, 4), range(1, 9)))
    return ([levin_picture(request, *case) for case in FIRST_IMAGES],
            [levin_picture(request, *case) for case in cases if case not in FIRST_IMAGES])  # fmt: skip


def batches_of(request: PartRequest) -> Iterator[list[Picture]]:
    """Pictures that can be solved together."""
    if has_levin(request):
        for kernel in KERNELS:
            yield [levin_picture(request, image, kernel) for image in (1, 2, 3, 4)]
    else:
        side, kernel = TINY_SIDES if request.tiny else (255, 15)
        yield [synthetic(side, kernel)] * (2 if request.tiny else 4)


def has_levin(request: PartRequest) -> bool:
    """Whether Levin's images are there; tiny parts never use them."""
    return not request.tiny and request.data is not None and (Path(request.data) / Levin.folder).is_dir()


def levin_picture(request: PartRequest, image: int, kernel: int) -> Picture:
    """One of Levin's images."""
    dataset = Levin(None if request.data is None else Path(request.data), images=(image,), kernels=(kernel,))
    (case,) = dataset.cases()
    assert case.kernel_size is not None
    return Picture(case.name, dataset.sample(case), case.kernel_size)


def synthetic(side: int, kernel: int) -> Picture:
    """The bundled photograph with a synthetic blur."""
    made = scene(side, kernel)
    data, truth, taps = (each[0, 0].numpy() for each in (made.data, made.truth, made.kernel))
    return Picture(f"sample-{side}-{kernel}", Sample(data, truth, taps.astype(np.float64)), (kernel, kernel))

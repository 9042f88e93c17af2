"""Every inverse problem beside deblurring, on a synthetic case of its own, beside a classical or known-operator result.

    python benchmarks/problems.py --output benchmarks/results/problems.json --pictures benchmarked/problems
    python benchmarks/problems.py --only super-resolution
    python benchmarks/problems.py --only gamma --only phase-retrieval --output benchmarks/results/nonlinear.json
    python benchmarks/problems.py --only weights --output benchmarks/results/sure.json

The scenes are scikit-image's own pictures (astronaut: NASA, public domain; camera: CC0; the Shepp-Logan phantom).
Weights were chosen on the astronaut and the phantom, and the camera was only measured; those of dehazing on the
astronaut, chelsea and coffee, and rocket and motorcycle were only measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.table import Table

import invkit
from invkit.core.operator_parameters import CoilMapPrior
from invkit.media.images import write_image
from invkit.numerics.registration import aligned_psnr
from invkit.operators.convolution import Convolution
from invkit.operators.downsampling import Downsampling
from invkit.operators.gamma_blur import GammaBlur
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.operators.multiple_kernels import Frames
from invkit.operators.phase_retrieval import PhaseRetrieval
from invkit.operators.tomography import Tomography
from invkit.pipeline.job import versions

Picture = npt.NDArray[np.floating]
BORDER = 12  # pixels of a deblurred or enlarged picture that are not compared
PROBLEMS: dict[str, Callable[[], Iterator[Row]]] = {}


@dataclass(frozen=True)
class Row:
    """What one method has made of one case.

    Attributes:
        problem: which.
        scene: what is to be seen.
        method: a recipe, or what it is compared with.
        psnr: against the truth, dB.
        seconds: of the processor.
        image: what it gave.
        facts: other figures.
    """

    problem: str
    scene: str
    method: str
    psnr: float
    seconds: float
    image: Picture
    facts: dict[str, float] = field(default_factory=dict)


def problem(name: str) -> Callable[[Callable[[], Iterator[Row]]], Callable[[], Iterator[Row]]]:
    """Put a problem on the list."""

    def listed(rows: Callable[[], Iterator[Row]]) -> Callable[[], Iterator[Row]]:
        PROBLEMS[name] = rows
        return rows

    return listed


def scene(name: str, side: int) -> Picture:
    """A grey picture (side, side) in [0, 1]."""
    from skimage import data
    from skimage.color import rgb2gray
    from skimage.transform import resize

    whole = {"astronaut": data.astronaut, "camera": data.camera, "phantom": data.shepp_logan_phantom}[name]()
    grey = rgb2gray(whole) if whole.ndim == 3 else whole / (255 if whole.dtype == np.uint8 else 1)
    return np.asarray(resize(grey, (side, side), anti_aliasing=True), dtype=np.float32)


def noisy(values: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    """With Gaussian noise."""
    return values + sigma * torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))


def psnr(image: Picture, truth: Picture, border: int = 0) -> float:
    """Of an image that lies where the truth does."""
    inner = slice(border, -border or None)
    error = (np.asarray(image, dtype=np.float64) - truth)[inner, inner]
    return float(-10 * np.log10(np.square(error).mean()))


def shifted_psnr(image: Picture, truth: Picture) -> float:
    """Of an image that a blind method may have displaced."""
    pair = (torch.from_numpy(np.moveaxis(np.atleast_3d(np.float64(one)), -1, 0)) for one in (image, truth))
    return float(aligned_psnr(*pair, border=BORDER, max_shift=6))


def timed(what: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """What a call gives, and the processor's seconds, which do not depend on what else the machine does."""
    begun = time.process_time()
    return what(*arguments, **options), time.process_time() - begun


def solved(data: Any, recipe: str, **options: Any) -> tuple[invkit.Result, float]:
    """A recipe's result, and the processor's seconds."""
    return timed(invkit.restore, data, recipe, progress=False, **options)


def picture(result: invkit.Result) -> Picture:
    """The image of a result."""
    return np.asarray(result.image)


@problem("denoising")
def denoising() -> Iterator[Row]:
    """Noise of 0.1, beside scikit-image's total variation at its best weight and its non-local means."""
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    for name in ("astronaut", "camera"):
        truth, sigma = scene(name, 192), 0.1
        data = noisy(torch.from_numpy(truth), sigma).clamp(0, 1).numpy()
        yield Row("denoising", name, "noisy", psnr(data, truth), 0.0, data)
        weights = (0.05, 0.07, 0.1, 0.14, 0.2)
        trials = [timed(denoise_tv_chambolle, data, weight=weight) for weight in weights]
        best, seconds = max(trials, key=lambda trial: psnr(trial[0], truth))
        yield Row("denoising", name, "scikit-image TV, best of 5 weights", psnr(best, truth), seconds, best)
        means, seconds = timed(denoise_nl_means, data, h=0.8 * sigma, sigma=sigma, fast_mode=False)
        yield Row("denoising", name, "scikit-image non-local means", psnr(means, truth), seconds, means)
        for recipe in ("denoise-sparse", "denoise-tv", "denoise-dip"):
            result, seconds = solved(data, recipe)
            yield Row("denoising", name, recipe, psnr(picture(result), truth), seconds, picture(result))


@problem("inpainting")
def inpainting() -> Iterator[Row]:
    """Every second pixel is missing, at random, beside scikit-image's biharmonic inpainting."""
    from skimage.restoration import inpaint_biharmonic

    for name in ("astronaut", "camera"):
        truth = scene(name, 192)
        mask = (np.random.default_rng(0).random(truth.shape) < 0.5).astype(np.float32)
        data = mask * truth
        smooth, seconds = timed(inpaint_biharmonic, data, mask == 0)
        yield Row("inpainting", name, "scikit-image biharmonic", psnr(smooth, truth), seconds, smooth)
        for recipe in ("inpaint-sparse", "inpaint-tv", "inpaint-dip"):
            result, seconds = solved(data, recipe, kernel=mask)
            yield Row("inpainting", name, recipe, psnr(picture(result), truth), seconds, picture(result))


def gaussian(size: int, wide: float, narrow: float, turn: float) -> torch.Tensor:
    """A Gaussian kernel (1, 1, size, size) of two widths in pixels."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = columns * np.cos(turn) + rows * np.sin(turn), rows * np.cos(turn) - columns * np.sin(turn)
    kernel = np.exp(-((along / wide) ** 2 + (across / narrow) ** 2) / 2)
    return torch.from_numpy(kernel / kernel.sum()).float()[None, None]


@problem("super-resolution")
def super_resolution() -> Iterator[Row]:
    """Twice as many pixels along each side, noise of 0.005, beside bicubic interpolation and the known kernel."""
    operator = Downsampling(factor=2)
    kernels = {"oblique": gaussian(12, 2.4, 1.0, 0.6), "round": gaussian(12, 1.6, 1.6, 0.0)}
    for name in ("astronaut", "camera"):
        truth = scene(name, 256)
        for shape, kernel in kernels.items():
            where = f"{name}, {shape} kernel"
            data = noisy(operator(torch.from_numpy(truth)[None, None], kernel), 0.005).clamp(0, 1)
            enlarged = operator.initial_image(data, kernel)[0, 0].numpy()
            yield Row("super-resolution", where, "bicubic", psnr(enlarged, truth, BORDER), 0.0, enlarged)
            known, seconds = solved(data[0, 0].numpy(), "super-resolution", kernel=kernel[0, 0].numpy())
            yield Row(
                "super-resolution",
                where,
                "super-resolution",
                psnr(picture(known), truth, BORDER),
                seconds,
                picture(known),
            )
            blind, seconds = solved(data[0, 0].numpy(), "blind-super-resolution")
            quality = shifted_psnr(picture(blind), truth)
            yield Row("super-resolution", where, "blind-super-resolution", quality, seconds, picture(blind))


def path(seed: int, reach: float, times: int) -> npt.NDArray[np.floating]:
    """A random walk of a camera about the middle, (times, 2), in pixels."""
    steps = np.cumsum(np.random.default_rng(seed).normal(size=(times, 2)), axis=0)
    steps -= steps.mean(0)
    return np.asarray(reach * steps / np.abs(steps).max())


def shaken(truth: Picture, turn: float, reach: float, seed: int, times: int = 60) -> torch.Tensor:
    """What a camera sees that is displaced and turned (by so many degrees either way) while its shutter is open."""
    image, (height, width) = torch.from_numpy(truth)[None, None], truth.shape
    walk, angles = path(seed, reach, times), np.deg2rad(turn) * np.linspace(-1, 1, times)
    total = torch.zeros_like(image)
    for (down, right), angle in zip(walk, angles, strict=True):
        sine, cosine = np.sin(angle), np.cos(angle)
        motion = [
            [cosine, -sine * height / width, 2 * right / width],
            [sine * width / height, cosine, 2 * down / height],
        ]
        grid = torch.nn.functional.affine_grid(torch.tensor([motion]).float(), list(image.shape), align_corners=False)
        total = total + torch.nn.functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
    return total / times


@problem("varying-blur")
def varying_blur() -> Iterator[Row]:
    """A camera that turns while it shakes, noise of 0.005, beside the best kernel that is the same everywhere."""
    margin = 20
    cases = {"turn 1.2": (1.2, 3.0, 1, 19), "turn 2.5": (2.5, 5.0, 0, 27)}
    for name in ("astronaut", "camera"):
        for label, (turn, reach, seed, size) in cases.items():
            whole, where = scene(name, 256), f"{name}, {label} degrees"
            truth = whole[margin:-margin, margin:-margin]
            seen = noisy(shaken(whole, turn, reach, seed), 0.005).clamp(0, 1)[0, 0].numpy()
            data = seen[margin:-margin, margin:-margin]
            yield Row("varying-blur", where, "blurry", shifted_psnr(data, truth), 0.0, data)
            for recipe in ("fast", "best", "varying-blur"):
                result, seconds = solved(data, recipe, kernel_size=size)
                yield Row("varying-blur", where, recipe, shifted_psnr(picture(result), truth), seconds, picture(result))


@problem("multi-frame")
def multi_frame() -> Iterator[Row]:
    """Four frames of one scene, noise of 0.02, beside the best frame alone."""
    operator, size = Frames(), 17
    for name in ("astronaut", "camera"):
        truth = scene(name, 208)
        kernels = torch.cat([stroke(size, seed) for seed in range(4)])
        frames = noisy(operator(torch.from_numpy(truth)[None, None], kernels), 0.02).clamp(0, 1)
        inner = truth[size // 2 : -(size // 2), size // 2 : -(size // 2)]
        alone = [solved(frame[0].numpy(), "fast", kernel_size=size) for frame in frames]
        best, seconds = max(alone, key=lambda one: shifted_psnr(picture(one[0]), inner))
        yield Row(
            "multi-frame", name, "fast, best frame alone", shifted_psnr(picture(best), inner), seconds, picture(best)
        )
        together, seconds = solved([frame[0].numpy() for frame in frames], "multi-frame", kernel_size=size)
        quality = shifted_psnr(picture(together), inner)
        yield Row("multi-frame", name, "multi-frame", quality, seconds, picture(together))


def stroke(size: int, seed: int) -> torch.Tensor:
    """A camera's walk as a kernel (1, 1, size, size)."""
    kernel, walk = np.zeros((size, size)), path(seed, size / 2 - 3, 400)
    for down, right in walk + size // 2:
        row, column = int(down), int(right)
        for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kernel[row + r, column + c] += abs(1 - r - (down - row)) * abs(1 - c - (right - column))
    return torch.from_numpy(kernel / kernel.sum()).float()[None, None]


@problem("colour")
def colour() -> Iterator[Row]:
    """A colour photograph shaken as a whole, noise of 0.005, beside the known kernel; and two of them as a batch."""
    from skimage import data
    from skimage.transform import resize

    operator, size, seen, known = Convolution(), 19, [], []
    names = ("astronaut", "chelsea")
    inner = (slice(size // 2, -(size // 2)), slice(size // 2, -(size // 2)))
    for seed, name in enumerate(names):
        whole = getattr(data, name)()
        short = min(whole.shape[:2])
        truth = np.asarray(resize(whole[:short, :short], (220, 220, 3), anti_aliasing=True), dtype=np.float32)
        kernel = stroke(size, seed)
        blurry = noisy(operator(torch.from_numpy(np.moveaxis(truth, -1, 0))[None], kernel), 0.005).clamp(0, 1)[0]
        seen.append(np.moveaxis(blurry.numpy(), 0, -1))
        known.append((truth[inner], kernel[0, 0].numpy()))
        yield Row("colour", name, "blurry", shifted_psnr(seen[-1], truth[inner]), 0.0, seen[-1])
        bound, seconds = solved(seen[-1], "sparse-admm", kernel=known[-1][1])
        yield Row("colour", name, "known kernel", shifted_psnr(picture(bound), truth[inner]), seconds, picture(bound))
        for recipe in ("fast", "best"):
            blind, seconds = solved(seen[-1], recipe, kernel_size=size)
            yield Row("colour", name, recipe, shifted_psnr(picture(blind), truth[inner]), seconds, picture(blind))
    batch, seconds = solved(seen, "xu-l0", kernel_size=size)
    for name, image, (truth, _) in zip(names, np.moveaxis(picture(batch), 1, -1), known, strict=True):
        yield Row("colour", name, "xu-l0, as a batch", shifted_psnr(image, truth), seconds, image)
    for name, photograph, (truth, _) in zip(names, seen, known, strict=True):
        alone, seconds = solved(photograph, "xu-l0", kernel_size=size)
        yield Row("colour", name, "xu-l0, alone", shifted_psnr(picture(alone), truth), seconds, picture(alone))


def coil_maps(side: int, coils: int = 8) -> torch.Tensor:
    """Coils about the picture, each with a phase that turns slowly: (1, 2 N, side, side)."""
    down, along = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    angles = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    distance = (down - 1.2 * np.sin(angles)) ** 2 + (along - 1.2 * np.cos(angles)) ** 2
    maps = np.exp(-distance / 1.6 + 1j * (np.pi / 2 * (np.cos(angles) * along + np.sin(angles) * down) + angles))
    return CoilMapPrior.allowed(torch.from_numpy(np.concatenate([maps.real, maps.imag])).float()[None])


@problem("mri")
def mri() -> Iterator[Row]:
    """A quarter of k-space by eight coils, noise of 0.01, beside the known coil maps."""
    operator = MultiCoilMRI(acceleration=4, calibration=0.08)
    for name in ("phantom", "camera", "astronaut"):
        truth = scene(name, 192)
        maps = coil_maps(192)
        data = operator(torch.from_numpy(truth)[None, None], maps)
        data = (noisy(data, 0.01) * operator.columns(192, data)).numpy()
        empty = operator.initial_image(torch.from_numpy(data), maps)[0, 0].numpy()
        yield Row("mri", name, "zero-filled", psnr(empty, truth), 0.0, empty)
        sense, seconds = solved(data[0], "sense", kernel=maps.numpy())
        yield Row("mri", name, "sense (known maps)", psnr(picture(sense), truth), seconds, picture(sense))
        blind, seconds = solved(data[0], "blind-mri")
        yield Row("mri", name, "blind-mri", psnr(picture(blind), truth), seconds, picture(blind))


@problem("tomography")
def tomography() -> Iterator[Row]:
    """Sixty projections whose axis is off by a few pixels, noise of 0.002, beside the known axis."""
    operator, angles = Tomography(), 60
    for name in ("phantom", "camera"):
        truth = np.pad(scene(name, 88), 20) if name == "camera" else np.pad(scene(name, 104), 12)
        for axis in (3.3, -6.7):
            geometry = torch.zeros(1, 1, 2, angles)
            geometry[:, :, 0] = axis
            data = noisy(operator(torch.from_numpy(truth)[None, None], geometry), 0.002)[0].numpy()
            where = f"{name}, axis {axis:+.1f} px"
            for method, options in {
                "tomography": {},
                "tomography, known axis": {"kernel": geometry[0].numpy()},
            }.items():
                result, seconds = solved(data, "tomography", **options)
                label = method if options else "tomography, axis in the middle"
                yield Row("tomography", where, label, psnr(picture(result), truth), seconds, picture(result))
            blind, seconds = solved(data, "blind-tomography")
            off = float(np.mean(np.asarray(blind.kernel)[0, 0])) - axis
            facts = {"axis error, px": round(off, 3)}
            yield Row(
                "tomography", where, "blind-tomography", psnr(picture(blind), truth), seconds, picture(blind), facts
            )


def hazy_scene(name: str, side: int) -> tuple[Picture, Picture, Picture]:
    """A picture (side, side, 3), the transmission of a haze that thickens upwards and behind a disc, and what is seen.

    The motorcycle (Scharstein et al., Middlebury 2014) has a measured depth instead.
    """
    from skimage import data
    from skimage.transform import resize

    down, along = np.mgrid[:side, :side] / side
    if name == "motorcycle":
        whole, _, disparity = data.stereo_motorcycle()
        near = np.where(np.isfinite(disparity), disparity, np.median(disparity[np.isfinite(disparity)]))
        depth = resize(1 / near[:, : near.shape[0]], (side, side), anti_aliasing=True)
    else:
        whole = getattr(data, name)()
        depth = 1.4 - down + 0.25 * np.sin(5 * along + 1) - 0.6 * ((along - 0.5) ** 2 + (down - 0.6) ** 2 < 0.04)
    short = min(whole.shape[:2])
    truth = resize(whole[:short, :short], (side, side, 3), anti_aliasing=True)
    transmission = np.exp(-1.6 * (0.1 + (depth - depth.min()) / np.ptp(depth)))[..., None]
    airlight = np.array([0.80, 0.84, 0.88])
    seen = transmission * truth + (1 - transmission) * airlight
    return truth, transmission, np.clip(noisy(torch.from_numpy(seen), 0.003).numpy(), 0, 1).astype(np.float32)


def dark_channel_prior(hazy: Picture, window: int = 9, reach: int = 15) -> Picture:
    """He, Sun, Tang 2009, with the guided filter of He, Sun, Tang 2010 for the transmission."""
    from scipy.ndimage import minimum_filter, uniform_filter

    def mean(values: Picture) -> Picture:
        return np.asarray(uniform_filter(values, 2 * reach + 1, mode="nearest"))

    dark = minimum_filter(hazy.min(2), window).ravel()
    haziest = hazy.reshape(-1, 3)[np.argsort(dark)[-max(1, dark.size // 1000) :]]
    airlight = haziest[haziest.sum(1).argmax()]
    rough, guide = 1 - 0.95 * minimum_filter((hazy / airlight).min(2), window), hazy.mean(2)
    slope = (mean(guide * rough) - mean(guide) * mean(rough)) / (mean(guide**2) - mean(guide) ** 2 + 1e-3)
    smooth = mean(slope) * guide + mean(mean(rough) - slope * mean(guide))
    return np.asarray(np.clip((hazy - airlight) / np.clip(smooth, 0.1, 1)[..., None] + airlight, 0, 1))


@problem("dehazing")
def dehazing() -> Iterator[Row]:
    """Haze of a known depth, noise of 0.003, beside the dark channel prior with a guided filter."""
    for name in ("astronaut", "chelsea", "coffee", "rocket", "motorcycle"):
        truth, _, hazy = hazy_scene(name, 160)
        yield Row("dehazing", name, "hazy", psnr(hazy, truth), 0.0, hazy)
        classical, seconds = timed(dark_channel_prior, hazy)
        yield Row("dehazing", name, "dark channel prior", psnr(classical, truth), seconds, classical)
        result, seconds = solved(hazy, "dehaze")
        scene_layer = np.moveaxis(picture(result)[0], 0, -1)
        yield Row("dehazing", name, "dehaze", psnr(scene_layer, truth), seconds, scene_layer)


@problem("gamma")
def gamma() -> Iterator[Row]:
    """Shaken light and a gamma of 2.2, noise of 0.005, beside ignoring the curve, and beside undoing it in the data."""
    size, curve, margin = 15, GammaBlur(), 7
    for name in ("astronaut", "camera", "phantom"):
        truth = scene(name, 192)
        for seed in range(2):
            kernel, where = stroke(size, seed), f"{name}, kernel {seed}"
            data = noisy(curve(torch.from_numpy(truth)[None, None], kernel), 0.005).clamp(0, 1)[0, 0].numpy()
            known, inner = {"kernel": kernel[0, 0].numpy()}, truth[margin:-margin, margin:-margin]
            yield Row("gamma", where, "blurry", psnr(data, inner, BORDER), 0.0, data)
            light, seconds = solved(data**2.2, "tv-admm", **known)
            values = picture(light) ** (1 / 2.2)
            quality = psnr(values, inner, BORDER)
            for method, recipe, settings in (
                ("tv-admm", "tv-admm", []),
                ("gamma-deconvolution, curve ignored", "gamma-deconvolution", ["operator=convolution"]),
                ("gamma-deconvolution", "gamma-deconvolution", []),
            ):
                result, spent = solved(data, recipe, overrides=settings, **known)
                yield Row("gamma", where, method, psnr(picture(result), inner, BORDER), spent, picture(result))
            yield Row("gamma", where, "tv-admm of the data to the power 2.2", quality, seconds, values)


@problem("phase-retrieval")
def phase_retrieval() -> Iterator[Row]:
    """Magnitudes or intensities by a few masks, without noise and with 0.01, beside error reduction."""
    for name in ("astronaut", "camera", "phantom"):
        truth = scene(name, 64)
        for measured in ("magnitudes", "intensities"):
            for masks in (2, 3, 4):
                for sigma in (0.0, 0.01):
                    operator = PhaseRetrieval(measured=measured)
                    phases = operator.drawn_masks((1, masks, 64, 64))
                    data = noisy(operator(torch.from_numpy(truth)[None, None], phases), sigma).clamp(min=0)[0].numpy()
                    result, seconds = solved(data, "phase-retrieval", overrides=[f"operator.measured={measured}"])
                    where, first = f"{name}, {masks} {measured}, noise {sigma:g}", np.asarray(result.blurry)
                    yield Row("phase-retrieval", where, "error reduction, 30 steps", psnr(first, truth), 0.0, first)
                    quality, steps = psnr(picture(result), truth), {"steps": float(result.iterations)}
                    yield Row("phase-retrieval", where, "phase-retrieval", quality, seconds, picture(result), steps)


@problem("weights")
def weights() -> Iterator[Row]:
    """The weight of total variation by Stein's estimate of the error, beside the best of the same factors."""
    factors = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
    kernel = stroke(9, 0)
    cases: list[tuple[str, str, float, dict[str, Any]]] = [
        *(("noise", "denoise-tv", sigma, {}) for sigma in (0.03, 0.1)),
        *(("blur and noise", "tv-admm", sigma, {"kernel": kernel[0, 0].numpy()}) for sigma in (0.01, 0.03)),
    ]
    for name in ("astronaut", "camera"):
        truth = scene(name, 96)
        for label, recipe, sigma, known in cases:
            clean = torch.from_numpy(truth)[None, None]
            clean = Convolution()(clean, kernel) if known else clean
            inner = truth[4:-4, 4:-4] if known else truth
            data = noisy(clean, sigma).clamp(0, 1)[0, 0].numpy()
            where, weight = f"{name}, {label} of {sigma:g}", 1.1 if recipe == "denoise-tv" else 0.22
            solver = "admm" if known else "linear-admm"
            yield Row("weights", where, "data", psnr(data, inner), 0.0, data)

            def plain(factor: float) -> list[str]:
                return [f"solver={solver}", f"regularizers.0.weight={factor * weight}"]  # noqa: B023 - used at once

            trials = [solved(data, recipe, overrides=plain(f), sigma=sigma, **known) for f in factors]
            best, seconds = max(trials, key=lambda trial: psnr(picture(trial[0]), inner))
            yield Row("weights", where, "best of 8 weights", psnr(picture(best), inner), seconds, picture(best))
            wrapped = f"solver={{name='sure', params={{inner='{solver}', factors={list(factors)}}}}}"
            result, seconds = solved(data, recipe, overrides=[wrapped], sigma=sigma, **known)
            yield Row("weights", where, "sure", psnr(picture(result), inner), seconds, picture(result))


def main(
    only: Annotated[list[str] | None, typer.Option(help="The problems to run; all of them by default.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="A folder for the pictures.")] = None,
) -> None:
    """Run the problems, print a table and keep figures and pictures."""
    unknown = set(only or ()) - PROBLEMS.keys()
    if unknown:
        raise typer.BadParameter(f"there is no problem {', '.join(sorted(unknown))}; there are {', '.join(PROBLEMS)}")
    console, rows = Console(), []
    for name in only or PROBLEMS:
        for row in PROBLEMS[name]():
            console.print(
                f"{row.problem}: {row.scene}: {row.method}: {row.psnr:.2f} dB, {row.seconds:.1f} s {row.facts or ''}"
            )
            rows.append(row)
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                file = f"{row.problem}_{row.scene}_{row.method}.png".replace(" ", "-").replace(",", "")
                write_image(pictures / file, np.clip(row.image, 0, 1), bits=8)
    table = Table("problem", "scene", "method", "PSNR, dB", "CPU seconds")
    for row in rows:
        table.add_row(row.problem, row.scene, row.method, f"{row.psnr:.2f}", f"{row.seconds:.1f}")
    console.print(table)
    if output:
        plain = [{k: v for k, v in asdict(row).items() if k != "image"} for row in rows]
        rounded = [{**row, "psnr": round(row["psnr"], 2), "seconds": round(row["seconds"], 1)} for row in plain]
        output.write_text(json.dumps({"versions": versions(), "rows": rounded}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

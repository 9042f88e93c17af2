"""Checks of datasets, metrics and no-reference metrics."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.evaluation import Case, Dataset, Downloadable, Floats, Metric, NoReferenceMetric, Sample, Trial
from ..datasets.archives import safe_path
from ..datasets.pictures import safe_names
from ..numerics.geometry import Shape
from .common import (
    ParameterValues,
    assert_documented,
    assert_pure,
    assert_random_state_untouched,
    build,
    demand,
    drawn,
)

__all__ = ["check_dataset", "check_dataset_class", "check_metric", "check_no_reference_metric"]

CHECKED_SAMPLES = 3  # cases whose pictures are checked
MAX_SIZE_DIFFERENCE = 256  # pixels by which a truth may exceed its image: a valid convolution by the largest kernels

GREY_SHAPE, COLOUR_SHAPE = (104, 112), (104, 112, 3)
RESTORATION_SHAPES = ((1, 40, 33), (3, 6, 7))  # a usual one, and one that is smaller than a border may be


def check_dataset(dataset: Dataset, *, sampled: int = CHECKED_SAMPLES) -> None:
    """Every property of a dataset whose files are present.

    Names are unique and safe, the order is fixed, files exist, and pictures have the layouts, ranges and sums that
    `invkit.core.evaluation.Sample` promises, at every call.

    Args:
        dataset: an instance.
        sampled: number of cases, spread over all, whose pictures are checked.

    Raises:
        AssertionError: a property does not hold.
    """
    name = type(dataset).__name__
    with assert_random_state_untouched(f"listing the cases of {name}"):
        cases = dataset.cases()
        again = dataset.cases()
    demand(len(cases) > 0, f"{name} has no case")
    demand(list(cases) == list(again), f"{name} lists other cases, or another order, at the second call")
    if isinstance(dataset, Downloadable):
        listed = [case.name for case in dataset.listed_cases()]
        demand(listed == [case.name for case in cases], f"{name}.listed_cases differs from the cases that are present")
    assert_case_names(name, cases)
    for case in cases:
        assert_case(name, case)
    for case in cases[:: -(-len(cases) // sampled)]:
        with assert_random_state_untouched(f"sampling {case.name}"):
            first, second = dataset.sample(case), dataset.sample(case)
        assert_sample(f"{name}, {case.name}", first)
        assert_same_sample(f"{name}, {case.name}", first, second)


def check_dataset_class(component: type[Dataset], params: ParameterValues | None = None) -> None:
    """Every property of a dataset that can be checked in an empty data folder.

    It is documented and has a title and a licence. The files to download can be verified and stay in its folder.
    Without its files it raises `InputError`; a dataset that has its files passes `check_dataset`.

    Raises:
        AssertionError: a property does not hold.
    """
    assert_documented(component)
    name = component.__name__
    for attribute in ("title", "licence"):
        demand(bool(getattr(component, attribute, "")), f"{name} has no {attribute}")
    for attribute in ("citation", "homepage"):
        known = isinstance(getattr(component, attribute, None), str)
        demand(known, f"{name} has no {attribute}, not even an empty one")
    if issubclass(component, Downloadable):
        assert_files(component)
    with tempfile.TemporaryDirectory() as empty:
        dataset = build(component, {"root": Path(empty)}, params)
        try:
            dataset.cases()
        except InputError:
            if isinstance(dataset, Downloadable):
                assert_case_names(name, dataset.listed_cases())
            return
        demand(not issubclass(component, Downloadable), f"{name} lists cases although its files are missing")
        check_dataset(dataset)


def assert_case_names(name: str, cases: Sequence[Case]) -> None:
    """Names are unique, also when case is ignored, and safe in file names; all cases have the same groups."""
    names = [case.name for case in cases]
    demand(
        names == safe_names(names),
        f"{name} has names that are not unique, or hold other signs than A-Z a-z 0-9 . _ -, or --",
    )
    groups = [set(case.groups) for case in cases]
    demand(all(group == groups[0] for group in groups), f"{name} gives some cases groups that others lack")


def assert_case(name: str, case: Case) -> None:
    """The files of a case exist, and its kernel size is valid."""
    missing = [str(file) for file in case.files if not file.is_file()]
    demand(not missing, f"{name}, {case.name}: there is no file {', '.join(missing)}")
    size = case.kernel_size
    demand(size is None or (len(size) == 2 and min(size) >= 1), f"{name}, {case.name}: {size} is no kernel size (h, w)")


def assert_sample(where: str, sample: Sample) -> None:
    """Layouts, ranges and sums are those of `invkit.core.evaluation.Sample`."""
    assert_picture(f"{where}: the image", sample.image)
    others = dict(sample.references) | ({} if sample.truth is None else {"truth": sample.truth})
    for label, picture in others.items():
        assert_picture(f"{where}: the {label}", picture)
        demand(picture.ndim == sample.image.ndim, f"{where}: the {label} has not the image's channels")
        difference = np.abs(np.subtract(picture.shape[:2], sample.image.shape[:2])).max()
        near = difference <= MAX_SIZE_DIFFERENCE
        demand(near, f"{where}: the {label} is {picture.shape}, and the image {sample.image.shape}")
    if (kernel := sample.kernel) is not None:
        demand(kernel.ndim == 2 and kernel.size > 0, f"{where}: the kernel is {kernel.shape}, not (h, w)")
        demand(float(kernel.min()) >= 0, f"{where}: the kernel has negative values")
        demand(abs(float(kernel.sum(dtype=np.float64)) - 1) <= 1e-5, f"{where}: the kernel does not sum to one")


def assert_picture(what: str, picture: Floats) -> None:
    """(H, W) or (H, W, 3), floating point in [0, 1]."""
    shape = picture.shape
    demand(picture.dtype.kind == "f", f"{what} is of {picture.dtype}, not floating point")
    demand(len(shape) == 2 or (len(shape) == 3 and shape[2] == 3), f"{what} is {shape}, neither (H, W) nor (H, W, 3)")
    demand(bool(np.isfinite(picture).all()), f"{what} holds NaN or infinite values")
    demand(float(picture.min()) >= 0 and float(picture.max()) <= 1, f"{what} leaves [0, 1]")


def assert_same_sample(where: str, first: Sample, second: Sample) -> None:
    """Two samples of a case have the same pixels.

    Args:
        where: start of the message.
        first: a sample.
        second: another sample of the same case.
    """
    one, two = pictures_by_name(first), pictures_by_name(second)
    demand(one.keys() == two.keys(), f"{where}: a second sample has other pictures")
    for label in one:
        demand(np.array_equal(one[label], two[label]), f"{where}: sampled twice, the {label} differs")


def pictures_by_name(sample: Sample) -> Mapping[str, Floats]:
    """Return the pictures and the kernel of a sample by name."""
    parts = {"image": sample.image, "truth": sample.truth, "kernel": sample.kernel, **sample.references}
    return {label: part for label, part in parts.items() if part is not None}


def assert_files(component: type[Downloadable]) -> None:
    """Each file has a path of its own inside the dataset's folder, and can be verified."""
    name, files = component.__name__, component.dataset_files()
    paths = [file.path for file in files if not file.unpack]
    demand(bool(files), f"{name} has nothing to download")
    demand(len({path.casefold() for path in paths}) == len(paths), f"{name} downloads two files to one path")
    for path in (component.folder, *(file.path for file in files if file.path != ".")):
        try:
            safe_path(path)
        except InputError as error:
            raise AssertionError(f"{name}: {error}") from error
    for file in files:
        digits = set(file.sha256) <= set("0123456789abcdef") and len(file.sha256) == 64
        demand(digits and file.size > 0, f"{name}: {file.path} has no size, or no SHA-256 in lower-case digits")
        demand(file.url.startswith(("https://", "http://")) or not file.url, f"{name}: {file.url} is no address")


def check_metric(component: type[Metric], params: ParameterValues | None = None) -> None:
    """Every property of a metric: documented, pure, of one unit and direction, and tolerant of missing parts.

    It is evaluated on grey and coloured pictures of 104 x 112 pixels, with everything that a sample may hold. If the
    constructor raises `InputError`, as for missing weights, nothing further is checked.
    """
    assert_documented(component)
    unit, better = getattr(component, "unit", None), getattr(component, "better", None)
    demand(isinstance(unit, str), f"{component.__name__}.unit is {unit!r}; set a text, an empty one for no unit")
    known = better in ("higher", "lower")
    demand(known, f"{component.__name__}.better is {better!r}; it must be 'higher' or 'lower'")
    metric = built_metric(component, params)
    if metric is None:
        return
    for shape in (GREY_SHAPE, COLOUR_SHAPE):
        assert_repeatable(metric, trial_of(shape, error=0.05))
        assert_direction(metric, shape)
    assert_tolerates_missing_parts(metric)


def built_metric(component: type[Metric], params: ParameterValues | None) -> Metric | None:
    """Return the metric, or None if it reports that it is not available."""
    try:
        with assert_random_state_untouched(f"building {component.__name__}"):
            return build(component, {}, params)
    except InputError as refusal:
        demand(len(str(refusal)) > 20, f"{component.__name__} refuses to be built and does not say why: '{refusal}'")
        return None


def assert_repeatable(metric: Metric, trial: Trial) -> None:
    """Two calls, and one of a pickled copy, give the same number and change no argument."""
    name = type(metric).__name__
    with assert_random_state_untouched(f"calling {name}"), assert_pictures_unchanged(name, trial):
        first, again = measured(metric, trial), measured(metric, trial)
    demand(first is not None, f"{name} gives None for a trial that has everything")
    demand(first == again, f"two calls of {name} give {first} and {again}")
    copied = measured(pickle.loads(pickle.dumps(metric)), trial)
    demand(first == copied, f"{name} gives {first}, and a pickled copy {copied}")


def assert_direction(metric: Metric, shape: tuple[int, ...]) -> None:
    """Of two trials, the one that is better in every respect does not have the worse value."""
    name = type(metric).__name__
    good, bad = measured(metric, trial_of(shape, error=0.02)), measured(metric, trial_of(shape, error=0.2))
    sign = 1 if metric.better == "higher" else -1
    demand(
        good is not None and bad is not None and sign * (good - bad) >= 0,
        f"{name} is better '{metric.better}', but gives {good} for a good result and {bad} for a poor one",
    )


def assert_tolerates_missing_parts(metric: Metric) -> None:
    """Missing parts of a trial cause no error; the value is a number or None."""
    full = trial_of(GREY_SHAPE, error=0.05)
    costs = (full.seconds, full.cpu_seconds, full.peak_memory)
    measured(metric, Trial(Sample(full.sample.image), full.image, None, *costs))
    measured(metric, Trial(Sample(full.sample.image, truth=full.sample.truth), full.image, full.kernel, *costs))


def measured(metric: Metric, trial: Trial) -> float | None:
    """Return the metric's value, a float that is a number, or None."""
    value, name = metric.measure(trial), type(metric).__name__
    demand(value is None or isinstance(value, float), f"{name} gives {value!r}; a float or None is required")
    demand(value is None or not math.isnan(value), f"{name} gives NaN")
    return value


@contextmanager
def assert_pictures_unchanged(name: str, trial: Trial) -> Iterator[None]:
    """The enclosed code changes no pixel of the trial."""
    before = [picture.copy() for picture in pictures_of(trial)]
    yield
    same = all(np.array_equal(a, b) for a, b in zip(before, pictures_of(trial), strict=True))
    demand(same, f"{name} changes the pictures that it is given")


def pictures_of(trial: Trial) -> list[Floats]:
    """Return every array of a trial."""
    estimates = [picture for picture in (trial.image, trial.kernel) if picture is not None]
    return [*pictures_by_name(trial.sample).values(), *estimates]


def trial_of(shape: tuple[int, ...], error: float) -> Trial:
    """Return a trial whose image and kernel have errors of about ``error``, and whose costs grow with it."""
    truth = smooth_picture(shape)
    kernel = np.outer([1.0, 2, 1], [1.0, 3, 1, 0]) / 20
    references = {"known-kernel": with_uniform_noise(truth, 0.01, 2)}
    sample = Sample(with_uniform_noise(truth, 0.3, 1), truth, kernel, references)
    estimate = with_uniform_noise(kernel, error, 3)
    image, costs = with_uniform_noise(truth, error, 4), (100 * error, 150 * error, int(1e9 * error))
    return Trial(sample, image, estimate / estimate.sum(), *costs)


def with_uniform_noise(picture: Floats, error: float, seed: int) -> Floats:
    """Add uniform noise to a picture in [0, 1].

    Args:
        picture: the picture.
        error: largest noise in either direction.
        seed: of the noise.
    """
    noise = drawn(picture.shape, seed).numpy().astype(np.float64)
    return np.asarray(np.clip(picture + error * (2 * noise - 1), 0, 1))


def smooth_picture(shape: tuple[int, ...]) -> Floats:
    """Return a picture in [0, 1] without the finest detail, like a photograph."""
    picture = drawn(shape, seed=0).numpy().astype(np.float64)
    for axis in (0, 1):
        picture = np.mean([np.roll(picture, shift, axis) for shift in range(-2, 3)], axis=0)
    return picture


def check_no_reference_metric(component: type[NoReferenceMetric], params: ParameterValues | None = None) -> None:
    """Every property of a no-reference metric: documented, pure, finite, one number each, independent of the order."""
    assert_documented(component)
    metric, name = build(component, {}, params), component.__name__
    for number in (1, 2, 5):
        for shape in RESTORATION_SHAPES:
            assert_numbers(metric, *random_restorations((number, *shape)))
    data, images, kernels = random_restorations((5, *RESTORATION_SHAPES[0]))
    assert_pure(metric, data, images, kernels)
    order = torch.tensor([3, 0, 4, 1, 2])
    moved, expected = metric(data, images[order], kernels[order]), metric(data, images, kernels)[order]
    demand(torch.allclose(moved, expected, atol=1e-5), f"{name} depends on the order of restorations")
    points = torch.zeros_like(kernels)
    points[..., 2, 2] = 1
    assert_numbers(metric, torch.full_like(data, 0.5), torch.full_like(images, 0.5), points)


def random_restorations(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Draw data (1, C, H, W), images of the shape (N, C, H, W), and kernels (N, 1, 5, 4)."""
    kernels = drawn((shape[0], 1, 5, 4), 3) ** 4
    kernels = kernels / kernels.sum(dim=(-2, -1), keepdim=True)
    return drawn((1, *shape[1:]), 1), drawn(shape, 2), kernels


def assert_numbers(metric: NoReferenceMetric, *restorations: Tensor) -> None:
    """The metric gives one finite number for each of the restorations: data, images and kernels."""
    name, given, number = type(metric).__name__, metric(*restorations), len(restorations[1])
    demand(tuple(given.shape) == (number,), f"{name} gives {tuple(given.shape)} for {number} restorations")
    demand(bool(given.isfinite().all()), f"{name} gives NaN or infinite values")

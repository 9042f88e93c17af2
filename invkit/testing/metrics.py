"""Checks of metrics."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Floats, Metric, Sample, Trial
from .common import Settings, assert_documented, assert_random_state_untouched, build, drawn
from .operators import demand

__all__ = ["check_metric"]

GREY, COLOUR = (104, 112), (104, 112, 3)
DIRECTIONS = ("higher", "lower")


def check_metric(component: type[Metric], params: Settings | None = None) -> None:
    """Every property of a metric: documented, pure, of one unit and direction, and at ease with what is not known.

    It is tried on pictures of 104 x 112 pixels, grey and coloured, with everything that a sample may hold. A metric
    that refuses to be built by an `InputError`, as one whose weights are not there, is checked no further.
    """
    assert_documented(component)
    assert_labelled(component)
    metric = built(component, params)
    if metric is None:
        return
    for shape in (GREY, COLOUR):
        assert_repeatable(metric, trial_of(shape, error=0.05))
        assert_direction(metric, shape)
    assert_content_with_little(metric)


def built(component: type[Metric], params: Settings | None) -> Metric | None:
    """The metric, or None where it says that it cannot be had here."""
    try:
        with assert_random_state_untouched(f"building {component.__name__}"):
            return build(component, {}, params)
    except InputError as refusal:
        demand(len(str(refusal)) > 20, f"{component.__name__} refuses to be built and does not say why: '{refusal}'")
        return None


def assert_labelled(component: type[Metric]) -> None:
    """Unit and direction are known of the class, for a table's head."""
    name = component.__name__
    unit, better = getattr(component, "unit", None), getattr(component, "better", None)
    demand(isinstance(unit, str), f"{name}.unit is {unit!r}; give a text, an empty one where there is none")
    demand(better in DIRECTIONS, f"{name}.better is {better!r}; it must be 'higher' or 'lower'")


def assert_repeatable(metric: Metric, trial: Trial) -> None:
    """Two calls, and one of a pickled copy, give the same number; nothing given is changed."""
    name = type(metric).__name__
    with assert_random_state_untouched(f"calling {name}"), assert_pictures_unchanged(name, trial):
        first, again = figure(metric, trial), figure(metric, trial)
    demand(first is not None, f"{name} gives None for a trial that has everything")
    demand(first == again, f"two calls of {name} give {first} and {again}")
    copied = figure(pickle.loads(pickle.dumps(metric)), trial)
    demand(first == copied, f"{name} gives {first}, and a pickled copy {copied}")


def assert_direction(metric: Metric, shape: tuple[int, ...]) -> None:
    """Of two trials, the one that is better in every respect has no worse a figure."""
    name = type(metric).__name__
    good, bad = figure(metric, trial_of(shape, error=0.02)), figure(metric, trial_of(shape, error=0.2))
    sign = 1 if metric.better == "higher" else -1
    demand(
        good is not None and bad is not None and sign * (good - bad) >= 0,
        f"{name} is better '{metric.better}', but gives {good} for a good result and {bad} for a poor one",
    )


def assert_content_with_little(metric: Metric) -> None:
    """What is not known makes no error; the figure is a number or None."""
    full = trial_of(GREY, error=0.05)
    bare = Sample(full.sample.image)
    figure(metric, Trial(bare, full.image, None, full.seconds, full.cpu_seconds, full.peak_memory))
    known = Sample(full.sample.image, truth=full.sample.truth)
    figure(metric, Trial(known, full.image, full.kernel, full.seconds, full.cpu_seconds, full.peak_memory))


def figure(metric: Metric, trial: Trial) -> float | None:
    """What a metric says of a trial: a float that is a number, or None."""
    value, name = metric.measure(trial), type(metric).__name__
    demand(value is None or isinstance(value, float), f"{name} gives {value!r}; a float or None is wanted")
    demand(value is None or not math.isnan(value), f"{name} gives NaN")
    return value


@contextmanager
def assert_pictures_unchanged(name: str, trial: Trial) -> Iterator[None]:
    """What happens inside changes no pixel of the trial."""
    before = [picture.copy() for picture in pictures_of(trial)]
    yield
    same = all(np.array_equal(a, b) for a, b in zip(before, pictures_of(trial), strict=True))
    demand(same, f"{name} changes the pictures that it is given")


def pictures_of(trial: Trial) -> list[Floats]:
    """Every array of a trial."""
    sample = trial.sample
    found = [sample.image, sample.truth, sample.kernel, *sample.references.values(), trial.image, trial.kernel]
    return [picture for picture in found if picture is not None]


def trial_of(shape: tuple[int, ...], error: float) -> Trial:
    """A trial whose image and kernel are off by about ``error``, and which took the more the greater that is."""
    truth = smooth(shape)
    kernel = np.outer([1.0, 2, 1], [1.0, 3, 1, 0]) / 20
    sample = Sample(noisy(truth, 0.3, 1), truth, kernel, {"known-kernel": noisy(truth, 0.01, 2)})
    estimate = noisy(kernel, error, 3)
    return Trial(sample, noisy(truth, error, 4), estimate / estimate.sum(), 100 * error, 150 * error, int(1e9 * error))


def noisy(picture: Floats, error: float, seed: int) -> Floats:
    """A picture in [0, 1] with uniform noise of up to ``error`` either way."""
    noise = drawn(picture.shape, seed).numpy().astype(np.float64)
    return np.asarray(np.clip(picture + error * (2 * noise - 1), 0, 1))


def smooth(shape: tuple[int, ...]) -> Floats:
    """A picture in [0, 1] without the finest detail, as photographs are."""
    picture = drawn(shape, seed=0).numpy().astype(np.float64)
    for axis in (0, 1):
        picture = np.mean([np.roll(picture, shift, axis) for shift in range(-2, 3)], axis=0)
    return picture

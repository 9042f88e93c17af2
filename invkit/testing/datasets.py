"""Checks of datasets, and of the classes of those that may not be here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Case, Dataset, Downloadable, Floats, Sample
from ..datasets.archives import safe_path
from ..datasets.pictures import safe_names
from .common import Settings, assert_documented, assert_random_state_untouched, build
from .operators import demand

__all__ = ["check_dataset", "check_dataset_class"]

SAMPLED = 3  # cases whose pictures are looked at
NEAR = 256  # pixels by which a truth may be larger than its image: a valid convolution by the largest kernels


def check_dataset(dataset: Dataset, *, sampled: int = SAMPLED) -> None:
    """Every property of a dataset whose files are here.

    Names are unique and safe, the order is fixed, files exist, and pictures have the layouts, ranges and sums that
    `invkit.core.evaluation.Sample` promises, twice the same.

    Args:
        dataset: an instance.
        sampled: how many cases, spread over all, have their pictures looked at.

    Raises:
        AssertionError: it does not do what it must.
    """
    name = type(dataset).__name__
    with assert_random_state_untouched(f"listing the cases of {name}"):
        cases = dataset.cases()
        again = dataset.cases()
    demand(len(cases) > 0, f"{name} has no case")
    demand(list(cases) == list(again), f"{name} lists other cases, or another order, when asked again")
    assert_names(name, cases)
    for case in cases:
        assert_case(name, case)
    for case in cases[:: -(-len(cases) // sampled)]:
        with assert_random_state_untouched(f"sampling {case.name}"):
            first, second = dataset.sample(case), dataset.sample(case)
        assert_sample(f"{name}, {case.name}", first)
        assert_same(f"{name}, {case.name}", first, second)


def check_dataset_class(component: type[Dataset], params: Settings | None = None) -> None:
    """What any dataset must do, whether its files are here or not, from an empty folder of all data.

    It is documented and says title and licence; what it asks to be downloaded can be checked and stays in its folder;
    without its files, `InputError` says so, and with them `check_dataset` holds.

    Raises:
        AssertionError: it does not do what it must.
    """
    assert_documented(component)
    name = component.__name__
    for attribute in ("title", "licence"):
        demand(bool(getattr(component, attribute, "")), f"{name} has no {attribute}")
    for attribute in ("citation", "homepage"):
        demand(
            isinstance(getattr(component, attribute, None), str), f"{name} has no {attribute}, not even an empty one"
        )
    if issubclass(component, Downloadable):
        assert_sources(component)
    with tempfile.TemporaryDirectory() as empty:
        dataset = build(component, {"root": Path(empty)}, params)
        try:
            dataset.cases()
        except InputError:
            return
        demand(not issubclass(component, Downloadable), f"{name} lists cases where none of its files is")
        check_dataset(dataset)


def assert_names(name: str, cases: Sequence[Case]) -> None:
    """The names are unique, whatever their case, and safe in file names."""
    names = [case.name for case in cases]
    demand(
        names == safe_names(names),
        f"{name} has names that are not unique, or hold other signs than A-Z a-z 0-9 . _ -, or --",
    )
    groups = [set(case.groups) for case in cases]
    demand(all(group == groups[0] for group in groups), f"{name} gives some cases groups that others lack")


def assert_case(name: str, case: Case) -> None:
    """A case's files exist and its kernel size is one."""
    lost = [str(file) for file in case.files if not file.is_file()]
    demand(not lost, f"{name}, {case.name}: there is no file {', '.join(lost)}")
    size = case.kernel_size
    demand(size is None or (len(size) == 2 and min(size) >= 1), f"{name}, {case.name}: {size} is no kernel size (h, w)")


def assert_sample(where: str, sample: Sample) -> None:
    """Layouts, ranges and sums."""
    assert_picture(f"{where}: the image", sample.image)
    others = dict(sample.references) | ({} if sample.truth is None else {"truth": sample.truth})
    for label, picture in others.items():
        assert_picture(f"{where}: the {label}", picture)
        demand(picture.ndim == sample.image.ndim, f"{where}: the {label} has not the image's channels")
        far = np.abs(np.subtract(picture.shape[:2], sample.image.shape[:2])).max()
        demand(far <= NEAR, f"{where}: the {label} is {picture.shape}, and the image {sample.image.shape}")
    if sample.kernel is not None:
        assert_kernel_array(where, sample.kernel)


def assert_picture(what: str, picture: Floats) -> None:
    """(H, W) or (H, W, 3), floating point in [0, 1]."""
    shape = picture.shape
    demand(picture.dtype.kind == "f", f"{what} is of {picture.dtype}, not floating point")
    demand(len(shape) == 2 or (len(shape) == 3 and shape[2] == 3), f"{what} is {shape}, neither (H, W) nor (H, W, 3)")
    demand(bool(np.isfinite(picture).all()), f"{what} holds NaN or infinite values")
    demand(float(picture.min()) >= 0 and float(picture.max()) <= 1, f"{what} leaves [0, 1]")


def assert_kernel_array(where: str, kernel: Floats) -> None:
    """(h, w), >= 0, summing to one."""
    demand(kernel.ndim == 2 and kernel.size > 0, f"{where}: the kernel is {kernel.shape}, not (h, w)")
    demand(float(kernel.min()) >= 0, f"{where}: the kernel has negative values")
    demand(abs(float(kernel.sum(dtype=np.float64)) - 1) <= 1e-5, f"{where}: the kernel does not sum to one")


def assert_same(where: str, first: Sample, second: Sample) -> None:
    """Two samples of a case have the same pixels."""
    one, two = arrays(first), arrays(second)
    demand(one.keys() == two.keys(), f"{where}: sampled twice, it has other pictures")
    for label in one:
        demand(np.array_equal(one[label], two[label]), f"{where}: sampled twice, the {label} differs")


def arrays(sample: Sample) -> Mapping[str, Floats]:
    """What a sample holds, by name."""
    parts = {"image": sample.image, "truth": sample.truth, "kernel": sample.kernel, **sample.references}
    return {label: part for label, part in parts.items() if part is not None}


def assert_sources(component: type[Downloadable]) -> None:
    """Each file goes to a place of its own inside the set's folder, and can be checked."""
    name, sources = component.__name__, component.dataset_files()
    paths = [source.path for source in sources if not source.unpack]
    demand(bool(sources), f"{name} has nothing to download")
    demand(len({path.casefold() for path in paths}) == len(paths), f"{name} downloads two files to one path")
    for path in (component.folder, *(source.path for source in sources if source.path != ".")):
        try:
            safe_path(path)
        except InputError as error:
            raise AssertionError(f"{name}: {error}") from error
    for source in sources:
        digits = set(source.sha256) <= set("0123456789abcdef") and len(source.sha256) == 64
        demand(digits and source.size > 0, f"{name}: {source.path} has no size, or no SHA-256 in lower-case digits")
        demand(source.url.startswith(("https://", "http://")) or not source.url, f"{name}: {source.url} is no address")

"""A suite and data -> jobs, each with an id that tells whether a result is still its own.

Planning reads no pixels and loads none of the recipes' components: it looks names up and hashes files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..core import registry
from ..core.errors import InvkitError
from ..core.evaluation import Case
from ..core.interfaces import Dataset, Metric
from ..recipes.messages import placed
from ..recipes.model import CheckedComponent, Recipe, check_recipe, load_recipe, read_parameters
from .digests import data_digest, file_digest, hash_ahead
from .suite import DatasetSpec, MetricSpec, RecipeSpec, Suite

__all__ = ["Job", "Plan", "build_dataset", "build_metric", "check", "make_plan", "spread"]

DIGITS = 12  # of an id's digest
LONGEST = 80  # characters of a case's name in an id: file systems hold 255, and the labels take their part
WORDS = ("title", "source", "notes")  # of a recipe; they change no number


@dataclass(frozen=True, eq=False)
class Job:
    """One recipe on one case with one seed; small, and can be sent to another process.

    Attributes:
        id: recipe, dataset, case, seed and a digest of all that determines the result.
        label: of the recipe in the suite.
        recipe: the method, with its settings applied.
        dataset: what the case is of.
        root: the folder of all data, absolute, or None.
        case: the case.
        seed: of every random number of the recipe.
        metrics: what is measured.
        snapshots: iterations, counted over all stages, after which image and kernel are kept.
        color: as for `invkit.deblur`.
        device: as for `invkit.deblur`.
        time_limit: seconds, or None.
        pictures: whether the restored pictures are kept.
        versions: of the distributions that the components are from.
    """

    id: str
    label: str
    recipe: Recipe
    dataset: DatasetSpec
    root: Path | None
    case: Case
    seed: int
    metrics: tuple[MetricSpec, ...]
    snapshots: tuple[int, ...]
    color: Literal["luma", "rgb"] | None
    device: str
    time_limit: float | None
    pictures: bool
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """All jobs of a suite.

    Attributes:
        suite: what it is of.
        jobs: in the order they are run: all recipes on a case before the next case, all cases before the next seed.
        facts: what ``suite.json`` says, JSON-like.
    """

    suite: Suite
    jobs: tuple[Job, ...]
    facts: Mapping[str, Any]


def make_plan(suite: Suite, root: Path | None) -> Plan:
    """The jobs of a suite.

    Args:
        suite: the suite.
        root: the folder of all data, for the datasets that need one.

    Raises:
        InvkitError: a recipe, dataset or metric of the suite cannot be had, or data are missing; says which.
    """
    planner = Planner(suite, None if root is None else root.resolve())
    jobs = tuple(planner.jobs())
    return Plan(suite, jobs, {**planner.facts(), "jobs": [job.id for job in jobs]})


def check(plan: Plan) -> None:
    """Load every component of every recipe and check its parameters, before anything is computed.

    Raises:
        InvkitError: one of them cannot be used; says of which recipe.
    """
    for label, recipe in {job.label: job.recipe for job in plan.jobs}.items():
        with of_recipe(label):
            check_recipe(recipe)


@contextmanager
def of_recipe(label: str) -> Iterator[None]:
    """Say of an error to which recipe of the suite it belongs."""
    try:
        yield
    except InvkitError as error:
        raise type(error)(f"the suite's recipe {label}: {error}") from error


def recipe_of(spec: RecipeSpec, common: Sequence[str]) -> Recipe:
    """A recipe with the settings of all recipes and its own applied; raises `InvkitError`."""
    with of_recipe(spec.label):
        recipe = load_recipe(spec.name)
        settings = [*common, *spec.overrides]
        return recipe.with_overrides(settings) if settings else recipe


def build_dataset(spec: DatasetSpec, root: Path | None) -> Dataset:
    """The dataset that a suite names; raises `InvkitError`."""
    dataset: Dataset = parameters("datasets", spec).build({"root": root})
    return dataset


def build_metric(spec: MetricSpec) -> Metric:
    """The metric that a suite names; raises `InvkitError`."""
    metric: Metric = parameters("metrics", spec).build({})
    return metric


def parameters(family: str, spec: DatasetSpec | MetricSpec) -> CheckedComponent:
    """The checked parameters of a dataset or a metric; raises `InvkitError`."""
    place = f"{family}.{spec.label}"
    with placed(place):
        component = registry.load(family, spec.name)
    return CheckedComponent(place, component, read_parameters(component, spec.params, "the suite", f"{place}.params"))


def spread(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most ``limit`` cases, from the first to the last, as evenly as can be.

    In a list of images, each with all kernels, that takes different kernels with different images, as a fixed stride
    of a multiple of the kernels would not.
    """
    last = len(cases) - 1
    if limit is None or limit > last:
        return list(cases)
    gaps = max(limit - 1, 1)
    return [cases[(2 * i * last + gaps) // (2 * gaps)] for i in range(limit)]  # i * last / gaps, rounded


class Planner:
    """A suite with its recipes, datasets and metrics at hand.

    Raises:
        InvkitError: as `make_plan`.
    """

    def __init__(self, suite: Suite, root: Path | None) -> None:
        self.suite, self.root = suite, root
        self.recipes = [recipe_of(spec, suite.overrides) for spec in suite.recipes]
        self.datasets = [build_dataset(spec, root) for spec in suite.datasets]
        self.metrics = [build_metric(spec) for spec in suite.metrics]
        self.documents = [document(recipe) for recipe in self.recipes]
        others = [spec.name for spec in (*suite.datasets, *suite.metrics)]
        self.versions = [providers([method, others]) for method in self.documents]

    def jobs(self) -> Iterator[Job]:
        """The jobs in their order."""
        cases = [spread(dataset.cases(), self.suite.limit) for dataset in self.datasets]
        hash_ahead(file for some in cases for case in some for file in case.files)
        common = self.common()
        for seed in self.suite.seeds:
            for dataset, some in zip(self.suite.datasets, cases, strict=True):
                for case in some:
                    data = [*resolved("datasets", dataset), *identity(case)]
                    for index in range(len(self.recipes)):
                        yield self.job(index, dataset, case, seed, {**common[index], "data": data})

    def job(self, index: int, dataset: DatasetSpec, case: Case, seed: int, determined: Mapping[str, Any]) -> Job:
        """One job of the recipe at an index; ``determined`` is what its result depends on beside the seed."""
        suite, label, pictures = self.suite, self.suite.recipes[index].label, self.suite.keeps_pictures(seed)
        digits = data_digest({**determined, "seed": seed, "pictures": pictures})[:DIGITS]
        return Job(
            id=f"{label}--{dataset.label}--{case.name[:LONGEST]}--s{seed}--{digits}",
            label=label,
            recipe=self.recipes[index],
            dataset=dataset,
            root=self.root,
            case=case,
            seed=seed,
            metrics=tuple(suite.metrics),
            snapshots=tuple(suite.snapshots),
            color=suite.color,
            device=suite.device,
            time_limit=suite.time_limit,
            pictures=pictures,
            versions=self.versions[index],
        )

    def common(self) -> list[dict[str, Any]]:
        """For each recipe, what its results depend on, whatever the case and the seed."""
        suite = self.suite
        metrics = [[spec.label, *resolved("metrics", spec)] for spec in suite.metrics]
        settings = [suite.snapshots, suite.color, suite.device, suite.time_limit]
        return [
            {"recipe": method, "metrics": metrics, "settings": settings, "versions": versions}
            for method, versions in zip(self.documents, self.versions, strict=True)
        ]

    def facts(self) -> dict[str, Any]:
        """What the suite is, in plain data."""
        suite = self.suite
        return {
            **suite.model_dump(mode="json"),
            "datasets": [told(spec, of_dataset(it)) for spec, it in zip(suite.datasets, self.datasets, strict=True)],
            "recipes": [told(spec, of_method(it)) for spec, it in zip(suite.recipes, self.recipes, strict=True)],
            "metrics": [told(spec, of_metric(it)) for spec, it in zip(suite.metrics, self.metrics, strict=True)],
            "versions": {"invkit": __version__},
        }


def document(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data without the words that change no number; short forms are written out."""
    return without_words(recipe.model_dump(mode="json"))


def without_words(method: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's document, and those of the recipes that go on, without their words."""
    kept = {place: value for place, value in method.items() if place not in WORDS}
    return {**kept, "next": without_words(kept["next"]) if kept["next"] else None}


def identity(case: Case) -> list[Any]:
    """What a case is, JSON-like: its files count by their contents, wherever they lie."""
    return [case.name, case.kernel_size, [file_digest(file) for file in case.files]]


def resolved(family: str, spec: DatasetSpec | MetricSpec) -> list[Any]:
    """Name and parameters of a component, every default written out."""
    return [spec.name, parameters(family, spec).written_out()]


def providers(names: Any) -> dict[str, str]:
    """The distributions, with their versions, of every component that may be meant by a text in plain data.

    Components that others hold are named in their parameters, where only the loaded component could tell a name from
    another text: each text counts that some family knows. At worst a result is counted as outdated without need.
    """
    known: dict[str, dict[str, str]] = {}
    for family in registry.FAMILIES:
        for entry in registry.entries(family):
            known.setdefault(entry.name, {})[entry.distribution] = entry.version
    libraries = {adapter.name: registry.library_version(adapter) for adapter in registry.entries("adapters")}
    found: dict[str, str] = {}
    for text in texts(names):
        origin, _, name = text.rpartition(":")
        found |= known.get(name, {})
        if origin in libraries:
            found[origin] = libraries[origin]
    return dict(sorted((found | {"invkit": __version__}).items()))


def texts(data: Any) -> Iterator[str]:
    """Every text in JSON-like data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        yield from texts(list(data.values()))
    elif isinstance(data, list):
        for item in data:
            yield from texts(item)


def told(spec: DatasetSpec | MetricSpec | RecipeSpec, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a suite says of an item, and what there is to say of it."""
    return {**spec.model_dump(mode="json"), **facts}


def of_dataset(dataset: Dataset) -> dict[str, str]:
    """What a dataset says of itself."""
    names = ("title", "citation", "licence", "homepage")
    return {name: str(getattr(dataset, name)) for name in names}


def of_method(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of itself, and all of it."""
    return {"title": recipe.title, "source": recipe.source, "document": recipe.model_dump(mode="json")}


def of_metric(metric: Metric) -> dict[str, str]:
    """What a metric says of itself."""
    return {"unit": metric.unit, "better": metric.better}

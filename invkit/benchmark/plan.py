"""A suite and data -> jobs, each with an id that shows whether a result still belongs to it.

Planning reads no pixels and imports no component of a recipe: it looks names up and hashes files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.errors import InputError, InvkitError
from ..core.evaluation import Case, Dataset, Downloadable
from ..core.messages import nearest_name
from ..recipes.model import Recipe, check_recipe, load_recipe
from .published import published_tables
from .store import data_digest, file_digest, hash_ahead
from .suite import DatasetSpec, RecipeSpec, Suite, swept

__all__ = ["BenchmarkJob", "Plan", "check_recipes", "evenly_chosen", "make_plan"]

ID_DIGITS = 12  # of the digest in an id
MAX_CASE_NAME = 80  # characters of the case in an id; a file name holds 255, and the labels need their part
DESCRIPTIVE_FIELDS = ("title", "source", "notes")  # fields of a recipe that change no result
DATASET_FACTS = ("title", "citation", "licence", "homepage")


@dataclass(frozen=True, eq=False)
class BenchmarkJob:
    """One recipe on one case with one seed; it is small and can be sent to another process.

    Attributes:
        id: recipe, dataset, case, seed, and a digest of everything that determines the result.
        label: of the recipe in the suite.
        recipe: the recipe with its settings applied.
        dataset: the dataset of the case.
        root: the folder of all data, absolute, or None.
        case: the case.
        seed: seed of all random numbers of the recipe.
        suite: the suite, with the metrics and the settings of all jobs.
        versions: of the distributions that provide the components.
    """

    id: str
    label: str
    recipe: Recipe
    dataset: DatasetSpec
    root: Path | None
    case: Case
    seed: int
    suite: Suite
    versions: Mapping[str, str]

    @property
    def keeps_images(self) -> bool:
        """Whether the restored images are kept: of all seeds or of the first one. Kernels are always kept."""
        return self.suite.keep == "images" or self.seed == self.suite.seeds[0]


@dataclass(frozen=True)
class Plan:
    """All jobs of a suite.

    Attributes:
        suite: the suite.
        jobs: in the order of execution: all recipes on a case before the next case, all cases before the next seed.
        facts: the content of ``suite.json``, JSON-like.
        absent: the labels of datasets whose files are missing, each with a message. Their jobs can be counted only.
    """

    suite: Suite
    jobs: tuple[BenchmarkJob, ...]
    facts: Mapping[str, Any]
    absent: Mapping[str, str] = field(default_factory=dict)


def make_plan(suite: Suite, root: Path | None, *, count_only: bool = False) -> Plan:
    """The jobs of a suite.

    Args:
        suite: the suite.
        root: the folder of all data.
        count_only: whether a dataset may be absent whose cases are known without its files.

    Raises:
        InvkitError: a recipe, dataset or metric cannot be loaded, or data are missing; the message names it.
    """
    planner = Planner(suite, None if root is None else root.resolve(), count_only)
    jobs = tuple(planner.jobs())
    return Plan(planner.suite, jobs, {**planner.facts(), "jobs": [job.id for job in jobs]}, planner.absent)


def check_recipes(plan: Plan) -> None:
    """Load every component of every recipe and check its parameters, before anything is computed.

    Raises:
        InvkitError: a component cannot be used; the message names its recipe.
    """
    for label, recipe in {job.label: job.recipe for job in plan.jobs}.items():
        with errors_of_recipe(label):
            check_recipe(recipe)


@contextmanager
def errors_of_recipe(label: str) -> Iterator[None]:
    """Name the recipe of the suite in an error."""
    try:
        yield
    except InvkitError as error:
        raise type(error)(f"the suite's recipe {label}: {error}") from error


def recipe_of(spec: RecipeSpec) -> Recipe:
    """A recipe with its settings; raises `InvkitError`."""
    with errors_of_recipe(spec.label):
        recipe = load_recipe(spec.name)
        return recipe.with_overrides(spec.overrides) if spec.overrides else recipe


def evenly_chosen(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most ``limit`` cases, from the first to the last, as evenly as possible.

    In a list of images, each with all kernels, this takes different kernels with different images. A fixed stride of a
    multiple of the kernels would not.

    Example:
        >>> [case.name for case in evenly_chosen([Case(name) for name in "abcdefg"], 3)]
        ['a', 'd', 'g']
    """
    last = len(cases) - 1
    if limit is None or limit > last:
        return list(cases)
    gaps = max(limit - 1, 1)
    return [cases[(2 * i * last + gaps) // (2 * gaps)] for i in range(limit)]  # i * last / gaps, rounded


class Planner:
    """A suite with its recipes, datasets and metrics loaded; arguments and errors are those of `make_plan`."""

    def __init__(self, suite: Suite, root: Path | None, count_only: bool = False) -> None:
        self.suite, self.root, self.count_only = swept(suite), root, count_only
        self.absent: dict[str, str] = {}
        check_published(suite)
        self.recipes = [recipe_of(spec) for spec in self.suite.recipes]
        self.datasets = [spec.build(root) for spec in suite.datasets]
        self.metrics = [spec.build() for spec in suite.metrics]
        self.documents = [without_descriptions(recipe.model_dump(mode="json")) for recipe in self.recipes]
        check_different(suite, self.suite, self.documents)
        others = [spec.name for spec in (*suite.datasets, *suite.metrics)]
        self.versions = [distributions_of([document, others]) for document in self.documents]

    def jobs(self) -> Iterator[BenchmarkJob]:
        """The jobs in their order."""
        labelled = zip(self.suite.datasets, self.datasets, strict=True)
        cases = [evenly_chosen(self.cases_of(spec.label, dataset), self.suite.limit) for spec, dataset in labelled]
        present = [some for spec, some in zip(self.suite.datasets, cases, strict=True) if spec.label not in self.absent]
        hash_ahead(file for some in present for case in some for file in case.files)
        recipes = list(zip(self.suite.recipes, self.recipes, self.versions, self.common(), strict=True))
        for seed in self.suite.seeds:
            for dataset, some in zip(self.suite.datasets, cases, strict=True):
                for case in some:
                    digests = None if dataset.label in self.absent else list(map(file_digest, case.files))
                    data = [*dataset.written_out(), case.name, case.kernel_size, digests]
                    for spec, recipe, versions, common in recipes:
                        place = (dataset, self.root, case, seed)
                        job = BenchmarkJob("", spec.label, recipe, *place, self.suite, versions)
                        yield with_id(job, {**common, "data": data})

    def cases_of(self, label: str, dataset: Dataset) -> Sequence[Case]:
        """The cases of a dataset, which is noted as absent if its files are missing and the jobs are only counted.

        Args:
            label: of the dataset in the suite.
            dataset: the dataset.

        Raises:
            InputError: files are missing.
        """
        try:
            return dataset.cases()
        except InputError as error:
            if not self.count_only or not isinstance(dataset, Downloadable):
                raise
            self.absent[label] = str(error)
            return dataset.listed_cases()

    def common(self) -> list[dict[str, Any]]:
        """For each recipe, everything that determines its results for all cases and seeds."""
        suite = self.suite
        metrics = [[spec.label, *spec.written_out()] for spec in suite.metrics]
        settings = [suite.snapshots, suite.color, suite.device, suite.time_limit]
        return [
            {"recipe": document, "metrics": metrics, "settings": settings, "versions": versions}
            for document, versions in zip(self.documents, self.versions, strict=True)
        ]

    def facts(self) -> dict[str, Any]:
        """The suite as plain data."""
        described: dict[str, list[dict[str, Any]]] = {
            "datasets": [{name: str(getattr(dataset, name)) for name in DATASET_FACTS} for dataset in self.datasets],
            "recipes": [
                {"title": recipe.title, "source": recipe.source, "document": recipe.model_dump(mode="json")}
                for recipe in self.recipes
            ],
            "metrics": [{"unit": metric.unit, "better": metric.better} for metric in self.metrics],
        }
        document = self.suite.model_dump(mode="json")
        for key, facts in described.items():
            document[key] = [{**item, **more} for item, more in zip(document[key], facts, strict=True)]
        return {**document, "versions": {"invkit": version("invkit")}}


def check_published(suite: Suite) -> None:
    """Raise `InputError` if the suite names a published table that does not exist."""
    known = [table["id"] for table in published_tables()]
    for name in suite.published or ():
        if name not in known:
            raise InputError(f"the suite: published: there is no table '{name}'; {nearest_name(name, known)}")


def with_id(job: BenchmarkJob, determining: Mapping[str, Any]) -> BenchmarkJob:
    """The job with its id; ``determining`` is everything besides the seed that determines the result, JSON-like."""
    digits = data_digest({**determining, "seed": job.seed, "pictures": job.keeps_images})[:ID_DIGITS]
    case = job.case.name[:MAX_CASE_NAME]
    return replace(job, id=f"{job.label}--{job.dataset.label}--{case}--s{job.seed}--{digits}")


def check_different(given: Suite, suite: Suite, documents: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a grid that makes the same recipe twice, as by two names of one place; raises `InputError`.

    Args:
        given: the suite with its grids.
        suite: the suite without grids.
        documents: of its recipes.
    """
    own = {spec.label for spec in given.recipes}
    varied = [(s.label, document) for s, document in zip(suite.recipes, documents, strict=True) if s.label not in own]
    for place, (label, document) in enumerate(varied):
        for other, earlier in varied[:place]:
            if document == earlier:
                raise InputError(f"the grid makes {other} and {label}, which are the same recipe; name each place once")


def without_descriptions(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a recipe, of its referee and of its next stages without the fields that change no result."""
    kept = {place: value for place, value in document.items() if place not in DESCRIPTIVE_FIELDS}
    inside = {place: without_descriptions(kept[place]) if kept[place] else None for place in ("referee", "next")}
    return kept | inside


def distributions_of(names: Any) -> dict[str, str]:
    """The distributions, with their versions, of every component that a text in plain data may name.

    Nested components are named in the parameters of others, and only the loaded component could distinguish a name
    from another text. Hence every text counts that is a registered name. In the worst case a result counts as outdated
    without need.
    """
    known: dict[str, dict[str, str]] = {}
    for family in registry.FAMILIES:
        for entry in registry.entries(family):
            known.setdefault(entry.name, {})[entry.distribution] = entry.version
    libraries = {adapter.name: registry.library_version(adapter) for adapter in registry.entries("adapters")}
    found: dict[str, str] = {}
    for text in texts_in(names):
        origin, _, name = text.rpartition(":")
        found |= known.get(name, {})
        if origin in libraries:
            found[origin] = libraries[origin]
    return dict(sorted((found | {"invkit": version("invkit")}).items()))


def texts_in(data: Any) -> Iterator[str]:
    """Every text in JSON-like data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        yield from texts_in(list(data.values()))
    elif isinstance(data, list):
        for item in data:
            yield from texts_in(item)

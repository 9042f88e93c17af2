"""A suite: a small TOML file that says which recipes are tried on which datasets, and which metrics are measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from ..core import registry
from ..core.errors import InputError, PluginError, name_missing_components_at, reported_as
from ..core.files import parse_toml, read_toml_text
from ..core.messages import Place, describe_errors, near_names, nearest_name
from ..core.nested import Strict, listed, named
from ..core.parameters import parameters_of, positional_names, read_strictly
from .grid import MAX_LABEL, Grid, check_not_set, combinations, read_axis, settings_of

__all__ = [
    "DatasetSpec",
    "MetricSpec",
    "RecipeSpec",
    "Suite",
    "bundled",
    "load_suite",
    "parse_suite",
    "selected",
    "swept",
]

LABEL = re.compile(rf"(?!.*--)[A-Za-z0-9._-]{{1,{MAX_LABEL}}}", re.ASCII)
REGISTERED_NAME = "registered name, or 'distribution:name'"

ModelT = TypeVar("ModelT", bound=BaseModel)


def _check_label(label: str) -> str:
    if not LABEL.fullmatch(label) or label.strip(".") == "":
        raise ValueError(f"should be at most {MAX_LABEL} letters, digits, '.', '_' and '-', without '--'")
    return label


class Labelled(Strict):
    """An item of a suite: its registered name, and the label that results use for it."""

    name: str = Field(min_length=1, description=REGISTERED_NAME)
    label: Annotated[str, AfterValidator(_check_label)] = Field(description="short name in tables and file names")


class ParameterisedSpec(Labelled):
    """A component of a suite, and the parameters that differ from its defaults."""

    family: ClassVar[str]
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the component")

    def checked(self) -> tuple[type, BaseModel]:
        """The class of the component and its checked parameters; raises `InvkitError`."""
        with name_missing_components_at(f"{self.family}.{self.label}"):
            component = registry.load(self.family, self.name)
        place = f"{self.family}.{self.label}.params"
        return component, read_checked(parameters_of(component), self.params, "the suite", place)

    def written_out(self) -> list[Any]:
        """The name and all parameters with their defaults, JSON-like; raises `InvkitError`."""
        return [self.name, self.checked()[1].model_dump(mode="json")]

    def build(self, root: Path | None = None) -> Any:
        """The component; ``root``, the folder of all data, is the positional argument of a dataset.

        Raises:
            InvkitError: the component cannot be loaded, refuses its parameters, or fails.
        """
        component, values = self.checked()
        what = f"{self.family}.{self.label}: the component {component.__module__}.{component.__qualname__} failed"
        with reported_as(PluginError, what, "check its params in the suite"):
            return component(*(root for _ in positional_names(component)), **dict(values))


class DatasetSpec(ParameterisedSpec):
    """A dataset of a suite."""

    family: ClassVar[str] = "datasets"


class MetricSpec(ParameterisedSpec):
    """A metric of a suite."""

    family: ClassVar[str] = "metrics"


class RecipeSpec(Labelled):
    """A recipe of a suite, and the settings that the suite changes."""

    name: str = Field(min_length=1, description=f"{REGISTERED_NAME}, or a .toml file beside the suite")
    overrides: list[str] = Field(default_factory=list, description="settings, as 'solver.iterations=500'")
    grid: Grid = Field(default_factory=dict, description="values by place; each combination is a recipe of its own")


L = TypeVar("L", bound=Labelled)


def _distinct(items: list[L]) -> list[L]:
    labels = [item.label for item in items]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"two are labelled '{twice[0]}': give one of them a label of its own")
    return items


def _once(items: list[int]) -> list[int]:
    if len(set(items)) < len(items):
        raise ValueError("should hold each number once")
    return items


AsTable, AsList, Distinct = BeforeValidator(named), BeforeValidator(listed), AfterValidator(_distinct)
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], AfterValidator(_once)]
SnapshotIterations = Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(_once)]
SETTINGS_TABLE = "names, or tables {name = ..., label = ..., %s}"


class Suite(Strict):
    """Every recipe is tried on every case of every dataset, once for each seed."""

    title: str = ""
    datasets: Annotated[list[Annotated[DatasetSpec, AsTable]], AsList, Distinct] = Field(
        min_length=1, description=SETTINGS_TABLE % "params = {...}"
    )
    recipes: Annotated[list[Annotated[RecipeSpec, AsTable]], AsList, Distinct] = Field(
        min_length=1, description=SETTINGS_TABLE % "overrides = [...]"
    )
    metrics: Annotated[list[Annotated[MetricSpec, AsTable]], AsList, Distinct] = Field(
        min_length=1, description=SETTINGS_TABLE % "params = {...}"
    )
    seeds: Seeds = Field(default=[0], min_length=1, description="seeds of all random numbers of a recipe")
    snapshots: SnapshotIterations = Field(default=[], description="iterations whose image and kernel are kept")
    overrides: list[str] = Field(
        default=[],
        description="settings of every recipe, or of one, as 'LABEL:solver.iterations=500'; its own come later",
    )
    grid: Grid = Field(default={}, description="values by place, for every recipe; its own grid comes later")
    limit: int | None = Field(default=None, ge=1, description="cases of each dataset, spread evenly; none: all")
    color: Literal["luma", "rgb"] | None = Field(default=None, description="restored channels; none: the recipe's")
    device: str = Field(default="auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps")
    time_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="seconds for one job")
    published: list[str] | None = Field(
        default=None, description="published tables that belong to the suite; none: all tables of its datasets"
    )
    keep: Literal["images", "figures"] = Field(
        default="images", description="'images': every restored image; 'figures': only the images of the first seed"
    )


SPECS: dict[str, type[Labelled]] = {"datasets": DatasetSpec, "recipes": RecipeSpec, "metrics": MetricSpec}


def bundled() -> list[str]:
    """The names of the suites that come with invkit."""
    found = (Path(entry.name) for entry in (files(__package__) / "suites").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")


def load_suite(name_or_path: str | Path, preset: str | None = None) -> Suite:
    """A suite by name or from a ``.toml`` file. A recipe that is named as a file is searched beside the suite.

    Args:
        name_or_path: the name of a bundled suite, or the path of a file.
        preset: a preset of the suite, whose settings replace those of the suite.

    Raises:
        InputError: the suite or the preset does not exist, or a setting is not allowed; the message names the place.
        RecipeError: the file is not valid TOML.

    Example:
        >>> [recipe.label for recipe in load_suite("quick").recipes]
        ['fast-map', 'known-kernel']
    """
    given = str(name_or_path)
    if not given.endswith(".toml"):
        return parse_suite(bundled_text(given), given, preset)
    suite = parse_suite(read_toml_text(Path(given)), given, preset)
    folder = Path(given).resolve().parent
    beside = [
        recipe.model_copy(update={"name": str(folder / recipe.name)}) if recipe.name.endswith(".toml") else recipe
        for recipe in suite.recipes
    ]
    return suite.model_copy(update={"recipes": beside})


def bundled_text(name: str) -> str:
    """The text of a bundled suite; raises `InputError`."""
    known = bundled()
    if name not in known:
        near = near_names(name, known, n=1)
        guess = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(f"there is no suite '{name}'; {guess}Give one of {', '.join(known)}, or a .toml file")
    return (files(__package__) / "suites" / f"{name}.toml").read_text(encoding="utf-8")


def parse_suite(text: str, origin: str = "suite", preset: str | None = None) -> Suite:
    """A suite from TOML text; all of its presets are checked.

    Args:
        text: TOML.
        origin: the name of the text in error messages.
        preset: as for `load_suite`.

    Raises:
        InputError, RecipeError: as `load_suite`.
    """
    document = parse_toml(text, origin)
    presets = document.pop("presets", {})
    if not isinstance(presets, Mapping) or not all(isinstance(each, Mapping) for each in presets.values()):
        raise InputError(f"{origin}: presets: should be tables [presets.NAME], got {presets!r:.80}")
    suites = {
        name: read_checked(Suite, merged(document, each), f"{origin}, preset {name}") for name, each in presets.items()
    }
    if preset is None:
        return read_checked(Suite, with_labels(document), origin)
    if preset not in suites:
        raise InputError(f"{origin} has no preset '{preset}'; {nearest_name(preset, list(suites))}")
    return suites[preset]


def read_checked(model: type[ModelT], document: Mapping[str, Any], origin: str, prefix: str = "") -> ModelT:
    """A model from plain data.

    Args:
        model: of a suite, or of the parameters of a component.
        document: the data.
        origin: the name of the data in error messages.
        prefix: the place of the data in the suite.

    Raises:
        InputError: a value is not allowed; the message names its place.
    """
    specs = SPECS if model is Suite else {}

    def model_of(place: Place) -> type[BaseModel]:
        return specs.get(str(place[0]), model) if len(place) > 1 else model

    try:
        return read_strictly(model, document)
    except ValidationError as error:
        raise InputError(f"{origin}: {describe_errors(error, document, model_of, prefix)}") from error
    except TypeError as error:
        raise InputError(f"{origin} holds a value that a suite cannot hold: {error}; use texts and numbers") from error


def with_labels(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without short forms: each dataset, recipe and metric is a table with a label."""
    kinds = (list, str, Mapping)  # validation refuses other values
    lists = {key: named(listed(document[key])) for key in SPECS if isinstance(document.get(key), kinds)}
    return {**document, **{key: [with_label(item) for item in items] for key, items in lists.items()}}


def with_label(item: Any) -> Any:
    """A table with its label; by default the label is the name."""
    if not isinstance(item, Mapping) or "label" in item or not isinstance(item.get("name"), str):
        return item
    return {**item, "label": label_of(item["name"])}


def label_of(name: str) -> str:
    """A label for a registered name or the path of a recipe's file."""
    return Path(name).stem if name.endswith(".toml") else name.rpartition(":")[2]


def merged(document: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the changes of a preset.

    A value replaces the value of the suite, and ``overrides`` are appended. A dataset, recipe or metric with a label
    of the suite changes that item, and its ``overrides`` and ``params`` are added. An item with a new label is added.
    """
    base, over = with_labels(document), with_labels(preset)
    for key, value in over.items():
        if key in SPECS and isinstance(base.get(key), list) and isinstance(value, list):
            base[key] = merged_items(base[key], value)
        else:
            base[key] = joined(base.get(key), value) if key == "overrides" else value
    return base


def merged_items(base: Sequence[Any], over: Sequence[Any]) -> list[Any]:
    """Two lists of labelled tables as one list."""
    result = list(base)
    places = {item["label"]: place for place, item in enumerate(base) if isinstance(item, Mapping) and "label" in item}
    for item in over:
        place = places.get(str(item.get("label"))) if isinstance(item, Mapping) else None
        if place is None:
            result.append(item)
        else:
            own = result[place]
            both = {key: joined(own[key], item[key]) for key in ("overrides", "params") if key in own and key in item}
            result[place] = {**own, **item, **both}
    return result


def joined(base: Any, over: Any) -> Any:
    """Two lists or two tables as one; the second value alone if the two have different kinds."""
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return {**base, **over} if isinstance(base, Mapping) and isinstance(over, Mapping) else over


def swept(suite: Suite) -> Suite:
    """The suite with a recipe for each combination of its grids, each with all of its settings.

    Raises:
        InputError: a setting names a recipe that the suite does not have, or a grid has too many combinations.
    """
    labels = [spec.label for spec in suite.recipes]
    recipes = []
    for spec in suite.recipes:
        own, grid = [*settings_of(spec.label, suite.overrides, labels), *spec.overrides], {**suite.grid, **spec.grid}
        check_not_set(spec.label, own, grid)
        recipes += [
            spec.model_copy(update={"label": label, "overrides": [*own, *settings], "grid": {}})
            for label, settings in combinations(spec.label, grid)
        ]
    try:
        _distinct(recipes)
    except ValueError as error:
        raise InputError(f"the suite's grid: {error}") from error
    return suite.model_copy(update={"recipes": recipes, "overrides": [], "grid": {}})


def selected(
    suite: Suite,
    *,
    recipes: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    limit: int | None = None,
    overrides: Sequence[str] = (),
    grid: Sequence[str] = (),
) -> Suite:
    """A suite with other recipes, datasets, seeds or settings; an empty argument keeps the suite's.

    Args:
        suite: the suite.
        recipes: labels of the suite; any other text is a registered recipe or the path of a file.
        datasets: labels of the suite; any other text is a registered dataset.
        seeds: replace the seeds of the suite.
        limit: cases of each dataset.
        overrides: further settings of every recipe, or of one if they begin with its label, as "LABEL:place=value";
            they come after those of the suite and of the recipe.
        grid: values for every recipe, as "place=value,value"; they replace those of the suite for the same place.

    Raises:
        InputError: as `load_suite`.
    """
    changes: dict[str, Any] = {
        "recipes": [item_of(suite.recipes, name) for name in recipes],
        "datasets": [item_of(suite.datasets, name) for name in datasets],
        "seeds": list(seeds),
        "limit": limit,
    }
    document = suite.model_dump(mode="json") | {key: value for key, value in changes.items() if value not in ([], None)}
    labels = [recipe["label"] for recipe in document["recipes"]]
    known, axes = [*labels, *(spec.label for spec in suite.recipes)], dict(map(read_axis, grid))
    if len(axes) < len(grid):
        raise InputError("the grid gives one place twice; give all of its values at once, as solver.iterations=100,200")
    for recipe in document["recipes"]:  # the settings for a recipe that is left out are not those of an unknown one
        both = settings_of(recipe["label"], suite.overrides, known), settings_of(recipe["label"], overrides, labels)
        recipe["overrides"] = [*both[0], *recipe.get("overrides", ()), *both[1]]
        recipe["grid"] = {place: some for place, some in recipe.get("grid", {}).items() if place not in axes}
    document["overrides"] = []
    document["grid"] |= axes
    return read_checked(Suite, document, "the options")


def item_of(known: Sequence[Labelled], name: str) -> dict[str, Any]:
    """The item of the suite with that label, otherwise a new item with that name."""
    found = next((item for item in known if item.label == name), None)
    if found is not None:
        return found.model_dump(mode="json")
    return {"name": str(Path(name).resolve()) if name.endswith(".toml") else name, "label": label_of(name)}

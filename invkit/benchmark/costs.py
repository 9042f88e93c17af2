"""What the jobs of a plan will cost, estimated before any of them is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean
from typing import Any

from ..core.files import parse_toml
from ..recipes.components import check_component
from ..recipes.model import Recipe, load_recipe
from .plan import BenchmarkJob

__all__ = ["JobCost", "all_parameters", "job_costs", "known_costs"]

NETWORK, ADAM_SOLVERS = "dip-skip", ("joint-adam", "alternating-adam")
KNOWN_CHANNELS, KNOWN_PIXELS = 128, 255 * 255  # of the iterations in job_costs.toml
HERE = "the mean of the results in this folder"
PROCESSOR = "measured on one core: the means of benchmarks/results"


@dataclass(frozen=True)
class JobCost:
    """The seconds of one job, and how they are known; None and an empty text if they are not."""

    seconds: float | None = None
    basis: str = ""


@cache
def known_costs() -> Mapping[str, Any]:
    """The content of job_costs.toml."""
    name = "job_costs.toml"
    return parse_toml((files(__package__) / name).read_text(encoding="utf-8"), name)


def job_costs(jobs: Sequence[BenchmarkJob], done: Iterable[Mapping[str, Any]] = ()) -> dict[tuple[str, str], JobCost]:
    """The cost of a job for each pair of labels of recipe and dataset.

    It is the mean of the results in the folder. Without any, it is the one measured for the same recipe on the same
    dataset; for a recipe of SelfDeblur's networks, iterations times the seconds of an iteration on the device, in
    proportion to channels and pixels, and stages without a network count for nothing.

    Args:
        jobs: of the plan.
        done: the records of jobs that are done, as in result.json.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    for record in done:
        if record["status"] == "done":
            seconds.setdefault((record["recipe"], record["dataset"]), []).append(record["seconds"])
    one_each = {(job.label, job.dataset.label): job for job in jobs}
    return {
        pair: JobCost(fmean(seconds[pair]), HERE) if pair in seconds else cost_of(job) for pair, job in one_each.items()
    }


def cost_of(job: BenchmarkJob) -> JobCost:
    """The cost of a job of which there is no result; unknown for a dataset whose pictures have no usual size."""
    known, kind = known_costs(), device_kind(job.suite.device)
    dataset = known.get(job.dataset.name, {})
    is_network = any(trains_network(link) for link in job.recipe.links())
    if (not is_network or kind == "cpu") and is_unchanged(job):
        seconds = dataset.get("seconds", {}).get(job.recipe.name)
        if seconds is not None:
            return JobCost(seconds, PROCESSOR)
    if not is_network or "pixels" not in dataset or kind not in known["iteration"]:
        return JobCost()
    seconds = sum(network_seconds(link, kind) for link in job.recipe.links())
    return JobCost(
        seconds * dataset["pixels"] / KNOWN_PIXELS,
        f"computed from the seconds of an iteration, {known['iteration'][kind]['basis']}",
    )


def is_unchanged(job: BenchmarkJob) -> bool:
    """Whether the job's recipe is a registered one without settings."""
    (spec,) = [spec for spec in job.suite.recipes if spec.label == job.label]
    return not spec.overrides and job.recipe == load_recipe(spec.name)


def trains_network(recipe: Recipe) -> bool:
    """Whether a stage trains a skip network by Adam."""
    return recipe.image_prior.name == NETWORK and recipe.solver.name in ADAM_SOLVERS


def network_seconds(recipe: Recipe, kind: str) -> float:
    """The seconds that a stage trains its network on a picture of `KNOWN_PIXELS`; 0 for a stage without one.

    Args:
        recipe: the stage.
        kind: "cpu" or "cuda".
    """
    if not trains_network(recipe):
        return 0.0
    facts, solver = known_costs()["iteration"][kind], all_parameters(recipe, "solver")
    seconds = facts.get(solver["precision"], facts["float32"])
    channels = all_parameters(recipe, "image_prior")["channels"]
    return float(seconds * channels / KNOWN_CHANNELS * solver["iterations"])


def all_parameters(recipe: Recipe, place: str) -> dict[str, Any]:
    """The parameters of a component of a recipe, with their defaults; raises as `check_component`.

    Args:
        recipe: with the component in its first stage.
        place: of the component, as "image_prior" or "solver".
    """
    (one,) = [component for component in recipe.own_components() if component[0] == place]
    return check_component(*one, seed=0, origin=recipe.name).all_parameters()


def device_kind(device: str) -> str:
    """The kind of a device of a suite, "cpu" or "cuda"; "auto" is the best one of this machine."""
    if device != "auto":
        return device.partition(":")[0]
    from ..pipeline.options import choose_device

    return choose_device(device).type

"""A folder as a suite leaves it, with made-up results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from invkit.media.images import encode_png

METRICS: tuple[dict[str, Any], ...] = (
    {"label": "psnr", "name": "aligned-psnr", "params": {}, "unit": "dB", "better": "higher"},
    {"label": "error-ratio", "name": "error-ratio", "params": {}, "unit": "", "better": "lower"},
    {"label": "seconds", "name": "seconds", "params": {}, "unit": "s", "better": "lower"},
)


@dataclass
class SuiteFolder:
    """A suite of jobs of one dataset that are added one by one; `plan` writes what was to be done."""

    root: Path
    dataset: str = "toy"
    title: str = "A toy suite"
    metrics: tuple[dict[str, Any], ...] = METRICS
    recipes: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)

    def job(self, recipe: str, case: str, seed: int = 0, *, planned: bool = True, digits: str = "0123456789ab") -> str:
        """The id of a job of the plan."""
        name = f"{recipe}--{self.dataset}--{case}--s{seed}--{digits}"
        if planned:
            self.jobs.append(name)
            self.recipes += [recipe] if recipe not in self.recipes else []
        return name

    def done(
        self,
        recipe: str,
        case: str,
        figures: Mapping[str, Any] | float | None,
        seed: int = 0,
        *,
        planned: bool = True,
        **facts: Any,
    ) -> Path:
        """A finished job with its figures by metric, or the first one's alone."""
        metrics = figures if isinstance(figures, Mapping) else {self.metrics[0]["label"]: figures}
        return self.write(recipe, case, seed, planned, {"status": "done", "metrics": metrics} | facts)

    def failed(self, recipe: str, case: str, seed: int = 0, kind: str = "DivergedError") -> Path:
        """A failed one."""
        error = {"type": kind, "message": "the loss is not finite", "traceback": "..."}
        return self.write(recipe, case, seed, True, {"status": "failed", "metrics": {}, "error": error})

    def write(self, recipe: str, case: str, seed: int, planned: bool, facts: dict[str, Any]) -> Path:
        """A result.json; gives its folder."""
        name = self.job(recipe, case, seed, planned=planned, digits=facts.pop("digits", "0123456789ab"))
        folder = self.root / "jobs" / name
        folder.mkdir(parents=True)
        record = {"id": name, "recipe": recipe, "dataset": self.dataset, "case": case, "seed": seed, "groups": {}}
        record |= {"seconds": 2.0, "iterations": 8, "history": [], "history_every": 1, "snapshots": [], "error": None}
        record |= {"versions": {"invkit": "1"}, "code": "c" * 64, "started": "2030-01-01T00:00:00+00:00"}
        record |= {"machine": {"host": "here", "cpu": "one", "device": "cpu"}, **facts}
        (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    def plan(self, **facts: Any) -> Path:
        """Write suite.json; gives the folder of the suite."""
        named = {"name": self.dataset, "label": self.dataset, "title": "Toys", "params": {}, "citation": ""}
        suite = {"title": self.title, "datasets": [named], "metrics": list(self.metrics), "seeds": [0]}
        suite |= {"recipes": [{"label": recipe, "title": recipe} for recipe in self.recipes], "jobs": self.jobs}
        (self.root / "suite.json").write_text(json.dumps(suite | facts), encoding="utf-8")
        return self.root


def add_pictures(
    folder: Path,
    shape: tuple[int, ...] = (40, 56),
    *,
    kernel: tuple[int, int] = (7, 5),
    snapshots: Sequence[int] = (),
    seed: int = 0,
) -> None:
    """Write image and kernel of a finished job, and those of its snapshots."""
    noise = np.random.default_rng(seed)
    names = ["image", *(f"snapshot-{iteration}" for iteration in snapshots)]
    for name in names:
        (folder / f"{name}.png").write_bytes(encode_png(noise.integers(0, 256, shape, dtype=np.uint8)))
        weights = noise.random(kernel)
        np.save(folder / ("kernel.npy" if name == "image" else f"{name}-kernel.npy"), weights / weights.sum())

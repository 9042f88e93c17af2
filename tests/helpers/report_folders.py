"""Folders as runs and benchmarks leave them, with made-up pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from suite_folder import METRICS, SuiteFolder, add_pictures

from invkit.core.files import sha256_of
from invkit.core.result import Result
from invkit.media.images import encode_png

RECIPE = {"name": "toy", "title": "A toy recipe", "source": "nobody, nowhere", "notes": "none", "solver": {"name": "s"}}
STAGES = [{"name": "first", "solver": "s", "iterations": 6, "seconds": 1.0, "stopped": "finished"}]


def noise(shape: tuple[int, ...] = (40, 56), seed: int = 0) -> np.ndarray:
    """A picture (H, W) or (H, W, C), uint8."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photo(path: Path, shape: tuple[int, int] = (40, 56)) -> Path:
    """A photograph's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(noise(shape)))
    return path


def result(seed: int = 0, **details: Any) -> Result:
    """A result in memory; details beside the usual ones."""
    weights = np.random.default_rng(seed).random((5, 5))
    facts = {"recipe": RECIPE, "stages": STAGES, "seed": seed, "versions": {"invkit": "1"}, "image_size": [40, 56]}
    return Result(
        image=noise(seed=seed) / np.float32(255),
        kernel=weights / weights.sum(),
        history=(1.0, 0.5, float("nan"), 0.25, 0.2, 0.1),
        stopped="finished",
        iterations=6,
        seconds=1.5,
        details=facts | details,
    )


def run(folder: Path, of: Path | None = None, *, snapshots: tuple[int, ...] = (), **details: Any) -> Path:
    """A run's folder, of a photograph's file or of none, with snapshots after those iterations."""
    made_of: dict[str, Any] = {} if of is None else {"image": {"file": of.name, "sha256": sha256_of(of)}}
    result(**made_of, **details).save(folder)
    for iteration in snapshots:
        (folder / "snapshots").mkdir(exist_ok=True)
        for what, shape in (("image", (40, 56)), ("kernel", (30, 30))):
            picture = encode_png(noise(shape, seed=iteration))
            (folder / "snapshots" / f"01-{iteration:05}-{what}.png").write_bytes(picture)
    return folder


def suite(
    root: Path,
    cases: int = 3,
    recipes: tuple[str, ...] = ("one", "two"),
    *,
    title: str = "A toy suite",
    snapshots: bool = True,
    shape: tuple[int, int] = (40, 56),
) -> Path:
    """A benchmark's folder: the last case of the last recipe failed."""
    made = SuiteFolder(root, title=title)
    for i in range(cases):
        for j, recipe in enumerate(recipes):
            if (i, j) == (cases - 1, len(recipes) - 1):
                made.failed(recipe, f"case{i}")
                continue
            figures = {METRICS[0]["label"]: 30.0 - i + 2 * j, "error-ratio": 1.2 + i + j, "seconds": 1.0 + j}
            taken = [{"iteration": k, "seconds": 0.1 * k, "metrics": {"psnr": 20.0 + k}} for k in (2, 4)]
            facts: dict[str, Any] = {"history": [1.0, 0.5, 0.3], "recipe_document": {**RECIPE, "name": recipe}}
            folder = made.done(recipe, f"case{i}", figures, **facts, snapshots=taken if snapshots else [])
            add_pictures(folder, shape, snapshots=(2, 4) if snapshots else (), seed=10 * i + j)
    return made.plan()

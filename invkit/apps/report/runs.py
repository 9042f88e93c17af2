"""Runs to be shown: folders as ``invkit deblur`` leaves them, or results in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError
from ...core.files import sha256_of
from ...core.result import Result
from ...media.figures import kernel_stack
from ...media.layouts import channels_last
from .pictures import Picture, from_array, from_file

__all__ = ["Given", "Run", "Snapshot", "dict_of", "is_run", "read_run", "run_of", "snapshots_of", "stages_of"]

RESULT = "result.json"
SNAPSHOT = re.compile(r"(\d{2,})-(\d{5,})-image\.png")


@dataclass(frozen=True, eq=False)
class Run:
    """A result that is to be shown.

    Attributes:
        label: what tells it from others: the folder's name, or a number.
        facts: as result.json has them.
        image: the restored picture, or None where it is none.
        kernel: (h, w) or (B, h, w), or None.
        has_kernel: whether ``kernel`` is one.
        before: what was restored, as far as it is kept with the run.
        folder: where it lies, or None of one in memory.
    """

    label: str
    facts: Mapping[str, Any]
    image: Picture | None
    kernel: npt.NDArray[np.float64] | None
    has_kernel: bool = True
    before: Picture | None = None
    folder: Path | None = None

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(dict_of(self.facts, "recipe").get("name") or self.label)

    @property
    def losses(self) -> list[float]:
        """The loss of every iteration; what was not finite is NaN."""
        return [np.nan if loss is None else float(loss) for loss in self.facts.get("loss_history") or ()]

    @property
    def source(self) -> str:
        """What tells its photograph from others: the digest of the file, or the run itself."""
        given = self.facts.get("image")
        return json.dumps(given, sort_keys=True) if given else f"run {self.label}"

    @property
    def photographs(self) -> list[Mapping[str, Any]]:
        """Name and digest of the files that it was made from."""
        return files_of(self.facts)

    @property
    def photo(self) -> str:
        """The photograph's name."""
        files = self.photographs
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return f"{files[0].get('file', self.label)}{more}" if files else self.label


def dict_of(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table of a result.json; an empty one where it holds none."""
    value = facts.get(key)
    return value if isinstance(value, dict) else {}


def files_of(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Name and digest of the files that a run was made from."""
    given = facts.get("image")
    return [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, dict)]


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / RESULT).is_file()


def read_run(folder: Path) -> Run:
    """The run of a folder.

    Raises:
        InputError: its result.json cannot be read.
    """
    try:
        facts = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / RESULT} cannot be read ({error}); run it again") from error
    if not isinstance(facts, dict):
        raise InputError(f"{folder / RESULT} is not what a run leaves; give the --output of 'invkit deblur'")
    kept = {name: folder / name for name in ("image.png", "image.npy", "photograph.png") if (folder / name).is_file()}
    image = kept.get("image.png") or kept.get("image.npy")
    return Run(
        label=folder.resolve().name,
        facts=facts,
        image=None if image is None else from_file(image),
        kernel=array_of(folder / "kernel.npy", folder / "operator_parameter.npy"),
        has_kernel=(folder / "kernel.npy").is_file(),
        before=from_file(kept["photograph.png"]) if "photograph.png" in kept else None,
        folder=folder,
    )


def array_of(*paths: Path) -> npt.NDArray[np.float64] | None:
    """The numbers of the first file that can be read, (h, w) or (N, h, w)."""
    for path in paths:
        try:
            values = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        except (OSError, ValueError, EOFError):
            continue
        if values.ndim >= 2 and values.size:
            return values if values.ndim == 2 else values.reshape(-1, *values.shape[-2:])
    return None


def run_of(result: Result, label: str) -> Run:
    """A result in memory; of a batch its first picture."""
    stack = kernel_stack(result.kernel)
    return Run(
        label=label,
        facts=result.summary(),
        image=from_array(channels_last(result.image)[0]),
        kernel=stack[0] if len(stack) == 1 else stack,
        has_kernel=result.has_kernel,
        before=None if result.blurry is None else from_array(channels_last(result.blurry)[0]),
    )


@dataclass(frozen=True)
class Snapshot:
    """Pictures that a run left on the way.

    Attributes:
        solve: the how manieth, counted from 1.
        iteration: of that solve.
        stage: the name of the recipe's stage, or an empty text where solves are not stages.
        begun: iterations of the stages before it.
        image: the file.
        kernel: that of the kernel, or None.
    """

    solve: int
    iteration: int
    stage: str
    begun: int
    image: Path
    kernel: Path | None


def stages_of(run: Run) -> list[Mapping[str, Any]]:
    """What result.json says of the stages."""
    return [stage for stage in run.facts.get("stages") or () if isinstance(stage, dict)]


def snapshots_of(run: Run) -> list[Snapshot]:
    """The snapshots in a run's folder, in their order; those of the batch's further pictures are left out."""
    folder = None if run.folder is None else run.folder / "snapshots"
    if folder is None or not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if SNAPSHOT.fullmatch(path.name))
    return [snapshot_of(path, solved_stages(run)) for path in found]


def solved_stages(run: Run) -> list[tuple[str, int]]:
    """Name of each stage that was not skipped, and the iterations before it; none of a recipe of several starts."""
    stages = [] if dict_of(run.facts, "recipe").get("candidates") else stages_of(run)
    counts = [(str(stage.get("name", "")), int(stage.get("iterations") or 0)) for stage in stages]
    solved = [(name, count) for name, count in counts if count]
    return [(name, sum(count for _, count in solved[:i])) for i, (name, _) in enumerate(solved)]


def snapshot_of(path: Path, stages: Sequence[tuple[str, int]]) -> Snapshot:
    """One snapshot, as 02-00100-image.png, of the second solve after 100 iterations."""
    solve, iteration = (int(number) for number in path.name.split("-")[:2])
    others = [path.with_name(path.name.replace("image", what)) for what in ("kernel", "operator_parameter")]
    stage, begun = stages[solve - 1] if solve <= len(stages) else ("", 0)
    return Snapshot(solve, iteration, stage, begun, path, next((other for other in others if other.is_file()), None))


@dataclass(frozen=True)
class Given:
    """Photographs by their digest, for runs that have kept none; and the sharp picture of all, if it is known."""

    photos: Sequence[Path] = ()
    truth: Path | None = None
    digests: dict[Path, str] = field(default_factory=dict)

    def before(self, run: Run) -> Picture | None:
        """What a run was made from: a photograph given, or of the same name and contents where one would look."""
        files = files_of(run.facts)
        if not files:
            return run.before
        name, wanted = str(files[0].get("file")), files[0].get("sha256")
        places = [] if run.folder is None else [run.folder, run.folder.resolve().parent, Path()]
        near = [place / name for place in places if Path(name).name == name]
        for path in (*self.photos, *near):
            if self.digest(path) == wanted:
                return from_file(path)
        return run.before

    def digest(self, path: Path) -> str:
        """Of a file, taken once; an empty text where it cannot be read."""
        if path not in self.digests:
            try:
                self.digests[path] = sha256_of(path) if path.is_file() else ""
            except OSError:
                self.digests[path] = ""
        return self.digests[path]

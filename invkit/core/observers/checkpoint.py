"""Saves the state of a solve, so that it can be resumed after a crash with the same bits."""

from __future__ import annotations

import hashlib
import io
import json
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, OutOfMemoryError
from ..files import read_bytes, write_atomically
from ..problem import Problem
from ..solver import Observer, State, StopReason

__all__ = ["Checkpointer", "describe_run", "load_checkpoint", "tensor_digest"]

CHECKPOINT_FORMAT = 2
RESUMABLE = ("interrupted", "time limit", "observer")
DESCRIPTIVE_KEYS = ("title", "source", "notes", "changes")  # of a recipe; they change no number
ITERATIONS = "iterations"  # the setting of a solver by which a run may be extended
MAX_NAMED = 4  # differences that an error names


class Checkpointer(Observer):
    """Writes the state to one file at regular times, and when the solve stops before its end.

    The file is replaced atomically. A failed write, as on a full disk, leaves the last good file and does not end the
    solve. It gives one ``RuntimeWarning`` and is tried again after ``every`` seconds.

    Args:
        path: the file.
        run: describes the run (`describe_run`), so that another run is not resumed by mistake; JSON-like.
        every: seconds between two writes.
        at_end: whether to write at the end too, so that the run can be extended.

    Attributes:
        failure: the error of the last write, or None.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], every: float = 30.0, *, at_end: bool = False) -> None:
        self.path, self.run, self.every = path, json_like(run), every
        self.written_after = (*RESUMABLE, "finished") if at_end else RESUMABLE
        self.failure: OSError | MemoryError | None = None
        self._warned = False
        self._tried = time.monotonic()

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start to count the seconds."""
        self._tried = time.monotonic()

    def stepped(self, problem: Problem, state: State) -> None:
        """Write if ``every`` seconds have passed."""
        if time.monotonic() - self._tried >= self.every:
            self._write(problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write if the run can be resumed or extended; not after an error, which may have interrupted a step."""
        if reason in self.written_after:
            self._write(problem, state)

    def _write(self, problem: Problem, state: State) -> None:
        if state.losses and not bool(torch.isfinite(state.losses[-1])):
            return  # the last good state is more useful
        try:
            write_atomically(self.path, self._content(problem, state))
            self.failure = None
        except (OSError, MemoryError) as error:
            self.failure = error
            if not self._warned:
                self._warned = True
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "out of memory"
                text = f"the checkpoint {self.path} could not be written ({reason}); the solve goes on and tries again"
                warnings.warn(text, RuntimeWarning, stacklevel=2)
        finally:
            self._tried = time.monotonic()

    def _content(self, problem: Problem, state: State) -> bytes:
        made_with = circumstances(problem.data.device)
        parts = {"format": CHECKPOINT_FORMAT, "run": self.run, "made_with": made_with, "state": state.state_dict()}
        buffer = io.BytesIO()
        torch.save(parts, buffer)
        return buffer.getvalue()


def load_checkpoint(path: Path, run: Mapping[str, Any], device: torch.device | str | None = None) -> Mapping[str, Any]:
    """The state that a `Checkpointer` wrote. No code from the file is executed.

    The solver may have more iterations than that of the saved run, which is then extended.

    Args:
        path: the file.
        run: the `describe_run` of the run to be resumed.
        device: of the resumed run; None to compare no device.

    Warns:
        RuntimeWarning: the checkpoint was made with other versions, threads or on another device, so that the bits may
            differ.

    Raises:
        InputError: the file does not exist, cannot be read, or belongs to another run; the error names the differences.
        OutOfMemoryError: the checkpoint does not fit in memory.
    """
    saved = read_checkpoint(path)
    differing = list(differing_settings(extended(saved["run"], json_like(run)), json_like(run)))
    if differing:
        more = f" and {len(differing) - MAX_NAMED} more" if len(differing) > MAX_NAMED else ""
        raise InputError(
            f"{path} is of another run: it was made with {'; '.join(differing[:MAX_NAMED])}{more}; "
            "resume with the same, or start anew with --overwrite"
        )
    warn_of_other_bits(path, saved["made_with"], device)
    state: Mapping[str, Any] = saved["state"]
    return state


def describe_run(
    recipe: Mapping[str, Any], data: Tensor, kernel: Tensor | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that determines a solve, JSON-like.

    Args:
        recipe: as resolved, with every default.
        data: the measurement.
        kernel: the given kernel, or None.
        settings: all other settings, as the seed.
    """
    described = {
        "recipe": without_texts(recipe),
        "settings": settings,
        "data": tensor_digest(data),
        "kernel": tensor_digest(kernel),
    }
    run: dict[str, Any] = json_like(described)
    return run


def without_texts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved recipe without its descriptive texts, also without those of the recipes inside it."""
    method = {place: value for place, value in recipe.items() if place not in DESCRIPTIVE_KEYS}
    if method.get("candidates"):
        method["candidates"] = [without_texts(candidate) for candidate in method["candidates"]]
    for place in ("referee", "next"):
        if method.get(place):
            method[place] = without_texts(method[place])
    return method


def tensor_digest(tensor: Tensor | None) -> str | None:
    """The SHA-256 of a tensor's shape, type and values, in hexadecimal digits."""
    if tensor is None:
        return None
    form = f"{tuple(tensor.shape)} {tensor.dtype}".encode()
    return hashlib.sha256(form + tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def json_like(value: Any) -> Any:
    """The value after a way through JSON, which makes lists of tuples, so that saved and given values compare equal."""
    return json.loads(json.dumps(value))


def extended(saved: Any, given: Any) -> Any:
    """The saved run with the iterations of the run to be resumed, if these are more."""
    before, now = (settings_of_solver(run).get(ITERATIONS) for run in (saved, given))
    if not (isinstance(before, int) and isinstance(now, int) and before < now):
        return saved
    recipe = saved["recipe"]
    params = {**recipe["solver"]["params"], ITERATIONS: now}
    return {**saved, "recipe": {**recipe, "solver": {**recipe["solver"], "params": params}}}


def settings_of_solver(run: Any) -> Mapping[str, Any]:
    """The parameters of the solver in the description of a run; empty if it has none."""
    for key in ("recipe", "solver", "params"):
        run = run.get(key) if isinstance(run, dict) else None
    return run if isinstance(run, dict) else {}


def differing_settings(saved: Any, given: Any, place: str = "") -> Iterator[str]:
    """The differences of two JSON-like values.

    Args:
        saved: the value in the checkpoint.
        given: the value of the run to be resumed.
        place: of both values in the run, with dots.

    Example:
        >>> list(differing_settings({"settings": {"seed": 0}}, {"settings": {"seed": 1}}))
        ['seed=0, now 1']
    """
    if isinstance(saved, dict) and isinstance(given, dict):
        named = saved.get("name") != given.get("name")  # the parameters of two components cannot be compared
        for key in ["name"] if named else sorted({*saved, *given}):
            inside = place if key == "params" else f"{place}.{key}" if place else key
            yield from differing_settings(saved.get(key), given.get(key), inside)
    elif isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        for index, (one, other) in enumerate(zip(saved, given, strict=True)):
            yield from differing_settings(one, other, f"{place}.{index}")
    elif saved != given:
        yield difference_text(place, saved, given)


def difference_text(place: str, saved: Any, given: Any) -> str:
    """One difference as a user would write it: without the section of the run, and without digests.

    Args:
        place: of both values in the run, with dots.
        saved: the value in the checkpoint.
        given: the value of the run to be resumed.
    """
    section, _, inside = place.partition(".")
    if place in ("data", "kernel"):
        return f"another {'image' if place == 'data' else 'kernel'}"
    name = inside if section in ("recipe", "settings") and inside else place
    name = "recipe" if place == "recipe.name" else name
    return f"{name}={short_value(saved)}, now {short_value(given)}"


def short_value(value: Any) -> str:
    """A value as in a recipe; components by their names, other long values cut."""
    text = value if isinstance(value, str) else json.dumps(value)
    names = [item.get("name") for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if names:
        return f"[{', '.join(map(str, names))}]"
    return "none" if value is None else text if len(text) <= 60 else f"{text[:57]}..."


def circumstances(device: torch.device | str) -> dict[str, Any]:
    """Everything beside the run itself that the bits of a result depend on."""
    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "invkit": version("invkit"),
        "torch": str(torch.__version__),
        "device": f"{where.type} ({name})",
        "threads": torch.get_num_threads(),
    }


def warn_of_other_bits(path: Path, made_with: Mapping[str, Any], device: torch.device | str | None) -> None:
    """Warn if a checkpoint was made under other circumstances.

    Args:
        path: of the checkpoint.
        made_with: its `circumstances`.
        device: of the resumed run; None to compare no device.
    """
    now = circumstances("cpu" if device is None else device)
    if device is None:
        del now["device"]
    pairs = [(name, made_with.get(name), value) for name, value in now.items()]
    changed = [f"{name} {before}, now {value}" for name, before, value in pairs if before != value]
    if changed:
        text = f"{path} was made with {'; '.join(changed)}: the run continues, but perhaps not to the same bits"
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file, its form checked; raises as `load_checkpoint`."""
    if not path.exists():
        raise InputError(f"there is nothing to resume: {path} does not exist")
    try:
        saved = unpacked(read_bytes(path))
    except MemoryError as error:
        raise OutOfMemoryError(f"the checkpoint {path} does not fit in memory") from error
    if saved is None:
        raise InputError(f"{path} is no checkpoint, or a damaged one; start the run anew with --overwrite")
    if saved.get("format") != CHECKPOINT_FORMAT:
        raise InputError(f"{path} was written by another version of invkit; start the run anew with --overwrite")
    parts = [saved.get(part) for part in ("run", "made_with", "state")]
    if not all(isinstance(part, dict) for part in parts) or {field.name for field in fields(State)} - set(
        saved["state"]
    ):
        raise InputError(f"{path} lacks parts of a checkpoint; start the run anew with --overwrite")
    return saved


def unpacked(content: bytes) -> dict[str, Any] | None:
    """The dictionary that was saved; None for other bytes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about foreign files
            check_sizes(content)
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            check_tensors(saved, len(content))
    except MemoryError:
        raise
    except Exception:  # torch may raise anything on bytes that it did not write
        return None
    return saved if isinstance(saved, dict) else None


def check_sizes(content: bytes) -> None:
    """Refuse an archive whose parts would be larger than the file itself: torch compresses nothing; `ValueError`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(part.file_size for part in archive.infolist()) > len(content):
            raise ValueError("its parts are larger than the file")


def check_tensors(value: Any, most: int) -> None:
    """Refuse a tensor that repeats few numbers so often that a copy would have more than ``most`` bytes; `ValueError`.

    The nesting is that of a solve; a deeper one ends in a ``RecursionError``, as other damage in an error of torch.
    """
    if isinstance(value, Tensor) and value.numel() * value.element_size() > most:
        raise ValueError(f"a tensor of shape {tuple(value.shape)} is larger than the file")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        check_tensors(item, most)

"""Saves the state of a solve so that it can be continued to the same bits after a crash."""

from __future__ import annotations

import hashlib
import io
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, OutOfMemoryError
from ..files import write_atomically
from ..problem import Problem
from ..solver import Observer, State, StopReason

__all__ = ["Checkpointer", "describe_run", "load_checkpoint"]

FORMAT = 2
RESUMABLE = ("interrupted", "time limit")
WORDS = ("title", "source", "notes")  # of a recipe; they change no number
SHOWN = 4  # differences that an error names


class Checkpointer(Observer):
    """Writes the state to one file every so many seconds, and at a stop before the end; the file is always whole.

    A write that fails, as on a full disk, leaves the last good file, is told once by a ``RuntimeWarning``, and is
    tried again after ``every`` seconds: the solve goes on.

    Args:
        path: the file, replaced atomically.
        run: what the state belongs to (`describe_run`), so that another run is not continued by mistake; JSON-like.
        every: seconds between two writes.

    Attributes:
        failure: why the last write failed; None when it did not.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], every: float = 30.0) -> None:
        self.path, self.run, self.every = path, json_like(run), every
        self.failure: OSError | MemoryError | None = None
        self._warned = False
        self._tried = time.monotonic()

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the seconds from here."""
        self._tried = time.monotonic()

    def stepped(self, problem: Problem, state: State) -> None:
        """Write when it is time."""
        if time.monotonic() - self._tried >= self.every:
            self._write(problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write what a later call continues from; nothing at the end, nor after an error, perhaps half a step."""
        if reason in RESUMABLE:
            self._write(problem, state)

    def _write(self, problem: Problem, state: State) -> None:
        if state.losses and not bool(torch.isfinite(state.losses[-1])):
            return  # the last good state is worth more
        try:
            write_atomically(self.path, self._content(problem, state))
            self.failure = None
        except (OSError, MemoryError) as error:
            self.failure = error
        self._tried = time.monotonic()
        if self.failure is not None and not self._warned:
            self._warned = True
            warnings.warn(self._complaint(self.failure), RuntimeWarning, stacklevel=2)

    def _content(self, problem: Problem, state: State) -> bytes:
        made_with = circumstances(problem.data.device)
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "run": self.run, "made_with": made_with, "state": state.state_dict()}, buffer)
        return buffer.getvalue()

    def _complaint(self, error: OSError | MemoryError) -> str:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "out of memory"
        return f"the checkpoint {self.path} could not be written ({reason}); the solve goes on and tries again"


def load_checkpoint(path: Path, run: Mapping[str, Any], device: torch.device | str | None = None) -> Mapping[str, Any]:
    """The state that a `Checkpointer` wrote; no code from the file is executed.

    Args:
        path: the file.
        run: the `describe_run` of what is to be continued.
        device: where it is to be continued; None to compare no device.

    Warns:
        RuntimeWarning: it was made with other versions, threads or on another device, so that the bits may differ.

    Raises:
        InputError: there is none, it cannot be read, or it belongs to another run; the differing places are named.
        OutOfMemoryError: it does not fit in memory.
    """
    saved = unpacked(path)
    differing = [*differences(saved["run"], json_like(run))]
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise InputError(
            f"{path} is of another run: it was made with {'; '.join(differing[:SHOWN])}{more}; "
            "resume with the same, or start anew with --overwrite"
        )
    warn_of_other_bits(path, saved["made_with"], device)
    state: Mapping[str, Any] = saved["state"]
    return state


def describe_run(
    recipe: Mapping[str, Any], data: Tensor, kernel: Tensor | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """All that determines a solve, JSON-like.

    Args:
        recipe: as resolved, every default written out.
        data: the measurement.
        kernel: the kernel that was given, or None.
        settings: what else counts, as the seed.
    """
    method = {place: value for place, value in recipe.items() if place not in WORDS}
    whole = {"recipe": method, "settings": settings, "data": digest(data), "kernel": digest(kernel)}
    described: dict[str, Any] = json_like(whole)
    return described


def digest(tensor: Tensor | None) -> str | None:
    """The SHA-256 of a tensor's shape, type and values, in hexadecimal digits."""
    if tensor is None:
        return None
    form = f"{tuple(tensor.shape)} {tensor.dtype}".encode()
    return hashlib.sha256(form + tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def json_like(value: Any) -> Any:
    """What JSON gives back: tuples are lists, so that what was saved compares equal with what is given."""
    return json.loads(json.dumps(value))


def differences(saved: Any, given: Any, place: str = "") -> Iterator[str]:
    """What differs between two JSON-like values, as ``solver.params.iterations=1000, now 2000``."""
    if isinstance(saved, dict) and isinstance(given, dict):
        named = saved.get("name") != given.get("name")  # the parameters of two components cannot be compared
        for key in ["name"] if named else sorted({*saved, *given}):
            yield from differences(saved.get(key), given.get(key), f"{place}.{key}" if place else key)
    elif isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        for index, (one, other) in enumerate(zip(saved, given, strict=True)):
            yield from differences(one, other, f"{place}.{index}")
    elif saved != given:
        yield in_words(place, saved, given)


def in_words(place: str, saved: Any, given: Any) -> str:
    """One difference; the sections of a run go without saying, and a digest tells nobody anything."""
    section, _, inside = place.partition(".")
    if place in ("data", "kernel"):
        return f"another {'image' if place == 'data' else 'kernel'}"
    name = inside if section in ("recipe", "settings") and inside else place
    name = "recipe" if place == "recipe.name" else name
    return f"{name}={shortened(saved)}, now {shortened(given)}"


def shortened(value: Any) -> str:
    """A value as a recipe writes it, or only what it is where that is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    names = [item.get("name") for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if names:
        return f"[{', '.join(map(str, names))}]"
    return "none" if value is None else text if len(text) <= 60 else f"{text[:57]}..."


def circumstances(device: torch.device | str) -> dict[str, Any]:
    """What the bits of a result depend on beside the run itself."""
    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "invkit": version("invkit"),
        "torch": str(torch.__version__),
        "device": f"{where.type} ({name})",
        "threads": torch.get_num_threads(),
    }


def warn_of_other_bits(path: Path, made_with: Mapping[str, Any], device: torch.device | str | None) -> None:
    """Warn when a checkpoint was made under other circumstances."""
    now = circumstances("cpu" if device is None else device)
    if device is None:
        del now["device"]
    changed = [
        f"{name} {made_with.get(name)}, now {value}" for name, value in now.items() if made_with.get(name) != value
    ]
    if changed:
        words = f"{path} was made with {'; '.join(changed)}: the run continues, but perhaps not to the same bits"
        warnings.warn(words, RuntimeWarning, stacklevel=3)


def unpacked(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file, its form checked; raises as `load_checkpoint`."""
    try:
        saved = decoded(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"there is nothing to resume: {path} does not exist") from error
    except OSError as error:
        raise InputError(f"the checkpoint {path} cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"the checkpoint {path} does not fit in memory") from error
    if saved is None:
        raise InputError(f"{path} is no checkpoint, or a damaged one; start the run anew with --overwrite")
    if saved.get("format") != FORMAT:
        raise InputError(f"{path} was written by another version of invkit; start the run anew with --overwrite")
    if not is_complete(saved):
        raise InputError(f"{path} lacks parts of a checkpoint; start the run anew with --overwrite")
    return saved


def decoded(content: bytes) -> dict[str, Any] | None:
    """The dictionary that was saved; None where the bytes are nothing of the kind."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice is about files that are not ours
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # there is no telling what torch raises on bytes that it did not write
        return None
    return saved if isinstance(saved, dict) else None


def is_complete(saved: Mapping[str, Any]) -> bool:
    """Whether the parts of a checkpoint are there, down to those that every state has."""
    if not all(isinstance(saved.get(part), dict) for part in ("run", "made_with", "state")):
        return False
    return all(field.name in saved["state"] for field in fields(State))

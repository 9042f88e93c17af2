"""Saves the state of a solve so that it can be continued to the same bits after a crash."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..media.files import write_atomically
from ..problem import Problem
from ..solver import Observer, State

__all__ = ["Checkpointer", "fingerprint", "load_checkpoint"]

FORMAT = 1


class Checkpointer(Observer):
    """Writes the state to one file every so many seconds and at the stop; the file is always whole.

    Args:
        path: the file, replaced atomically.
        mark: what the state belongs to (`fingerprint`), so that another run cannot be continued by mistake.
        every: seconds between two writes.
    """

    def __init__(self, path: Path, mark: str, every: float = 30.0) -> None:
        self.path, self.mark, self.every = path, mark, every
        self.written = time.monotonic()

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the seconds from here."""
        self.written = time.monotonic()

    def stepped(self, problem: Problem, state: State) -> None:
        """Write when it is time."""
        if time.monotonic() - self.written >= self.every:
            self._write(state)

    def stopped(self, problem: Problem, state: State) -> None:
        """Write what a later call continues from."""
        self._write(state)

    def _write(self, state: State) -> None:
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "mark": self.mark, "state": state.state_dict()}, buffer)
        write_atomically(self.path, buffer.getvalue())
        self.written = time.monotonic()


def load_checkpoint(path: Path, mark: str) -> Mapping[str, Any]:
    """The state that a `Checkpointer` wrote; no code from the file is executed.

    Raises:
        InputError: there is none, it cannot be read, or it belongs to another image, recipe or seed.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is nothing to resume: {path} does not exist") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise InputError(f"the checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this version; start the run anew with --overwrite")
    if saved["mark"] != mark:
        raise InputError(f"{path} belongs to another image, recipe, kernel size or seed; resume with the same ones")
    state: Mapping[str, Any] = saved["state"]
    return state


def fingerprint(recipe: Mapping[str, Any], data: Tensor, kernel: Tensor | None, extra: Mapping[str, Any]) -> str:
    """A digest of all that determines a solve: resolved recipe, data, given kernel and settings such as the seed."""
    digest = hashlib.sha256(json.dumps([recipe, extra], sort_keys=True).encode())
    for tensor in (data, kernel):
        if tensor is not None:
            digest.update(str(tuple(tensor.shape)).encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

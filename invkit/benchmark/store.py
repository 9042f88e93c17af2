"""Where results are kept, and the digests by which a result is recognised.

    OUTPUT/suite.json             the plan of the last run
    OUTPUT/jobs/ID/result.json    with the images and kernels of the job beside it
    OUTPUT/.unfinished            remains of a run that was killed; the next run empties it
    OUTPUT/.lock                  held by the one run that may write here

A folder of a job is there completely or not at all, however the program ends. One process writes, even if many
processes compute.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import locked, read_json_table, sha256_of, sync_folder, write_atomically
from ..media.output import strict_json
from .records import RESULT_FILE, SUITE_FILE

__all__ = ["INTERRUPTED", "Finished", "JobStore", "code_digest", "data_digest", "file_digest", "hash_ahead"]

INTERRUPTED = {"stopped": "interrupted"}


@dataclass(frozen=True, eq=False)
class Finished:
    """The result of a job, in memory.

    Attributes:
        record: the content of result.json.
        files: contents by name.
        wall: seconds of the whole job, with measuring and encoding.
    """

    record: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C stopped the job; such a job counts as not started."""
        return bool(self.record["stopped"] == INTERRUPTED["stopped"])


class JobStore:
    """The results of a suite.

    Args:
        root: the folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs, self.unfinished = root / "jobs", root / ".unfinished"
        self.busy = f"another process is running a suite in {root}; wait for it, or choose another --output"

    def record(self, job: str) -> dict[str, Any] | None:
        """The record of a job, by its id; None if there is no readable record."""
        found = read_json_table(self.jobs / job / RESULT_FILE)
        return found if found.get("id") == job else None

    def records(self, jobs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The records of those jobs that have one, by id."""
        return {job: record for job in jobs if (record := self.record(job)) is not None}

    @contextmanager
    def opened(self) -> Iterator[JobStore]:
        """The store, open for writing by this process alone.

        Raises:
            InputError: the folder cannot be written, or another run is writing to it.
        """
        with explained_errors(self.root):
            self.jobs.mkdir(parents=True, exist_ok=True)
            with locked(self.root / ".lock", self.busy):
                shutil.rmtree(self.unfinished, ignore_errors=True)
                self.unfinished.mkdir(exist_ok=True)
                yield self
                shutil.rmtree(self.unfinished, ignore_errors=True)

    def write_suite(self, facts: Mapping[str, Any]) -> None:
        """Write the plan; raises `InputError`."""
        with explained_errors(self.root):
            write_atomically(self.root / SUITE_FILE, strict_json(facts).encode())

    def write(self, finished: Finished) -> None:
        """Keep the result of a job and replace an earlier one.

        Raises:
            InputError: the result cannot be written, for example because the disk is full.
        """
        job, temporary = str(finished.record["id"]), self.unfinished / uuid.uuid4().hex
        with explained_errors(self.root):
            temporary.mkdir()
            for name, content in {**finished.files, RESULT_FILE: strict_json(finished.record).encode()}.items():
                write_atomically(temporary / name, content)
            sync_folder(temporary)
            with suppress(FileNotFoundError):
                (self.jobs / job).replace(self.unfinished / uuid.uuid4().hex)
            temporary.replace(self.jobs / job)
            sync_folder(self.jobs)


@contextmanager
def explained_errors(root: Path) -> Iterator[None]:
    """Turn an ``OSError`` into an `InputError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the results cannot be written to {root} ({error.strerror or error}); earlier results are kept. Repair "
            "the folder or choose another --output, and run the suite again"
        ) from error


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal. A file is read once a process, unless its size or time changes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"the data file {path} cannot be read ({reason}); get the data again") from error


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    return sha256_of(path)


def hash_ahead(paths: Iterable[Path]) -> None:
    """Hash many files in parallel; later calls of `file_digest` are then immediate. Raises `InputError`."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(file_digest, dict.fromkeys(paths)):
            pass


def data_digest(data: Any) -> str:
    """The SHA-256 of JSON-like data, hexadecimal.

    Example:
        >>> data_digest({"b": 1, "a": 2}) == data_digest({"a": 2, "b": 1})
        True
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """The SHA-256 of the installed sources and recipes of invkit; a record shows by it which program made it."""
    package = Path(__file__).parents[1]
    sources = sorted(path for suffix in (".py", ".toml") for path in package.rglob(f"*{suffix}"))
    return data_digest([[path.relative_to(package).as_posix(), file_digest(path)] for path in sources])

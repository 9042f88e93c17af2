"""Where results lie: a folder for each job, which is there as a whole or not at all, whatever ends the program.

    OUTPUT/suite.json             what was planned last
    OUTPUT/jobs/ID/result.json    with its pictures and kernels beside it
    OUTPUT/.unfinished            what a run that was killed has left; emptied by the next
    OUTPUT/.lock                  held by the one run that may write here

One process writes, also where many compute.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..media.files import write_atomically
from ..media.output import strict_json

__all__ = ["RESULT", "JobStore"]

RESULT = "result.json"
SUITE = "suite.json"


class JobStore:
    """The results of a suite.

    Args:
        root: the folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs, self.unfinished = root / "jobs", root / ".unfinished"

    def record(self, job: str) -> dict[str, Any] | None:
        """What is recorded of a job, by its id; None where there is nothing, or nothing that can be read."""
        try:
            found = json.loads((self.jobs / job / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("id") == job else None

    def records(self, jobs: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The records of those jobs that have one."""
        found = {job: self.record(job) for job in jobs}
        return {job: record for job, record in found.items() if record is not None}

    @contextmanager
    def opened(self) -> Iterator[JobStore]:
        """The store, ready to be written to, by this process alone.

        Raises:
            InputError: it cannot be written, or another run is writing to it.
        """
        with complaining(self.root):
            self.jobs.mkdir(parents=True, exist_ok=True)
        with locked(self.root / ".lock"), complaining(self.root):
            shutil.rmtree(self.unfinished, ignore_errors=True)
            self.unfinished.mkdir(exist_ok=True)
            yield self
            shutil.rmtree(self.unfinished, ignore_errors=True)

    def write_suite(self, facts: Mapping[str, Any]) -> None:
        """Say what is planned; raises `InputError`."""
        with complaining(self.root):
            write_atomically(self.root / SUITE, strict_json(facts).encode())

    def write(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Keep the result of a job, instead of an earlier one.

        Args:
            record: what result.json holds.
            files: contents by name.

        Raises:
            InputError: it cannot be written, as when the disk is full.
        """
        temporary = self.unfinished / uuid.uuid4().hex
        with complaining(self.root):
            temporary.mkdir()
            for name, content in {**files, RESULT: strict_json(record).encode()}.items():
                write_through(temporary / name, content)
            sync(temporary)
            self.forget([str(record["id"])])
            temporary.replace(self.jobs / str(record["id"]))
            sync(self.jobs)

    def forget(self, jobs: Sequence[str]) -> None:
        """Take the results of those jobs away, each at once; raises `InputError`."""
        with complaining(self.root):
            for job in jobs:
                with suppress(FileNotFoundError):
                    (self.jobs / job).replace(self.unfinished / uuid.uuid4().hex)


@contextmanager
def complaining(root: Path) -> Iterator[None]:
    """Say of the system's errors what could not be written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the results cannot be written to {root} ({error.strerror or error}); what is there is kept: mend it, or "
            "choose another --output, and run the suite again"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back from a process that ends in any way.

    Where the file system knows no locks, or on Windows, there is none.

    Raises:
        InputError: another process holds it.
    """
    with complaining(path.parent), path.open("a+", encoding="utf-8") as file:
        if not lock(file.fileno()):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(f"{holder} is running a suite in {path.parent}; wait for it, or choose another --output")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; False where another process has locked it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here
    return True


def write_through(path: Path, content: bytes) -> None:
    """Write a file to the disk itself; raises ``OSError``."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Write a folder's names to the disk itself, where the system can; raises ``OSError``."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A process that reads one uploaded file, ``python -m invkit.apps.ui.photo_reader``, within limits of time and memory.

A decoder that loops or allocates without end then costs the page nothing: the process is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import asdict
from pathlib import Path

from ...core.errors import InputError, InvkitError
from ...core.runtime.process import SAFE_PATH
from .uploads import UploadLimits, prepare_photo

__all__ = ["read_apart"]

MODULE = "invkit.apps.ui.photo_reader"
READ_SECONDS = 60.0  # 50 megapixels take 5 s
BASE_BYTES = 2 * 2**30  # of addresses: the interpreter and its libraries
PIXEL_BYTES = 64  # four channels of float64, twice


async def read_apart(path: Path, name: str, limits: UploadLimits, seconds: float = READ_SECONDS) -> tuple[int, int]:
    """Do `prepare_photo` in a process of its own.

    Args:
        path: the file.
        name: the file name that the visitor sees, for the errors.
        limits: the largest file and picture.
        seconds: after which the process is killed.

    Returns:
        Width and height of the photograph.

    Raises:
        InputError: the file is not a photograph, is damaged or too large, or takes too much time or memory.
    """
    order = json.dumps({"path": str(path), "name": name, "limits": asdict(limits)})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", MODULE),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C in the terminal reaches the page alone
        env={**os.environ, **SAFE_PATH},
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(order.encode()), seconds)
    except asyncio.TimeoutError:
        raise InputError(f"{name} could not be read within {seconds:g} s; export it again, as PNG or JPEG") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not answer:
        raise InputError(f"{name} cannot be read (its decoder ended with code {process.returncode}); export it again")
    found = json.loads(answer)
    if "error" in found:
        raise InputError(found["error"])
    return found["width"], found["height"]


def limit_memory(limits: UploadLimits) -> None:
    """Limit the memory of this process, on systems that can."""
    if sys.platform == "win32":
        return
    import resource

    most = BASE_BYTES + int(limits.megapixels * 1e6 * PIXEL_BYTES) + int(limits.megabytes * 1e6)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def answer_order(order: str) -> str:
    """Read the file that an order names; the answer is its size, or an error."""
    given = json.loads(order)
    limits = UploadLimits(**given["limits"])
    limit_memory(limits)
    try:
        width, height = prepare_photo(Path(given["path"]), given["name"], limits)
    except MemoryError:
        return json.dumps({"error": f"{given['name']} does not fit in the memory that a photograph may take; crop it"})
    except (InvkitError, OSError) as error:
        return json.dumps({"error": str(error)})
    return json.dumps({"width": width, "height": height})


if __name__ == "__main__":
    print(answer_order(sys.stdin.read()))

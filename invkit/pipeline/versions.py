"""What the bits of a result depend on, beside its recipe and its inputs."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """The versions and the platform on which the bits of a result depend."""
    packages = {name: version(name) for name in ("invkit", "torch", "deepinv", "numpy")}
    threads = str(torch.get_num_threads())
    return {"python": platform.python_version(), "platform": platform.platform(), "threads": threads, **packages}

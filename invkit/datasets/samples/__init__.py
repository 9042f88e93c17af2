"""The bundled photograph, blurred by a known camera shake; SOURCE.md says where it is from."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UnknownNameError

__all__ = ["sample_path"]

FILES = {
    "coffee": "coffee_blurry.png",
    "coffee-sharp": "coffee_sharp.png",
    "coffee-kernel": "coffee_kernel.npy",
}


def sample_path(name: str = "coffee") -> Path:
    """Where a bundled file lies: "coffee" (blurry), "coffee-sharp" (the truth) or "coffee-kernel" (.npy).

    Raises:
        UnknownNameError: there is no such sample.
    """
    if name not in FILES:
        raise UnknownNameError(f"no sample is called {name!r}; there are {', '.join(FILES)}")
    return Path(__file__).parent / FILES[name]

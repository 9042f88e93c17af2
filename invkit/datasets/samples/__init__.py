"""The bundled photograph, blurred by a known camera shake; SOURCE.md describes its origin."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UnknownNameError

__all__ = ["sample_path"]

SAMPLE_FILES = {
    "coffee": "coffee_blurry.png",
    "coffee-sharp": "coffee_sharp.png",
    "coffee-kernel": "coffee_kernel.npy",
}


def sample_path(name: str = "coffee") -> Path:
    """The path of a bundled file: "coffee" (blurry), "coffee-sharp" (the truth) or "coffee-kernel" (.npy).

    Raises:
        UnknownNameError: there is no such sample.

    Example:
        >>> sample_path("coffee-sharp").name
        'coffee_sharp.png'
    """
    if name not in SAMPLE_FILES:
        raise UnknownNameError(f"there is no sample {name!r}; the samples are {', '.join(SAMPLE_FILES)}")
    return Path(__file__).parent / SAMPLE_FILES[name]

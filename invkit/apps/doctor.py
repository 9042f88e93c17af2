"""Whether an installation works: what is installed and what fails, where things lie, and a photograph deblurred."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from ..core import registry
from ..core.errors import InvkitError

__all__ = ["SECTIONS", "Finding", "examine"]

PACKAGES = ("invkit", "torch", "deepinv", "numpy", "scipy", "scikit-image", "matplotlib", "pillow")
RECIPE, SIDE, NOISE = "fast-map", 128, 0.003  # of the self-test; side in pixels
WINDOW, REACH = (60, 100), 9  # pixels: corner of what it takes of the sample, and length of its blur
LEAST_GAIN = 1.0  # dB; what is right gains about four
LOW = 1e9  # bytes free on a disk, under which a download of pretrained weights may fail

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: one of `SECTIONS`.
        name: of the thing.
        said: what was found, in words.
        state: "ok", "note" where something is absent that can be had, or "broken".
        remedy: what to do, where something is not as it should be.
        figures: numbers for scripts, as gain in dB and seconds; JSON-serialisable.
    """

    section: str
    name: str
    said: str
    state: State = "ok"
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def examine(data: Path | None = None, watch: Callable[[str], None] = lambda section: None) -> Iterator[Finding]:
    """Look at everything; what fails is a finding, never an error.

    Args:
        data: the folder of all data, or None.
        watch: is told of each section before it is looked at.
    """
    for section, look in SECTIONS.items():
        watch(section)
        try:
            yield from look(data)
        except Exception as error:  # whatever is wrong with an installation is what is looked for
            yield Finding(section, section, f"{type(error).__name__}: {error}", "broken", "install invkit anew")


def versions(data: Path | None) -> Iterator[Finding]:
    """Of Python, the system and the packages that matter."""
    yield Finding("versions", "python", platform.python_version())
    yield Finding("versions", "platform", platform.platform())
    for name in PACKAGES:
        try:
            yield Finding("versions", name, version(name))
        except PackageNotFoundError:
            yield Finding("versions", name, "not installed", "broken", f"pip install {name}")


def devices(data: Path | None) -> Iterator[Finding]:
    """What can compute, and which of it ``--device auto`` takes."""
    import psutil
    import torch

    from ..pipeline.options import choose_device

    cores, threads = os.cpu_count(), torch.get_num_threads()
    free, total = psutil.virtual_memory().available / 1e9, psutil.virtual_memory().total / 1e9
    words = f"{cores} cores, {threads} threads, {free:.1f} of {total:.1f} GB memory free"
    yield Finding("devices", "cpu", words, figures={"cores": cores, "threads": threads, "free_gb": round(free, 2)})
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        memory = about.total_memory / 1e9
        yield Finding("devices", f"cuda:{index}", f"{about.name}, {memory:.1f} GB", figures={"memory_gb": memory})
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "Apple's graphics processor")
    yield Finding("devices", "auto", str(choose_device("auto")))


def plugins(data: Path | None) -> Iterator[Finding]:
    """The distributions with components, invkit's own among them; each component that cannot be used."""
    from ..recipes.schema import problem_of

    entries = [entry for family in registry.FAMILIES for entry in registry.entries(family)]
    problems = {entry: problem for entry in entries if (problem := problem_of(entry))}
    for distribution in dict.fromkeys(entry.distribution for entry in entries):
        own = [entry for entry in entries if entry.distribution == distribution]
        words = f"{own[0].version}, {len(own)} components".lstrip(", ")
        yield Finding("plugins", distribution, words, figures={"components": len(own)})
    for entry, problem in problems.items():
        name = f"{entry.distribution}: {entry.name} of {entry.family}"
        yield Finding("plugins", name, problem, "broken", f"mend it, or 'pip uninstall {entry.distribution}'")
    if os.environ.get("INVKIT_DISABLE_PLUGINS"):
        remedy = "unset INVKIT_DISABLE_PLUGINS to use them"
        yield Finding("plugins", "others", "switched off by INVKIT_DISABLE_PLUGINS", "note", remedy)


def datasets(data: Path | None) -> Iterator[Finding]:
    """Which are present; an absent one is no fault."""
    from .inventory import dataset_facts

    for name in registry.names("datasets"):
        facts = dataset_facts(name, data)
        cases, where = facts["cases"], facts["where"]
        if cases is not None:
            yield Finding("data", name, f"{cases} cases, {where}", figures={"cases": cases})
        elif where.startswith("absent: "):
            yield Finding("data", name, "absent", "note", where.removeprefix("absent: "))
        elif where:
            yield Finding("data", name, "yours to name", "ok", where)
        else:
            yield Finding("data", name, facts["title"], "broken", "mend the plugin, or uninstall it")


def folders(data: Path | None) -> Iterator[Finding]:
    """Where data, pretrained weights and temporary files lie, and how much room is left there."""
    import torch

    from ..datasets.places import data_folder

    places = {"data": data_folder(data), "weights": Path(torch.hub.get_dir()), "temporary": Path(tempfile.gettempdir())}
    for name, place in places.items():
        there = next(folder for folder in (place, *place.parents) if folder.is_dir())
        free = shutil.disk_usage(there).free
        figures = {"path": str(place), "exists": there == place, "free_gb": round(free / 1e9, 2)}
        words = f"{place}, {free / 1e9:.1f} GB free" + ("" if there == place else ", not there yet")
        if not os.access(there, os.W_OK):
            yield Finding("folders", name, f"{words}, cannot be written", "note", "choose another folder", figures)
        else:
            low = free < LOW
            yield Finding("folders", name, words, "note" if low else "ok", "make room" if low else "", figures)


def self_test(data: Path | None) -> Iterator[Finding]:
    """Deblur a small part of the sample photograph, blurred here, and see that it has gained."""
    from ..pipeline.job import prepare

    began = time.monotonic()
    blurry, truth = small_case()
    try:
        job = prepare(blurry, recipe=RECIPE, kernel_size=REACH + 4, truth=truth, device="cpu")
        psnr = job.run().details["psnr"]
    except InvkitError as error:
        yield Finding("self-test", RECIPE, str(error), "broken", "install invkit anew")
        return
    seconds, gain = time.monotonic() - began, psnr["after"] - psnr["before"]
    words = f"{psnr['before']:.1f} dB before, {psnr['after']:.1f} dB after, {seconds:.1f} s"
    figures = {"gain_db": round(gain, 3), "seconds": round(seconds, 3)}
    broken = not gain >= LEAST_GAIN
    remedy = f"it should gain {LEAST_GAIN:g} dB or more; please report it with all of this" if broken else ""
    yield Finding("self-test", RECIPE, words, "broken" if broken else "ok", remedy, figures)


def small_case() -> tuple[Any, Any]:
    """A grey picture of `SIDE` pixels blurred by a slanted line, with noise, and the truth; float32 arrays."""
    import numpy as np
    from scipy.signal import convolve2d

    from ..datasets.samples import sample_path
    from ..media.colour import to_luma_chroma
    from ..media.images import read_image

    top, left = WINDOW
    whole = to_luma_chroma(read_image(sample_path("coffee-sharp")).pixels)[0][..., 0]
    sharp = whole[top : top + SIDE + REACH - 1, left : left + SIDE + REACH - 1]
    kernel = np.zeros((REACH, REACH))
    kernel[[(column + REACH // 2) // 2 for column in range(REACH)], range(REACH)] = 1 / REACH
    blurry = convolve2d(sharp, kernel, mode="valid") + NOISE * np.random.default_rng(0).standard_normal((SIDE, SIDE))
    edge = REACH // 2
    return blurry.clip(0, 1).astype(np.float32), sharp[edge:-edge, edge:-edge].astype(np.float32)


SECTIONS: dict[str, Callable[[Path | None], Iterable[Finding]]] = {
    "versions": versions,
    "devices": devices,
    "plugins": plugins,
    "data": datasets,
    "folders": folders,
    "self-test": self_test,
}
"""What is looked at, in this order."""

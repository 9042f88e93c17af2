"""``invkit doctor``: check the installation, its plugins, data and folders, and deblur a small image with it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer
from rich.markup import escape
from rich.table import Column, Table

from ...core import registry
from ...core.errors import InvkitError
from .shared import err, out

__all__ = ["CHECKS", "Finding", "doctor_command", "examine"]

PACKAGES = ("invkit", "torch", "deepinv", "numpy", "scipy", "scikit-image", "matplotlib", "pillow")
TEST_RECIPE, TEST_SIDE, TEST_NOISE = "fast-map", 128, 0.003  # of the self-test; side in pixels, noise in [0, 1] units
TEST_CORNER, TEST_BLUR = (60, 100), 9  # pixels: corner of its crop of the sample photograph, and length of its blur
MIN_GAIN = 1.0  # dB; a sound installation gains about four
MIN_FREE_DISK = 1e9  # bytes; with less, a download of pretrained weights may fail
MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "broken": "[red]broken[/red]"}

Verdict: TypeAlias = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        section: one of `CHECKS`.
        name: what was checked.
        found: what was found, as text.
        state: "ok", "note" if something that can be had is absent, or "broken".
        remedy: what to do, if something is not as it should be.
        figures: numbers for scripts, as gain in dB and seconds; JSON-serialisable.
    """

    section: str
    name: str
    found: str
    state: Verdict = "ok"
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def doctor_command(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder of all data. Default: INVKIT_DATA, or one in the user's cache."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts, on the standard output.")] = False,
) -> None:
    """Check this installation and deblur a small image with it.

    It checks versions, devices, plugins, datasets, folders and their free space, and runs a self-test of a few seconds.
    The exit code is 1 if anything is broken.

    [bold]Examples[/bold]

      invkit doctor

      invkit doctor --json > doctor.json, to send with a question
    """
    with err.status("checking") as status:
        findings = list(examine(data, lambda section: status.update(f"checking {section}")))
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        typer.echo(json.dumps({"works": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        out.print(findings_table(findings))
        out.print(f"{len(broken)} broken; see above" if broken else "everything that was checked works")
    if broken:
        raise typer.Exit(1)


def findings_table(findings: Sequence[Finding]) -> Table:
    """The findings as a table, grouped by section."""
    table = Table("", "", Column("found", overflow="fold"), "", Column("what to do", overflow="fold"), box=None)
    section = ""
    for finding in findings:
        first = "" if finding.section == section else f"[bold]{escape(finding.section)}[/bold]"
        section = finding.section
        table.add_row(first, escape(finding.name), escape(finding.found), MARKS[finding.state], escape(finding.remedy))
    return table


def examine(data: Path | None = None, notify: Callable[[str], None] = lambda section: None) -> Iterator[Finding]:
    """Run all checks. A check that fails is a finding, never an error.

    Args:
        data: folder of all data, or None.
        notify: called with the name of each section before its checks.
    """
    for section, check in CHECKS.items():
        notify(section)
        try:
            yield from check(data)
        except Exception as error:  # a broken installation may fail in any way
            yield Finding(section, section, f"{type(error).__name__}: {error}", "broken", "reinstall invkit")


def check_versions(data: Path | None) -> Iterator[Finding]:
    """Versions of Python, the system and the most important packages."""
    yield Finding("versions", "python", platform.python_version())
    yield Finding("versions", "platform", platform.platform())
    for name in PACKAGES:
        try:
            yield Finding("versions", name, version(name))
        except PackageNotFoundError:
            yield Finding("versions", name, "not installed", "broken", f"pip install {name}")


def check_devices(data: Path | None) -> Iterator[Finding]:
    """The devices that can compute, and the one that ``--device auto`` takes."""
    import psutil
    import torch

    from ...pipeline.options import choose_device

    cores, threads = os.cpu_count(), torch.get_num_threads()
    free, total = psutil.virtual_memory().available / 1e9, psutil.virtual_memory().total / 1e9
    text = f"{cores} cores, {threads} threads, {free:.1f} of {total:.1f} GB memory free"
    yield Finding("devices", "cpu", text, figures={"cores": cores, "threads": threads, "free_gb": round(free, 2)})
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 1e9
        yield Finding("devices", f"cuda:{index}", f"{properties.name}, {memory:.1f} GB", figures={"memory_gb": memory})
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "Apple's graphics processor")
    yield Finding("devices", "auto", str(choose_device("auto")))


def check_plugins(data: Path | None) -> Iterator[Finding]:
    """The distributions with components, invkit among them, and each component that cannot be used."""
    from ...recipes.schema import problem_of

    entries = [entry for family in registry.FAMILIES for entry in registry.entries(family)]
    problems = {entry: problem for entry in entries if (problem := problem_of(entry))}
    for distribution in dict.fromkeys(entry.distribution for entry in entries):
        own = [entry for entry in entries if entry.distribution == distribution]
        text = f"{own[0].version}, {len(own)} components".lstrip(", ")
        yield Finding("plugins", distribution, text, figures={"components": len(own)})
    for entry, problem in problems.items():
        name = f"{entry.distribution}: {entry.name} of {entry.family}"
        yield Finding("plugins", name, problem, "broken", f"repair it, or 'pip uninstall {entry.distribution}'")
    if os.environ.get("INVKIT_DISABLE_PLUGINS"):
        remedy = "unset INVKIT_DISABLE_PLUGINS to use them"
        yield Finding("plugins", "others", "disabled by INVKIT_DISABLE_PLUGINS", "note", remedy)


def check_datasets(data: Path | None) -> Iterator[Finding]:
    """The datasets that are present, and how to get the others."""
    from .data import dataset_facts

    for name in registry.names("datasets"):
        facts = dataset_facts(name, data)
        cases, where = facts["cases"], facts["where"]
        if cases is not None:
            yield Finding("data", name, f"{cases} cases, {where}", figures={"cases": cases})
        elif where.startswith("absent: "):
            yield Finding("data", name, "absent", "note", where.removeprefix("absent: "))
        elif where:
            yield Finding("data", name, "needs parameters", "ok", where)
        else:
            yield Finding("data", name, facts["title"], "broken", "repair the plugin, or uninstall it")


def check_folders(data: Path | None) -> Iterator[Finding]:
    """The folders of data, pretrained weights and temporary files, and the free space on their disks."""
    import torch

    from ...datasets.places import data_folder

    places = {"data": data_folder(data), "weights": Path(torch.hub.get_dir()), "temporary": Path(tempfile.gettempdir())}
    for name, place in places.items():
        existing = next(folder for folder in (place, *place.parents) if folder.is_dir())
        free = shutil.disk_usage(existing).free
        figures = {"path": str(place), "exists": existing == place, "free_gb": round(free / 1e9, 2)}
        text = f"{place}, {free / 1e9:.1f} GB free" + ("" if existing == place else ", does not exist yet")
        if not os.access(existing, os.W_OK):
            yield Finding("folders", name, f"{text}, not writable", "note", "choose another folder", figures)
        elif free < MIN_FREE_DISK:
            yield Finding("folders", name, text, "note", "free some disk space", figures)
        else:
            yield Finding("folders", name, text, figures=figures)


def self_test(data: Path | None) -> Iterator[Finding]:
    """Deblur a crop of the sample photograph that was blurred here, and check the gain in PSNR."""
    from ...pipeline.job import prepare

    start = time.monotonic()
    blurry, truth = self_test_case()
    try:
        job = prepare(blurry, recipe=TEST_RECIPE, kernel_size=TEST_BLUR + 4, truth=truth, device="cpu")
        psnr = job.run().details["psnr"]
    except InvkitError as error:
        yield Finding("self-test", TEST_RECIPE, str(error), "broken", "reinstall invkit")
        return
    seconds, gain = time.monotonic() - start, psnr["after"] - psnr["before"]
    text = f"{psnr['before']:.1f} dB before, {psnr['after']:.1f} dB after, {seconds:.1f} s"
    figures = {"gain_db": round(gain, 3), "seconds": round(seconds, 3)}
    broken = not gain >= MIN_GAIN
    remedy = f"the gain should be {MIN_GAIN:g} dB or more; please report it with all findings" if broken else ""
    yield Finding("self-test", TEST_RECIPE, text, "broken" if broken else "ok", remedy, figures)


def self_test_case() -> tuple[Any, Any]:
    """A grey image, blurred along a slanted line, with noise, and its truth; float32 arrays of `TEST_SIDE` pixels."""
    import numpy as np
    from scipy.signal import convolve2d

    from ...datasets.samples import sample_path
    from ...media.colour import to_luma_chroma
    from ...media.images import read_image

    top, left = TEST_CORNER
    side, length, margin = TEST_SIDE + TEST_BLUR - 1, TEST_BLUR, TEST_BLUR // 2
    luma = to_luma_chroma(read_image(sample_path("coffee-sharp")).pixels)[0][..., 0]
    sharp = luma[top : top + side, left : left + side]
    kernel = np.zeros((length, length))
    kernel[[(column + margin) // 2 for column in range(length)], range(length)] = 1 / length
    noise = TEST_NOISE * np.random.default_rng(0).standard_normal((TEST_SIDE, TEST_SIDE))
    blurry = convolve2d(sharp, kernel, mode="valid") + noise
    return blurry.clip(0, 1).astype(np.float32), sharp[margin:-margin, margin:-margin].astype(np.float32)


CHECKS: dict[str, Callable[[Path | None], Iterable[Finding]]] = {
    "versions": check_versions,
    "devices": check_devices,
    "plugins": check_plugins,
    "data": check_datasets,
    "folders": check_folders,
    "self-test": self_test,
}
"""The checks of each section, in this order."""

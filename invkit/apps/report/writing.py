"""From folders or results to the HTML file."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from ...core.errors import InputError
from ...core.files import read_bytes, save_file
from ...core.result import Result
from .charts import look_class
from .page import ReportPage, joined_pages
from .pictures import Album, Track, embed, untracked
from .runs import Run, is_run, read_run, run_in_memory, runs_page, with_input
from .suites import is_suite, suite_page

__all__ = ["ReportSource", "report"]

ReportSource: TypeAlias = Result | str | Path

PAGE_MEGABYTES = 15.0


def report(
    sources: ReportSource | Iterable[ReportSource],
    path: str | Path = "report.html",
    *,
    title: str | None = None,
    photos: Sequence[str | Path] = (),
    truth: str | Path | None = None,
    data: Path | None = None,
    megabytes: float = PAGE_MEGABYTES,
    track: Track = untracked,
) -> Path:
    """Write results to one HTML page, which needs no other file and no network.

    Args:
        sources: results, folders of runs and folders of benchmarks, one or several. Runs of the same photograph are
            shown side by side.
        path: of the page; an existing file is replaced.
        title: of the page; None for a title that says what the page holds.
        photos: the photographs of the runs, if they are neither kept with the runs nor beside them.
        truth: the sharp image, if all runs are of one photograph; the page then shows the PSNR of snapshots.
        data: the folder of all data, for the blurry and sharp images of benchmarks; None for the default folder.
        megabytes: the largest size of the page; images lose resolution if the page would be larger.
        track: shows the progress of slow steps.

    Returns:
        The path.

    Raises:
        InputError: a folder holds no results, no run is of a photograph, the truth cannot be read, the runs are of
            several photographs, or the page cannot be written.
    """
    runs, suites = sorted_sources([sources] if isinstance(sources, Result | str | Path) else list(sources))
    given = {photo_digest(Path(photo), runs): Path(photo) for photo in photos}
    sharp = None if truth is None else Path(truth)
    pages = [runs_page([with_input(run, given) for run in runs], sharp, track)] if runs else []
    for suite in suites:
        cases, looks = sum(len(page.cases) for page in pages), sum(len(page.methods) for page in pages)
        pages.append(suite_page(suite, data=data, first_case=cases, first_look=looks, track=track))
    page = joined_pages(pages)
    text = page_text(page, title or page.title, embed(page.pictures(), megabytes, track))
    target = Path(path)
    save_file(target, text)
    return target


def sorted_sources(sources: Sequence[ReportSource]) -> tuple[list[Run], list[Path]]:
    """The runs, and the folders of benchmarks; a repeated folder counts once. Raises `InputError`."""
    if not sources:
        raise InputError("there is nothing to report on; give results, or folders of runs or benchmarks")
    runs: list[Run] = []
    suites: list[Path] = []
    seen: set[Path] = set()
    for number, source in enumerate(sources, start=1):
        if isinstance(source, Result):
            runs.append(run_in_memory(source, f"result {number}"))
            continue
        folder = Path(source)
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if is_run(folder):
            runs.append(read_run(folder))
        else:
            check_suite(folder)
            suites.append(folder)
    return runs, suites


def check_suite(folder: Path) -> None:
    """Raise `InputError` unless the folder holds results of a benchmark."""
    remedy = "give the --output of 'invkit deblur' or 'invkit bench run'"
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; {remedy}")
    if not is_suite(folder):
        raise InputError(f"{folder} holds no results (neither result.json nor suite.json); {remedy}")


def photo_digest(photo: Path, runs: Sequence[Run]) -> str:
    """The digest of a photograph; raises `InputError` if it is the input of no run."""
    digest = hashlib.sha256(read_bytes(photo)).hexdigest()
    if digest not in {str(each.get("sha256")) for run in runs for each in run.inputs}:
        raise InputError(f"{photo} is not the input of any of the runs; give the same file, or leave it out")
    return digest


def page_text(page: ReportPage, title: str, album: Album) -> str:
    """The HTML of a page. Jinja escapes all texts from results; only charts, styles and script are HTML already.

    Args:
        page: the content.
        title: of the page.
        album: the embedded pictures.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("invkit.apps.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    return environment.get_template("page.html.jinja").render(
        page=page,
        title=title,
        album=album,
        style=style,
        script=script,
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        version=version("invkit"),
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        look_class=look_class,
    )

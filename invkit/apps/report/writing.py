"""From folders or results to the HTML file."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

from ... import __version__
from ...core.errors import InputError
from ...core.files import write_atomically
from ...core.result import Result
from .page import Page, joined
from .pictures import Album, Track, embed, untracked
from .run_page import runs_page
from .runs import Run, is_run, read_run, run_of
from .suites import is_suite, suite_page

__all__ = ["Source", "report"]

Source: TypeAlias = Result | str | Path

MEGABYTES = 15.0


def report(
    sources: Source | Iterable[Source],
    path: str | Path = "report.html",
    *,
    title: str | None = None,
    photos: Sequence[str | Path] = (),
    truth: str | Path | None = None,
    data: Path | None = None,
    megabytes: float = MEGABYTES,
    track: Track = untracked,
) -> Path:
    """Write one HTML page of results, which needs nothing else and may be sent to others.

    Args:
        sources: results, folders of runs and folders of benchmarks, one or several; runs of one photograph are shown
            beside each other.
        path: of the page; replaced where it exists.
        title: of the page; None for one that tells what is in it.
        photos: the photographs that runs were made from, where they are neither kept with the runs nor beside them.
        truth: the sharp picture, if all runs are of one photograph; with it PSNR is shown over the snapshots.
        data: the folder of all data, for the blurry and sharp pictures of benchmarks; None for the usual one.
        megabytes: how large the page may become; pictures lose resolution where it would be larger.
        track: watches what takes time.

    Returns:
        The path.

    Raises:
        InputError: a folder holds no results, a photograph is of none of the runs, the truth cannot be
            read or the runs are of several photographs, or the page cannot be written.
    """
    given = [sources] if isinstance(sources, Result | str | Path) else list(sources)
    runs, suites = sorted_out(given)
    pages = [runs_page(runs, photos=checked(photos, runs), truth=as_path(truth), track=track)] if runs else []
    page = joined([*pages, *suite_pages(suites, pages, data, track)])
    text = rendered(page, title, embed(page.pictures(), megabytes, track))
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode())
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error}); choose another --output") from error
    return target


def as_path(given: str | Path | None) -> Path | None:
    """A path, or none."""
    return None if given is None else Path(given)


def suite_pages(suites: Sequence[Path], before: Sequence[Page], data: Path | None, track: Track) -> list[Page]:
    """The pages of benchmarks, their cases and looks counted on from the pages before."""
    pages = list(before)
    for suite in suites:
        cases, looks = sum(len(page.cases) for page in pages), sum(len(page.methods) for page in pages)
        pages.append(suite_page(suite, data=data, first_case=cases, first_look=looks, track=track))
    return pages[len(before) :]


def sorted_out(sources: Sequence[Source]) -> tuple[list[Run], list[Path]]:
    """The runs, and the folders of benchmarks; a folder that is given twice counts once. Raises `InputError`."""
    if not sources:
        raise InputError("there is nothing to report on; give results, or folders of runs or benchmarks")
    runs: list[Run] = []
    suites: list[Path] = []
    seen: set[Path] = set()
    for number, source in enumerate(sources, start=1):
        if isinstance(source, Result):
            runs.append(run_of(source, f"result {number}"))
            continue
        folder = Path(source)
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if is_run(folder):
            runs.append(read_run(folder))
        else:
            suites.append(checked_suite(folder))
    return runs, suites


def checked_suite(folder: Path) -> Path:
    """The folder of a benchmark; raises `InputError` where it holds no results at all."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the --output of 'invkit deblur' or 'invkit bench run'")
    if not is_suite(folder):
        raise InputError(
            f"{folder} holds no results (neither result.json nor suite.json); give the --output of 'invkit deblur' or "
            "'invkit bench run'"
        )
    return folder


def checked(photos: Sequence[str | Path], runs: Sequence[Run]) -> list[Path]:
    """The photographs, each of which some run was made from; raises `InputError`."""
    from ...media.decoding import read_bytes

    known = {str(each.get("sha256")) for run in runs for each in run.photographs}
    for photo in photos:
        if hashlib.sha256(read_bytes(Path(photo))).hexdigest() not in known:
            raise InputError(f"{photo} is not what any of the runs was made from; give the very file, or leave it out")
    return [Path(photo) for photo in photos]


def rendered(page: Page, title: str | None, album: Album) -> str:
    """The text of the page. Jinja escapes whatever comes from results; styles and script are this package's own."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("invkit.apps.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (source_of(environment, name) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.jinja").render(
        page=page,
        title=title or page.title,
        album=album,
        style=style,
        script=script,
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        version=__version__,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        anchor=anchor,
    )


def source_of(environment: Any, name: str) -> str:
    """The text of a file of this package."""
    text: str = environment.loader.get_source(environment, name)[0]
    return text


def anchor(text: str) -> str:
    """A text as part of an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"

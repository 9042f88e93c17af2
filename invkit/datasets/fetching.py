"""Fetching of the files of a dataset: pooch downloads and checks them, or a person has downloaded them by hand.

Each file appears in the dataset's folder only after its SHA-256 has been checked. After an interruption, complete files
are not downloaded again. An incomplete file is, because pooch does not resume within a file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pooch
import requests

from ..core.errors import InputError, PluginError
from ..core.evaluation import DatasetFile
from ..core.files import sha256_of
from .archives import safe_path, unpack

__all__ = ["absent", "fetch"]

Watch: TypeAlias = Callable[[int], object]
"""Called with the number of bytes that have arrived; a negative number takes bytes back."""

PARALLEL_DOWNLOADS = 6  # GitHub serves as many without complaint
DOWNLOAD_RETRIES = 2
DOWNLOAD_TIMEOUT = 15.0  # seconds without a byte
DOWNLOAD_CHUNK = 1 << 14  # bytes; a download can be stopped after each chunk
UNPACKED_RECORDS = ".fetched"  # folder in a dataset with an empty file for each archive that was unpacked there
ARCHIVE_SLACK, ARCHIVE_FACTOR = 100 << 20, 20  # an archive of n bytes may hold FACTOR n + SLACK bytes of images
WEB_ADDRESSES = ("http://", "https://")


def fetch(
    files: Sequence[DatasetFile],
    folder: Path,
    *,
    origin: str | None = None,
    replace: bool = False,
    watch: Watch = lambda count: None,
) -> int:
    """Fetch the files of a dataset that its folder lacks.

    Args:
        files: all files of the dataset. Those with an empty ``url`` must be found in ``origin``.
        folder: the dataset's folder. Other files in it remain.
        origin: a folder, an archive or the address of an archive. Files are recognised by their contents, whatever
            their names are. Files that are not found there are downloaded if they have an address.
        replace: replace files in the folder that differ from those of the dataset; otherwise they are an error.
        watch: called with the bytes that arrive. Their total is the size of the `absent` files.

    Returns:
        The number of files that were fetched, zero if the dataset was complete.

    Raises:
        InputError: a file cannot be obtained or has other contents, or the folder cannot be written or holds others.
        PluginError: an entry of ``files`` has no usable path, address or digest.
    """
    wanted = absent(files, folder, replace=replace)
    if not wanted:
        return 0
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            found = {} if origin is None else files_by_digest(origin, Path(scratch), {file.size for file in wanted})
            obtainable = [file for file in wanted if file.url or file.sha256 in found]
            fetch_in_parallel(obtainable, folder, found, watch)
    if len(obtainable) < len(wanted):
        lacking = [file.path for file in wanted if file not in obtainable]
        where = "no copy was given" if origin is None else f"{origin} contains none of this size and SHA-256"
        raise InputError(
            f"{len(lacking)} files of the dataset have no address, for example {lacking[0]}, and {where}; get them by "
            "hand, and give their folder or archive with --from. The other files are kept"
        )
    return len(wanted)


def absent(files: Sequence[DatasetFile], folder: Path, *, replace: bool = False) -> list[DatasetFile]:
    """The files of a dataset that its folder lacks; raises as `fetch`.

    Args:
        files: all files of the dataset.
        folder: the dataset's folder.
        replace: include files that differ from those of the dataset; otherwise they are an error.
    """
    for file in files:
        check_entry(file)
    there = {file.path for file in files if (folder / file.path).exists()}  # first: another process may be fetching
    missing = [file for file in files if not is_present(folder, file)]
    different = [file.path for file in missing if not file.unpack and file.path in there]
    if different and not replace:
        raise InputError(
            f"{len(different)} files in {folder} differ from those of the dataset, for example {different[0]}; move "
            "them away, or replace them with --replace"
        )
    return missing


def check_entry(file: DatasetFile) -> None:
    """Raises `PluginError` for a file that cannot be fetched safely."""
    try:
        if not (file.unpack and file.path == "."):
            safe_path(file.path)
    except InputError as error:
        raise PluginError(f"a dataset asks for a file that it must not write: {error}") from error
    if file.url and not file.url.startswith(WEB_ADDRESSES):
        raise PluginError(f"the address {file.url} of {file.path} is neither http nor https")
    if len(file.sha256) != 64 or file.size < 0:
        raise PluginError(f"{file.path} has no SHA-256 or no size, so that it cannot be checked")


def is_present(folder: Path, file: DatasetFile) -> bool:
    """Whether a folder holds an intact file of the dataset; for an archive, whether it was unpacked there."""
    place = folder / file.path
    if file.unpack:
        return (folder / UNPACKED_RECORDS / file.sha256).is_file()
    return place.is_file() and place.stat().st_size == file.size and sha256_of(place) == file.sha256


def files_by_digest(origin: str, scratch: Path, sizes: set[int]) -> dict[str, Path]:
    """The files of certain sizes in a folder, an archive or the archive at an address, by their SHA-256.

    Args:
        origin: as in `fetch`.
        scratch: an empty folder on the same disk, for the archive and its contents.
        sizes: bytes.
    """
    place = Path(origin).expanduser()
    if origin.startswith(WEB_ADDRESSES):
        download = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT)
        with download_errors(origin):
            place = Path(pooch.retrieve(origin, None, path=scratch, downloader=download))
    if not place.exists():
        raise InputError(f"there is no {place}; give --from the folder or archive that you have downloaded")
    if place.is_file():
        archive, place = place, scratch / "contents"
        unpack(archive, place, content_limit(archive))
    found = (path for path in sorted(place.rglob("*")) if path.is_file() and path.stat().st_size in sizes)
    return {sha256_of(path): path for path in found}


def fetch_in_parallel(files: Sequence[DatasetFile], folder: Path, found: Mapping[str, Path], watch: Watch) -> None:
    """Fetch several files at a time. The first failure stops all of them; complete files remain.

    Args:
        files: the files, each with an address or a file in ``found``.
        folder: the dataset's folder.
        found: local files by their SHA-256.
        watch: called with the bytes that arrive.
    """
    pooch.get_logger().setLevel(logging.WARNING)  # otherwise pooch prints a line for each file
    stop = threading.Event()
    bars = [ProgressOfFile(file.size, watch, stop) for file in files]
    local = [found.get(file.sha256) for file in files]
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        try:
            list(pool.map(partial(fetch_one, folder), files, local, bars))
        except BaseException:
            stop.set()
            raise


class Stopped(Exception):  # noqa: N818 - not an error: another download has failed, or the user has stopped all
    """A download that was stopped."""


@dataclass
class ProgressOfFile:
    """The progress bar that pooch updates while it downloads one file; also the place where a download stops."""

    size: int
    watch: Watch
    stop: threading.Event
    total: int = 0  # set by pooch
    arrived: int = 0  # by all attempts

    def update(self, count: int) -> None:
        """Count bytes; raises `Stopped`."""
        if self.stop.is_set():
            raise Stopped
        self.arrived += count
        self.watch(count)

    def reset(self) -> None:
        """Take all bytes back."""
        self.update(-self.arrived)

    def close(self) -> None:
        """Count the file as complete."""
        self.update(self.size - self.arrived)


def fetch_one(folder: Path, file: DatasetFile, found: Path | None, bar: ProgressOfFile) -> None:
    """Copy or download one file; pooch checks its digest and moves it to its place. An archive is then unpacked.

    Args:
        folder: the dataset's folder.
        file: the file.
        found: a local file with the same contents, or None to download the file.
        bar: its progress bar.
    """
    http = pooch.HTTPDownloader(bar, DOWNLOAD_CHUNK, timeout=DOWNLOAD_TIMEOUT)

    def attempt(url: str, target: str, store: object) -> None:
        bar.update(0)  # raises Stopped if another download has failed meanwhile
        if found is None:
            http(url, target, store)
        else:
            copyfile(found, target)
            bar.close()

    name = f"{UNPACKED_RECORDS}/{file.sha256}.archive" if file.unpack else file.path
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)  # pooch's threads collide if several of them create it
    store = pooch.Pooch(folder, "", {name: file.sha256}, {name: file.url}, retry_if_failed=DOWNLOAD_RETRIES)
    with download_errors(file.url):
        store.fetch(name, downloader=attempt)
    if file.unpack:
        unpack(place, folder / file.path, content_limit(place))
        place.with_suffix("").touch()
        place.unlink()


def content_limit(archive: Path) -> int:
    """The bytes that an archive may contain: more than any images need, and less than an archive bomb contains."""
    return ARCHIVE_FACTOR * archive.stat().st_size + ARCHIVE_SLACK


@contextmanager
def download_errors(url: str) -> Iterator[None]:
    """Turn the errors of a download into an `InputError` that says what to do."""
    try:
        yield
    except requests.RequestException as error:
        problem = "the server cannot be reached, or the connection has broken"
        if error.response is not None:
            problem = f"the server answers {error.response.status_code} {error.response.reason}"
        raise InputError(
            f"{url} cannot be downloaded: {problem}; check the connection (HTTPS_PROXY names a proxy) and run the "
            "command again, or get the file by hand and give it with --from. Files that have arrived are kept"
        ) from error
    except ValueError as error:  # from pooch
        raise InputError(
            f"{url} does not have the expected SHA-256: its authors have changed the file, or the transfer has damaged "
            "it. It was not kept"
        ) from error


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn each ``OSError`` into an `InputError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error}; free space on its disk, or name another folder of all data with "
            "--data or the environment variable INVKIT_DATA. Files that have arrived are kept"
        ) from error

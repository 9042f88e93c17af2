"""Sets of files, brought whole or not at all: downloaded, or found in what somebody has downloaded by hand.

Everything is gathered in a folder beside the one it belongs to, on the same disk, checked by size and SHA-256, and
moved there when all of it has arrived. What was gathered before an interruption is used the next time.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..core.errors import InputError, PluginError
from ..core.evaluation import Source
from ..media.checksums import sha256_of
from .archives import safe_path, unpack
from .downloads import Download, Stopped, Watch

__all__ = ["absent", "fetch"]

WORKERS = 6  # downloads at a time: what GitHub and others bear without complaint
RECORDS = ".fetched"  # folder in a set that says which archives were unpacked there
SLACK, FACTOR = 100 << 20, 20  # an archive of n bytes may hold FACTOR n + SLACK: no pictures shrink so much
FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch(
    sources: Sequence[Source],
    folder: Path,
    *,
    given: str | None = None,
    replace: bool = False,
    watch: Watch = lambda count: None,
) -> int:
    """Make a folder hold a set of files.

    Where the folder does not exist it appears at once, whole; files that are missing from one that exists are moved
    there one by one after all of them have arrived. Other files in it are left alone, but for those that bear the name
    of a file in an archive of the set.

    Args:
        sources: the files; those with an empty ``url`` must be found in ``given``.
        folder: where they belong.
        given: a folder, an archive or the address of one, in which files are found by their contents, whatever they
            are called there; what is missing there and has an address is downloaded.
        replace: files in the folder that are not those of the set; otherwise they are an error.
        watch: told of the bytes that arrive of `absent`, whose sizes are the whole.

    Returns:
        How many files were fetched; none where the set was whole.

    Raises:
        InputError: a file cannot be had or is not what it should be, the folder holds others, or cannot be written.
        PluginError: a source has no usable path, address or digest.
        KeyboardInterrupt: as it came; what has arrived is kept.
    """
    wanted = absent(sources, folder, replace=replace)
    gathering = Gathering(folder, sources, watch)
    if not wanted:
        gathering.clear()
        return 0
    with explained(folder.parent), gathering.alone():
        if given is not None:
            gathering.find(given)
        left = [source for source in wanted if not gathering.arrived(source)]
        check_obtainable(left, given)
        watch(sum(source.size for source in wanted) - sum(source.size for source in left))
        gathering.download(left)
        gathering.install()
    gathering.clear()
    return len(wanted)


def absent(sources: Sequence[Source], folder: Path, *, replace: bool = False) -> list[Source]:
    """The files of a set that a folder lacks, with ``replace`` also those it has others for; raises as `fetch`."""
    for source in sources:
        check_source(source)
    missing = [source for source in sources if not holds(folder, source)]
    others = [source.path for source in missing if not source.unpack and (folder / source.path).exists()]
    if others and not replace:
        raise InputError(
            f"{len(others)} files in {folder} are not those of the set, as {others[0]}; move them away, or let "
            "--replace fetch them anew"
        )
    return missing


def check_source(source: Source) -> None:
    """Raises `PluginError` for a source that cannot be fetched safely."""
    try:
        if not (source.unpack and source.path == "."):
            safe_path(source.path)
    except InputError as error:
        raise PluginError(f"a dataset asks for a file that it must not write: {error}") from error
    if source.url and not is_address(source.url):
        raise PluginError(f"the address {source.url} of {source.path} is neither http nor https")
    if len(source.sha256) != 64 or source.size < 0:
        raise PluginError(f"{source.path} has no SHA-256 or no size, so that it cannot be checked")


def is_address(text: str) -> bool:
    """Whether it is of the web, rather than a path."""
    return text.startswith(("http://", "https://"))


def holds(folder: Path, source: Source) -> bool:
    """Whether a folder has a file of the set as it should be; of an archive, whether it was unpacked there."""
    if source.unpack:
        return (folder / RECORDS / source.sha256).is_file()
    return intact(folder / source.path, source)


def intact(file: Path, source: Source) -> bool:
    """Whether a file has the size and the SHA-256 that it should."""
    return file.is_file() and file.stat().st_size == source.size and sha256_of(file) == source.sha256


@dataclass
class Gathering:
    """The folder in which a set is gathered, hidden beside the one it belongs to.

    Attributes:
        folder: where the set belongs.
        sources: the whole set, by which the gathering folder is named: another version has another one.
        watch: told of the bytes that arrive.
    """

    folder: Path
    sources: Sequence[Source]
    watch: Watch
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        version = hashlib.sha256("\n".join(f"{s.path} {s.sha256}" for s in self.sources).encode()).hexdigest()
        self.place = self.folder.parent / f".{self.folder.name}.{version[:12]}.partial"
        self.files, self.parts, self.archives = (self.place / name for name in ("files", "parts", "archives"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out; raises `InputError` where one is at it."""
        from filelock import FileLock, Timeout

        self.files.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.place / "lock", timeout=0):
                yield
        except Timeout as error:
            raise InputError(f"{self.folder} is being fetched by another process; wait for it") from error

    def arrived(self, source: Source) -> bool:
        """Whether a file is here as it should be."""
        return intact(self.destination(source), source)

    def destination(self, source: Source) -> Path:
        """Where a file is kept when it is whole; archives apart."""
        return self.archives / source.sha256 if source.unpack else self.files / source.path

    def find(self, given: str) -> None:
        """Copy what there is of the set in a folder, an archive or the address of one; raises `InputError`."""
        place = self.obtained(given) if is_address(given) else Path(given).expanduser()
        if not place.exists():
            raise InputError(f"there is no {place}; give --from the folder or archive that you have downloaded")
        if place.is_dir():
            self.copy(place)
            return
        opened = self.place / "opened"
        shutil.rmtree(opened, ignore_errors=True)
        unpack(place, opened, FACTOR * place.stat().st_size + SLACK)
        self.copy(opened)

    def obtained(self, address: str) -> Path:
        """An archive of unknown size and digest from the network."""
        archive = self.parts / hashlib.sha256(address.encode()).hexdigest()
        Download(address, archive, stop=self.stop).run()
        return archive

    def copy(self, place: Path) -> None:
        """Take the files of the right contents from a folder and those in it."""
        by_digest: dict[str, list[Source]] = {}
        for source in self.sources:
            by_digest.setdefault(source.sha256, []).append(source)
        sizes = {source.size for source in self.sources}
        for file in sorted(place.rglob("*")):
            if file.is_file() and file.stat().st_size in sizes:
                for source in by_digest.pop(sha256_of(file), []):
                    self.put(source, partial(shutil.copyfile, file))

    def put(self, source: Source, make: Callable[[Path], object]) -> None:
        """Have a file made under another name, then give it its own."""
        part, destination = self.part(source), self.destination(source)
        for path in (part, destination):
            path.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        part.replace(destination)

    def part(self, source: Source) -> Path:
        """Where a file is kept until it is whole."""
        return self.parts / hashlib.sha256(f"{source.path}\n{source.sha256}".encode()).hexdigest()

    def download(self, left: Sequence[Source]) -> None:
        """Get files from their addresses, several at a time; the first failure stops all, and what came is kept."""
        needed, free = sum(source.size for source in left), shutil.disk_usage(self.place).free
        if needed > free:
            raise InputError(full(self.folder.parent, needed - free))
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for done in as_completed([pool.submit(self.bring, source) for source in left]):
                    done.result()
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def bring(self, source: Source) -> None:
        """Download one file and check it; what was resumed and is wrong is fetched once more from its start."""
        if self.stop.is_set():
            raise Stopped
        resumed = self.part(source).exists()
        self.put(source, lambda part: Download(source.url, part, source.size, self.watch, self.stop).run())
        if self.arrived(source):
            return
        self.destination(source).unlink()
        self.watch(-source.size)
        if not resumed:
            raise InputError(
                f"{source.url} has not the SHA-256 that {source.path} must have ({source.sha256}): it was changed, by "
                "its makers or on its way; nothing of it was kept"
            )
        self.bring(source)

    def install(self) -> None:
        """Unpack the archives and move everything where it belongs."""
        for source in self.sources:
            if source.unpack and self.arrived(source):
                archive = self.destination(source)
                unpack(archive, self.files / source.path, FACTOR * source.size + SLACK)
                (self.files / RECORDS).mkdir(exist_ok=True)
                (self.files / RECORDS / source.sha256).touch()
        if not self.folder.exists():
            self.files.rename(self.folder)
            return
        for file in sorted(self.files.rglob("*")):
            if file.is_file():
                target = self.folder / file.relative_to(self.files)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)

    def clear(self) -> None:
        """Remove this gathering folder, and those of other versions."""
        for place in self.folder.parent.glob(f".{self.folder.name}.*.partial"):
            shutil.rmtree(place, ignore_errors=True)


def check_obtainable(left: Sequence[Source], given: str | None) -> None:
    """Raises `InputError` where files without an address have not arrived."""
    lacking = [source.path for source in left if not source.url]
    if lacking and given is None:
        raise InputError(f"{len(lacking)} files of the set have no address, as {lacking[0]}; get them, and use --from")
    if lacking:
        raise InputError(
            f"{len(lacking)} files of the set are not in {given}, as {lacking[0]}: none there has their size and "
            "SHA-256. Those that were found are kept; give --from the rest, and the set will be whole"
        )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say what to do where a folder cannot be written; raises `InputError` for every ``OSError``."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise InputError(full(folder)) from error
        raise InputError(
            f"nothing can be fetched to {folder}: {error}; name another folder of all data with --data or "
            "the environment variable INVKIT_DATA"
        ) from error


def full(folder: Path, missing: int | None = None) -> str:
    """The message for a full disk."""
    amount = "some room" if missing is None else f"{missing / 1e6:.0f} MB"
    return f"the disk of {folder} is full; free {amount}, or name another folder with --data; what has arrived is kept"

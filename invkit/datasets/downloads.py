"""One file from the network: resumed where it was left, tried again where the connection breaks."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ..core.errors import InputError

__all__ = ["Download", "Stopped", "Watch"]

Watch: TypeAlias = Callable[[int], None]
"""Told how many more bytes have arrived; a negative number takes some back."""

CHUNK = 1 << 16  # bytes
TIMEOUT = 15.0  # seconds without a byte
ATTEMPTS = 4  # in a row that bring nothing
PAUSE = 0.5  # seconds before the second attempt, twice as many before each further one
LARGEST = 8 << 30  # bytes of a file whose size is not known beforehand
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may be others in a while


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The download was told to stop."""


class Broken(Exception):  # noqa: N818 - an error only if it happens again and again
    """A connection that failed in a way that may pass."""


@dataclass
class Download:
    """A file on its way.

    Attributes:
        url: http or https.
        part: the file that it goes to; what it holds already is not asked for again.
        size: bytes that it must have; None takes what the server says.
        watch: told of the bytes that arrive.
        stop: set by whoever wants it to stop, which raises `Stopped` and leaves the part.
    """

    url: str
    part: Path
    size: int | None = None
    watch: Watch = lambda count: None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Bring the part to its full size.

        Raises:
            InputError: the server refuses, cannot be reached, breaks off again and again, or has a file of another
                size.
            OSError: the part cannot be written.
            Stopped: as told.
        """
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if self.size is not None and self.held > self.size:
            self.part.unlink()
        self.watch(self.held)
        fruitless = 0
        while not self.complete:
            before = self.held
            try:
                self.request()
            except Broken as error:
                fruitless = 1 if self.held > before else fruitless + 1
                self.pause(fruitless, error)

    @property
    def held(self) -> int:
        """Bytes that the part has."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def complete(self) -> bool:
        """Whether the part has them all."""
        return self.part.exists() and self.held == self.size

    def pause(self, fruitless: int, error: Broken) -> None:
        """Wait before another attempt; raises `InputError` where there were enough, and `Stopped`."""
        if fruitless >= ATTEMPTS:
            raise InputError(
                f"{self.url} cannot be downloaded: {error}; check the connection (a proxy is named by the environment "
                "variable HTTPS_PROXY) and run the command again, it goes on from where it stopped"
            ) from error
        if self.stop.wait(PAUSE * 2 ** (fruitless - 1)):
            raise Stopped

    def request(self) -> None:
        """Ask for what is missing and write it; raises `Broken` where the connection does not last."""
        held = self.held
        headers = {"User-Agent": "invkit"} | ({"Range": f"bytes={held}-"} if held else {})
        try:
            with urlopen(Request(self.url, headers=headers), timeout=TIMEOUT) as response:
                self.receive(response, held)
        except HTTPError as error:
            error.close()
            self.refused(error)
        except URLError as error:
            raise Broken(str(error.reason)) from error
        except (HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    def receive(self, response: HTTPResponse, held: int) -> None:
        """Write the body of an answer behind what the part holds, or anew where the server does not resume."""
        start, total = extent(response)
        if start not in (0, held):
            raise Broken(f"the server sends from byte {start} on instead of {held}")
        if self.size is not None and total not in (None, self.size):
            raise InputError(f"{self.url} has {total} bytes instead of {self.size}: it is not the file that it was")
        self.size = total if self.size is None else self.size
        self.watch(start - held)
        with self.part.open("ab" if start else "wb") as file:
            self.write(response, file, start)
        if self.size is None:  # a server that does not say the size ends its answer properly, or urllib raises
            self.size = self.held
        if not self.complete:
            raise Broken(f"the connection ended after {self.held} of {self.size} bytes")

    def write(self, response: HTTPResponse, file: IO[bytes], held: int) -> None:
        """Copy the body of an answer; raises `InputError` where it has more bytes than it may, and `Stopped`."""
        while chunk := response.read1(CHUNK):
            if self.stop.is_set():
                raise Stopped
            held += len(chunk)
            if held > (LARGEST if self.size is None else self.size):
                raise InputError(f"{self.url} has more bytes than it should have; it is not the file that it was")
            file.write(chunk)
            self.watch(len(chunk))

    def refused(self, error: HTTPError) -> None:
        """An answer that is no file: `Broken` where it may be another in a while, else `InputError`."""
        if error.code == 416:  # what the part holds is not of this file
            self.watch(-self.held)
            self.part.unlink(missing_ok=True)
        if error.code == 416 or error.code in PASSING:
            raise Broken(f"the server answers {error.code} {error.reason}") from error
        raise InputError(
            f"{self.url} cannot be downloaded: the server answers {error.code} {error.reason}; if the file has moved, "
            "get it by hand and give it with --from"
        ) from error


def extent(response: HTTPResponse) -> tuple[int, int | None]:
    """The first byte that an answer sends, and the size of the whole file where it says so."""
    if response.status == 206:
        sent, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = sent.partition("-")[0]
        return int(first) if first.isdigit() else -1, int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None

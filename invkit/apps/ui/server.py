"""The server of the page. It listens on this computer alone unless another host is given."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, Response
from nicegui import app, background_tasks, ui
from starlette.background import BackgroundTask
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from ...core.errors import InputError, InvkitError
from .guard import Guard
from .jobs import JobQueue
from .page import WebPage, offered_recipes
from .photo_reader import read_apart
from .store import ARCHIVE_NAME, UPLOAD_ADDRESS, RunStore
from .uploads import UploadLimits, Uploads

__all__ = ["ServerSettings", "free_port", "serve"]

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2b6cb0"/>'
    '<path d="M8 22c4 0 4-12 8-12s4 12 8 12" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
)
SHUTDOWN_SECONDS = 1  # time for open connections when the server stops; what is then still open is ended
NO_CACHE = {"Cache-Control": "no-store"}  # previews change, and a deleted run must not stay in the browser


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server."""

    folder: Path  # of all files
    host: str = "127.0.0.1"  # address to listen on
    port: int = 8712  # if it is taken, another one is used; 0: any free port
    open: bool = True  # whether to open the page in a browser
    limits: UploadLimits = field(default_factory=UploadLimits)
    device: str = "auto"  # where to solve, as in `invkit.deblur`

    @property
    def is_private(self) -> bool:
        """Whether only programs of this computer can reach the page."""
        return self.host in LOCAL_HOSTS


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C, and announce its address in a line for the terminal.

    Raises:
        InputError: the folder or the address cannot be used.
    """
    port = free_port(settings.host, settings.port)
    store = RunStore(settings.folder)
    try:
        prepare_app(store, settings)
        logging.getLogger("uvicorn.error").addFilter(is_no_ended_request)
        address = f"http://{'[::1]' if settings.host == '::1' else settings.host}:{port}"
        announce(f"invkit ui is at {address} and keeps its files in {settings.folder}; press Ctrl-C to stop it")
        with suppress(KeyboardInterrupt):
            ui.run(
                host=settings.host,
                port=port,
                title="invkit",
                favicon=FAVICON,
                dark=None,
                language="en-US",
                show=settings.open,
                reload=False,
                tailwind=False,
                show_welcome_message=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
    finally:
        store.close()


def is_no_ended_request(record: logging.LogRecord) -> bool:
    """Whether a message of the server is about more than requests that were open at its end, as a stalled upload.

    The server cancels them. It says how many they are, and shows the traceback of each.
    """
    cancelled = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cancelled and not str(record.msg).startswith("Cancel %s running task(s)")


def prepare_app(store: RunStore, settings: ServerSettings) -> None:
    """Add the page, the files and the queue to the app, and keep other sites out, whatever name they have."""
    queue, uploads, recipes = JobQueue(store, settings.device), Uploads(store, settings.limits), offered_recipes()

    @ui.page("/")
    def build() -> None:
        WebPage(queue, uploads, recipes)

    FileService(store, uploads).add_to(app)
    app.add_middleware(Guard)
    if settings.is_private:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, "[::1]"])
    app.on_startup(lambda: background_tasks.create(queue.run(), name="queue"))
    app.on_startup(lambda: background_tasks.create(uploads.sweep(), name="uploads"))
    app.on_shutdown(queue.close)


@dataclass(frozen=True)
class FileService:
    """The addresses by which a browser sends and loads files."""

    store: RunStore
    uploads: Uploads

    def add_to(self, app: FastAPI) -> None:
        """Add the addresses to an app."""
        app.post(UPLOAD_ADDRESS)(self.upload)
        app.get("/work/{work}/{name}")(self.work_file)
        app.get("/runs/{run_id}/{name}")(self.run_file)

    async def upload(self, request: Request, name: str, x_invkit: Annotated[str, Header()]) -> dict[str, Any]:
        """Receive a photograph.

        Args:
            request: its body is the file.
            name: the file's name on the visitor's computer.
            x_invkit: a header that pages of other sites cannot send.

        Returns:
            ``{"upload": id}``, or ``{"error": message}``.
        """
        folder, is_kept = self.store.new_work(), False
        try:
            path = await self.uploads.receive(request.stream(), folder)
            size = await read_apart(path, base_name(name), self.uploads.limits)
            upload, is_kept = self.uploads.add(folder, base_name(name), size), True
        except (InvkitError, OSError, ClientDisconnect) as error:
            return {"error": str(error)}
        finally:
            if not is_kept:
                shutil.rmtree(folder, ignore_errors=True)
        return {"upload": upload.id}

    def work_file(self, work: str, name: str) -> Response:
        """A picture of an upload or a job."""
        path = self.store.work_file(work, name)
        if path is None:
            raise HTTPException(404, "there is no such picture")
        return FileResponse(path, headers=NO_CACHE)

    def run_file(self, run_id: str, name: str, download: bool = False) -> Response:
        """A file of a run, or an archive of all files.

        Args:
            run_id: the run.
            name: the file's name, or `ARCHIVE_NAME`.
            download: whether the browser saves the file, under a name that contains the photograph's.
        """
        run = self.store.find(run_id)
        if run is None:
            raise HTTPException(404, "there is no such run; it may have been deleted")
        if name == ARCHIVE_NAME:
            archive = self.store.write_archive(run)
            delete = BackgroundTask(archive.unlink, missing_ok=True)
            return FileResponse(archive, filename=f"{run.request.file_stem}-{run.id}.zip", background=delete)
        path = run.file(name)
        if path is None:
            raise HTTPException(404, "the run has no such file")
        saved_name = f"{run.request.file_stem}-{path.name}" if download else None
        return FileResponse(path, filename=saved_name, headers=NO_CACHE)


def base_name(path: str) -> str:
    """The last part of a path of any system, of at most 200 characters."""
    return PureWindowsPath(path).name[-200:] or "photo"


def free_port(host: str, wanted: int) -> int:
    """The wanted port, or another one if it is taken; raises `InputError` if the host cannot be used."""
    for port in (wanted, 0):
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((host, port))
                return int(trial.getsockname()[1])
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
    raise InputError(f"the page cannot be served at {host} ({reason}); give another --host or --port")

"""What all pages share, and the addresses under which files go in and out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from ...core.errors import InvkitError
from .choosing import offered
from .jobs import Queue
from .limits import Limits
from .store import KeptRun, Store
from .uploads import Uploads, without_path

__all__ = ["UPLOAD", "Service", "run_address", "work_address"]

UPLOAD = "/upload"
ZIP = "all.zip"
REMOVED = "no-store"  # files of work change and go; those of a run are gone when it is deleted


@dataclass
class Service:
    """Folder, queue and uploads.

    Attributes:
        store: the folder.
        limits: on uploads.
        device: where to solve.
    """

    store: Store
    limits: Limits
    device: str = "auto"
    recipes: dict[str, str] = field(default_factory=offered)

    def __post_init__(self) -> None:
        self.queue = Queue(self.store, self.device)
        self.uploads = Uploads(self.store, self.limits)

    def route(self, app: FastAPI) -> None:
        """Give it its addresses."""
        app.post(UPLOAD)(self.upload)
        app.get("/work/{work}/{name}")(self.working_file)
        app.get("/runs/{run_id}/{name}")(self.run_file)

    async def upload(self, request: Request, name: str, x_invkit: Annotated[str, Header()]) -> dict[str, Any]:
        """Take in a photograph: ``upload`` is its name from now on, or ``words`` say why not."""
        folder = self.store.new_work()
        try:
            path = await self.uploads.receive(request.stream(), folder)
            upload = await asyncio.to_thread(self.uploads.read, path, without_path(name))
        except (InvkitError, OSError, ClientDisconnect) as error:
            self.uploads.refuse(folder)
            return {"words": str(error)}
        return {"upload": upload.id}

    def working_file(self, work: str, name: str) -> Response:
        """A picture of an upload or a job."""
        path = self.store.working_file(work, name)
        if path is None:
            raise HTTPException(404, "there is no such picture")
        return FileResponse(path, headers={"Cache-Control": REMOVED})

    def run_file(self, run_id: str, name: str, download: bool = False) -> Response:
        """A file of a run, or all of them in one archive."""
        kept = self.store.run(run_id)
        if kept is None:
            raise HTTPException(404, "there is no such run; it may have been deleted")
        if name == ZIP:
            path = self.store.zipped(kept)
            called = f"{kept.asked.stem}-{kept.id}.zip"
            return FileResponse(path, filename=called, background=BackgroundTask(path.unlink, missing_ok=True))
        found = kept.file(name)
        if found is None:
            raise HTTPException(404, "the run has no such file")
        return file_of(kept, found, download)


def file_of(kept: KeptRun, path: Path, download: bool) -> Response:
    """A file to be looked at, or to be saved under a name that tells what it is of."""
    called = f"{kept.asked.stem}-{path.name}" if download else None
    return FileResponse(path, filename=called, headers={"Cache-Control": REMOVED})


def work_address(work: str, name: str, version: int = 0) -> str:
    """Where a picture of work is; another version of it has another address, so that a browser asks again."""
    return f"/work/{work}/{name}?version={version}"


def run_address(kept: KeptRun, name: str, download: bool = False) -> str:
    """Where a file of a run is."""
    return f"/runs/{kept.id}/{name}{'?download=true' if download else ''}"

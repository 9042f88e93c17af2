"""The server of the page, on this computer alone unless somebody asks for more."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nicegui import app, background_tasks, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ...core.errors import InputError
from .limits import Limits
from .page import Page
from .service import Service
from .store import Store

__all__ = ["Settings", "serve"]

OWN = ("127.0.0.1", "localhost", "::1")
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2b6cb0"/>'
    '<path d="M8 22c4 0 4-12 8-12s4 12 8 12" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
)
PATIENCE = 1  # seconds that open connections get when the server is stopped


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        folder: for all files.
        host: the address to listen on.
        port: the port, or another one where that is taken; 0 for any that is free.
        open: whether to show the page in a browser.
        limits: on uploads.
        device: where to solve.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8712
    open: bool = True
    limits: Limits = field(default_factory=Limits)
    device: str = "auto"

    @property
    def is_private(self) -> bool:
        """Whether only programs of this computer can reach it."""
        return self.host in OWN


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        settings: how.
        tell: gets what is to be told whoever has started it.

    Raises:
        InputError: the folder or the address cannot be used.
    """
    port = free_port(settings.host, settings.port)
    service = Service(Store(settings.folder), settings.limits, settings.device)
    try:
        prepare_app(service, settings)
        address = f"http://{'[::1]' if settings.host == '::1' else settings.host}:{port}"
        tell(f"invkit ui is at {address} and keeps its files in {settings.folder}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            ui.run(
                host=settings.host,
                port=port,
                title="invkit",
                favicon=ICON,
                dark=None,
                language="en-US",
                show=settings.open,
                reload=False,
                tailwind=False,
                show_welcome_message=False,
                timeout_graceful_shutdown=PATIENCE,
            )
    finally:
        service.store.close()


def prepare_app(service: Service, settings: Settings) -> None:
    """The page, addresses, the queue, and a guard against other sites that call this one by a name of theirs."""

    @ui.page("/")
    def build() -> None:
        Page(service)

    service.route(app)
    if settings.is_private:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*OWN, "[::1]"])
    app.on_startup(lambda: background_tasks.create(service.queue.serve(), name="queue"))
    app.on_shutdown(service.queue.close)


def free_port(host: str, wanted: int) -> int:
    """The port that is wanted, or any other where another program has it; raises `InputError` for a bad address."""
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

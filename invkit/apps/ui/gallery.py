"""The runs that are kept, the newest first."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from .service import run_address
from .store import KeptRun, Store
from .words import when

__all__ = ["Gallery"]

OFTEN = 1.0  # seconds between two looks at the folder, which other pages change too
AT_FIRST = 24  # runs that are shown before somebody asks for all


class Gallery:
    """Small pictures of all runs; a click opens one.

    Args:
        store: where they are.
        on_open: gets the run that was clicked.
    """

    def __init__(self, store: Store, on_open: Callable[[KeptRun], None]) -> None:
        self.store, self.on_open, self.most = store, on_open, AT_FIRST
        self.shown = -1
        with ui.element("section").classes("gallery").props('aria-label="Earlier runs"'):
            self.body = ui.element("div")
        self.look()
        ui.timer(OFTEN, self.look)

    def look(self) -> None:
        """Show what is there now."""
        if self.shown == self.store.changes:
            return
        self.shown, runs = self.store.changes, self.store.gallery()
        self.body.clear()
        with self.body:
            if runs:
                ui.label("Earlier runs").classes("title").props('role="heading" aria-level="2"')
            with ui.element("div").classes("runs"):
                for kept in runs[: self.most]:
                    self.show(kept)
            if len(runs) > self.most:
                ui.button(f"Show all {len(runs)}", on_click=self.show_all).props("flat no-caps")

    def show(self, kept: KeptRun) -> None:
        """One of them, which is a button."""
        with ui.element("button").classes("card").props('type="button"').on("click", lambda: self.on_open(kept)):
            ui.element("img").props(f'src="{run_address(kept, "thumbnail.jpg")}" alt="" loading="lazy"')
            ui.label(kept.asked.photo).classes("name")
            ui.label(kept.facts["recipe"]).classes("hint")
            ui.label(when(kept)).classes("hint")

    def show_all(self) -> None:
        """Show every one from now on."""
        self.most, self.shown = len(self.store.gallery()), -1
        self.look()

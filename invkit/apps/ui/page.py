"""The page: what is asked on the left, what is happening on the right, what there is below."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui
from nicegui.element import Element

from .asking import AskPanel
from .gallery import Gallery
from .jobs import Job
from .service import Service
from .showing import ShowPanel
from .store import KeptRun

__all__ = ["Page"]

PRIMARY = "#23609f"
STYLE = Path(__file__).with_name("style.css")


class Page:
    """The page of one browser, built where it stands; its parts know nothing of each other.

    Args:
        service: of all pages.
    """

    def __init__(self, service: Service) -> None:
        ui.add_css(STYLE)
        ui.colors(primary=PRIMARY)
        with ui.element("div").classes("page"):
            with ui.element("header"):
                ui.label("invkit").classes("brand").props('role="heading" aria-level="1"')
                ui.label("Make a blurry photo sharp; everything stays on this computer.").classes("hint")
            with ui.element("main"):
                self.ask = AskPanel(service, self.follow)
                self.show = ShowPanel(service, self.look_again)
                self.gallery = Gallery(service.store, self.open)

    def follow(self, job: Job) -> None:
        """Show a job that was begun."""
        self.show.follow(job)
        scroll_to(self.show.section)

    def open(self, kept: KeptRun) -> None:
        """Show a run of the gallery."""
        self.show.open(kept)
        scroll_to(self.show.section)

    def look_again(self) -> None:
        """Show the gallery as it is now."""
        self.gallery.look()


def scroll_to(element: Element) -> None:
    """Bring the top of an element into sight where it is out of it, as on a phone."""
    ui.run_javascript(f"""
        const element = getHtmlElement({element.id}), top = element.getBoundingClientRect().top;
        if (top < 0 || top > 0.7 * innerHeight) element.scrollIntoView();
    """)

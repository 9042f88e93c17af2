"""The right side of the page: what is happening, and what has come of it."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from .jobs import Job
from .live import LiveView
from .outcome import show_failure, show_run, show_words
from .service import Service
from .store import KeptRun

__all__ = ["ShowPanel"]

OFTEN = 0.25  # seconds between two looks at the job
WELCOME = "Nothing is being restored"
WHAT_TO_DO = "Give a blurry photo and start; here are image and kernel then, while they become sharper."
CANCELLED = "Cancelled"
NOTHING_KEPT = "Nothing of it was kept."


class ShowPanel:
    """A job on its way, or a run of the gallery; who opens the page sees the job that is at work.

    Args:
        service: of all pages.
        on_delete: called when the run that is shown was deleted.
    """

    def __init__(self, service: Service, on_delete: Callable[[], None]) -> None:
        self.service, self.on_delete = service, on_delete
        self.job: Job | None = None
        self.live: LiveView | None = None
        self.listed: list[tuple[str, int]] = []
        self.section = ui.element("section").classes("show").props('aria-label="What is happening"')
        with self.section:
            self.others = ui.element("div").classes("others")
            self.body = ui.element("div").classes("body")
        if service.queue.jobs:
            self.follow(service.queue.jobs[0])
        else:
            self.fill(lambda: show_words(WELCOME, WHAT_TO_DO))
        ui.timer(OFTEN, self.look)

    def fill(self, build: Callable[[], object]) -> None:
        """Replace what is shown."""
        self.body.clear()
        with self.body:
            build()

    def follow(self, job: Job) -> None:
        """Show a job from now on."""
        self.job = job

        def build() -> None:
            self.live = LiveView(job, self.service.queue)

        self.fill(build)
        self.look()

    def open(self, kept: KeptRun) -> None:
        """Show a run; a job goes on, and is listed above."""
        self.job = None
        self.fill(lambda: show_run(kept, lambda: self.delete(kept)))

    def delete(self, kept: KeptRun) -> None:
        """Remove the run that is shown."""
        self.service.store.delete(kept.id)
        self.fill(lambda: show_words("Deleted", f"{kept.asked.photo} is no longer in the gallery."))
        self.on_delete()

    def look(self) -> None:
        """See what has become of the job and of the queue."""
        self.list_others()
        if self.job is None or self.live is None:
            return
        if self.job.is_over:
            self.end(self.job)
        else:
            self.live.update()

    def end(self, job: Job) -> None:
        """Show what has come of a job."""
        self.job, kept = None, self.service.store.run(job.id)
        if job.state == "failed":
            self.fill(lambda: show_failure(job))
        elif kept is None:
            self.fill(lambda: show_words(CANCELLED, NOTHING_KEPT))
        else:
            self.open(kept)

    def list_others(self) -> None:
        """The jobs that are not shown, to be followed."""
        queue = self.service.queue
        others = [job for job in queue.jobs if job is not self.job]
        listed = [(job.id, queue.place(job)) for job in others]
        if listed == self.listed:
            return
        self.listed = listed
        self.others.clear()
        with self.others:
            for job, (_, place) in zip(others, listed, strict=True):
                words = f"{job.asked.photo}: {'at work' if place == 0 else f'number {place + 1} in the queue'}"
                ui.button(words, on_click=lambda job=job: self.follow(job)).props("outline dense no-caps")

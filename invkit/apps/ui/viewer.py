"""The right side of the page: the progress of a job, its result, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nicegui import ui

from ...core.durations import duration_text
from ...media.kernels import size_text
from .components import Compare, as_sentence
from .jobs import JobQueue, RestorationJob
from .store import ARCHIVE_NAME, KeptRun, work_address

__all__ = ["Viewer"]

Built = TypeVar("Built")

UPDATE_INTERVAL = 0.25  # seconds between two updates of the viewer, and of the gallery, which other pages change too
BLANK_IMAGE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="  # one transparent pixel
UNCERTAINTY_MAP = "uncertainty.png"
DOWNLOADS = {
    "image.png": "Image",
    "kernel.png": "Kernel (picture)",
    "kernel.npy": "Kernel (numbers)",
    "kernel_variance.npy": "Variance of the kernel (numbers)",
    "gradients_variance.npy": "Variance of the gradients (numbers)",
    "operator_parameter.npy": "Operator parameters (numbers)",
    UNCERTAINTY_MAP: "Map of standard deviations",
    "image_deviation.npy": "Standard deviation of the image (numbers)",
    "kernel_deviation.npy": "Standard deviation of the kernel (numbers)",
    "overview.png": "Overview",
    "result.json": "result.json",
    ARCHIVE_NAME: "All files (zip)",
}
EARLY_STOPS = {
    "interrupted": "stopped by hand before the end",
    "time limit": "stopped by the time limit",
    "observer": "stopped by an observer",
}


class Viewer:
    """The right side: a job or a run. A new page shows the running job."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.progress: ProgressView | None = None
        self.listed: list[tuple[str, int]] = []
        self.section = ui.element("section").classes("viewer").props('aria-label="Progress and result"')
        with self.section:
            self.others = ui.element("div").classes("others")
            self.body = ui.element("div").classes("body")
        if queue.jobs:
            self.follow(queue.jobs[0])
        else:
            hint = "Choose a blurry photo and press the button. Image and kernel appear here while they become sharper."
            self.fill(lambda: show_note("No restoration is running", hint))
        ui.timer(UPDATE_INTERVAL, self.update)

    def fill(self, build: Callable[[], Built]) -> Built:
        """Replace the content."""
        self.progress = None
        self.body.clear()
        with self.body:
            return build()

    def follow(self, job: RestorationJob) -> None:
        """Show the progress of a job."""
        self.progress = self.fill(lambda: ProgressView(job, self.queue))
        self.update()

    def open(self, run: KeptRun) -> None:
        """Show a run. A running job continues, and is listed above."""
        self.fill(lambda: show_run(run, lambda: self.delete(run)))

    def delete(self, run: KeptRun) -> None:
        """Delete the shown run."""
        self.queue.store.delete(run.id)
        self.fill(lambda: show_note("Deleted", f"{run.request.photo} is no longer in the gallery."))

    def update(self) -> None:
        """Show the present state of the job and of the queue."""
        self.list_others()
        if self.progress is None:
            return
        if self.progress.job.is_over:
            self.show_end(self.progress.job)
        else:
            self.progress.update()

    def show_end(self, job: RestorationJob) -> None:
        """Show the result of a job, or why there is none."""
        run = self.queue.store.find(job.id)
        if job.state == "failed":
            self.fill(lambda: show_failure(job))
        elif run is None:
            self.fill(lambda: show_note("Cancelled", "Nothing was kept."))
        else:
            self.open(run)

    def list_others(self) -> None:
        """List the jobs that are not shown, as buttons that show them."""
        shown = self.progress and self.progress.job
        others = [(job, self.queue.position(job)) for job in self.queue.jobs if job is not shown]
        listed = [(job.id, position) for job, position in others]
        if listed == self.listed:
            return
        self.listed = listed
        self.others.clear()
        with self.others:
            for job, position in others:
                text = f"{job.request.photo}: {f'number {position + 1} in the queue' if position else 'running'}"
                ui.button(text, on_click=lambda job=job: self.follow(job)).props("outline dense no-caps")


class ProgressView:
    """The progress of a job. `update` changes it in place, so that it does not flicker."""

    def __init__(self, job: RestorationJob, queue: JobQueue) -> None:
        self.job, self.queue, self.previews, self.has_frames = job, queue, 0, False
        with ui.element("div").classes("progress"):
            photo_heading(job.request.photo)
            self.headline = ui.label().classes("headline").props('role="status"')
            self.bar = ui.linear_progress(value=0, show_value=False, size="4px").props("instant-feedback")
            self.stage = ui.label().classes("hint")
            with ui.element("div").classes("pictures") as self.frames:
                self.image_frame, self.image, self.caption = picture_frame("image", "Image")
                self.kernel_frame, self.kernel, _ = picture_frame("kernel", "Kernel")
            self.frames.set_visibility(False)
            with ui.element("div").classes("actions"):
                self.stop = ui.button("Stop and keep the result so far", on_click=lambda: queue.stop(job))
                self.stop.props("outline no-caps")
                ui.button("Cancel", on_click=lambda: queue.cancel(job)).props("flat no-caps")
        self.update()

    def update(self) -> None:
        """Show the present state of the job."""
        job, latest = self.job, self.job.latest
        self.headline.set_text(progress_headline(job, self.queue.position(job)))
        self.stop.set_visibility(job.state == "solving")
        self.show_frames()
        if latest is None or latest.previews == self.previews:
            return
        self.previews = latest.previews
        self.stage.set_text(f"{latest.stage}, iteration {latest.iteration} of at most {latest.iterations}")
        self.bar.set_value(latest.iteration / max(latest.iterations, 1))
        is_grey = job.prepared is not None and latest.channels < job.prepared.channels
        self.caption.set_text("Brightness of the image. Its colours return at the end." if is_grey else "Image")
        self.image.props["src"] = work_address(job.id, f"image.png?version={self.previews}")
        self.kernel.props["src"] = work_address(job.id, f"kernel.png?version={self.previews}")

    def show_frames(self) -> None:
        """Show empty frames of the right shapes, and the recipe, as soon as they are known."""
        prepared = self.job.prepared
        if prepared is None or self.has_frames:
            return
        self.has_frames = True
        self.frames.set_visibility(True)
        self.stage.set_text(f"Recipe {prepared.choice or prepared.recipe}")
        self.image_frame.style(f"--shape: {prepared.width / prepared.height:.4f}")
        self.kernel_frame.set_visibility(prepared.kernel is not None)
        if prepared.kernel is not None:
            height, width = prepared.kernel
            self.kernel_frame.style(f"--shape: {width / height:.4f}")


def picture_frame(kind: str, caption: str) -> tuple[ui.element, ui.element, ui.label]:
    """An empty picture with a caption: the frame, the picture, the caption."""
    with ui.element("figure").classes(kind) as frame:
        picture = ui.element("img").props(f'src="{BLANK_IMAGE}" alt="The present {kind}"')
        with ui.element("figcaption"):
            return frame, picture, ui.label(caption)


def progress_headline(job: RestorationJob, position: int) -> str:
    """What happens to a job at present."""
    if job.state == "waiting":
        return "Next in the queue" if position == 1 else f"In the queue after {position} others"
    if job.state == "saving":
        return f"Saving the files after {duration_text(job.seconds)}"
    return f"{'Preparing' if job.latest is None else 'Restoring'} for {duration_text(job.seconds)}"


def photo_heading(name: str) -> None:
    """Add a photograph's name as a heading."""
    ui.label(name).classes("name").props('role="heading" aria-level="2"')


def show_note(title: str, text: str) -> None:
    """Add a title and a sentence."""
    with ui.element("div").classes("note"):
        ui.label(title).classes("headline").props('role="heading" aria-level="2"')
        ui.label(text).classes("hint")


def show_failure(job: RestorationJob) -> None:
    """Add the reason why a job has failed."""
    with ui.element("div").classes("note"):
        photo_heading(job.request.photo)
        ui.label("This photo could not be restored").classes("headline")
        ui.label(as_sentence(job.error)).classes("error").props('role="alert"')


def show_run(run: KeptRun, on_delete: Callable[[], None]) -> None:
    """Add warnings, notices, the comparison before and after, kernel, facts, downloads and standard deviations."""
    with ui.element("div").classes("run"):
        photo_heading(run.request.photo)
        for warning in run.facts.warnings:
            ui.label(as_sentence(f"Warning: {warning}")).classes("warning").props('role="note"')
        for notice in run.facts.notices:
            ui.label(as_sentence(notice)).classes("hint").props('role="note"')
        with ui.element("div").classes("result"):
            Compare(run.address("before.jpg"), run.address("after.jpg"), run.facts.width, run.facts.height)
            with ui.element("div").classes("side"):
                show_facts(run)
                show_downloads(run)
                ask = delete_dialog(run.request.photo, on_delete)
                ui.button("Delete", on_click=ask).props("flat no-caps").classes("delete")
        if UNCERTAINTY_MAP in run.files:
            show_uncertainty(run)


def show_facts(run: KeptRun) -> None:
    """Add the kernel, or the operator parameters, and the facts of a run."""
    has_kernel, parameters = run.facts.kernel is not None, "operator_parameter.png"
    pictures = {"kernel.png": "Estimated kernel"} if has_kernel else {}
    pictures |= {parameters: "Estimated operator parameters"} if parameters in run.files else {}
    with ui.element("div").classes("about"):
        for name, alternative in pictures.items():
            ui.element("img").classes("estimate").props(f'src="{run.address(name)}" alt="{alternative}"')
        with ui.element("ul"):
            for text in fact_texts(run):
                with ui.element("li"):
                    ui.label(text)


def fact_texts(run: KeptRun) -> list[str]:
    """The facts of a run."""
    facts = run.facts
    texts = [f"Recipe {facts.recipe}", f"{size_text(facts.width, facts.height)} pixels"]
    if facts.kernel is not None:
        height, width = facts.kernel
        texts.append(f"Kernel {size_text(width, height)}")
    texts.append(f"{duration_text(facts.seconds)}, {facts.iterations} iterations")
    if facts.stopped in EARLY_STOPS:
        texts.append(EARLY_STOPS[facts.stopped])
    return texts


def show_uncertainty(run: KeptRun) -> None:
    """Add the map of the standard deviations of a run, and what they mean."""
    with ui.element("figure").classes("map"):
        alternative = "Map of the standard deviation of every pixel"
        ui.element("img").props(f'src="{run.address(UNCERTAINTY_MAP)}" alt="{alternative}"')
        with ui.element("figcaption"):
            ui.label(run.facts.how_sure)


def show_downloads(run: KeptRun) -> None:
    """Add links to the files of a run."""
    with ui.element("nav").classes("files").props('aria-label="Downloads"'):
        for name, label in DOWNLOADS.items():
            if name in run.files or name == ARCHIVE_NAME:
                ui.link(label, run.address(name, download=True)).props("download").classes("file")


def delete_dialog(photo: str, delete: Callable[[], None]) -> Callable[[], object]:
    """A handler that asks whether to delete a run."""

    def proceed() -> None:
        dialog.close()
        delete()

    with ui.dialog() as dialog, ui.card():
        ui.label(f"Delete {photo} from the gallery?")
        with ui.row():
            ui.button("Delete", on_click=proceed).props("unelevated no-caps")
            ui.button("Keep", on_click=dialog.close).props("flat no-caps autofocus")
    return dialog.open

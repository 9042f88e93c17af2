"""A job on its way: image and kernel as they become, and two ways to end it."""

from __future__ import annotations

from nicegui import ui

from .jobs import Job, Queue
from .service import work_address
from .words import headline

__all__ = ["LiveView"]

IMAGE, KERNEL = "image.png", "kernel.png"
GREY = "Brightness of the image; its colours come back at the end"
BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="  # one transparent pixel


class LiveView:
    """What is known of a job, changed in place by `update`, lest it flicker."""

    def __init__(self, job: Job, queue: Queue) -> None:
        self.job, self.queue, self.pictures, self.shaped = job, queue, 0, False
        with ui.element("div").classes("live"):
            ui.label(job.asked.photo).classes("name").props('role="heading" aria-level="2"')
            self.words = ui.label().classes("headline").props('role="status"')
            self.bar = ui.linear_progress(value=0, show_value=False, size="4px").props("instant-feedback")
            self.stage = ui.label().classes("hint")
            self.build_pictures()
            with ui.element("div").classes("actions"):
                self.finish = ui.button("Stop here and keep it", on_click=lambda: queue.finish(job))
                self.finish.props("outline no-caps")
                ui.button("Cancel", on_click=self.cancel).props("flat no-caps")
        self.update()

    def build_pictures(self) -> None:
        """Two frames, which are there when their shapes are known, and empty until the first step."""
        self.frames = ui.element("div").classes("pictures")
        self.frames.set_visibility(False)
        with self.frames:
            self.image_frame, self.kernel_frame = (ui.element("figure").classes(name) for name in ("image", "kernel"))
            with self.image_frame:
                self.image = ui.element("img").props(f'src="{BLANK}" alt="The image so far"')
                with ui.element("figcaption"):
                    self.caption = ui.label("Image")
            with self.kernel_frame:
                self.kernel = ui.element("img").props(f'src="{BLANK}" alt="The kernel so far"')
                with ui.element("figcaption"):
                    ui.label("Kernel")

    async def cancel(self) -> None:
        """End the job at once; nothing is kept."""
        await self.queue.cancel(self.job)

    def update(self) -> None:
        """Say and show what is new."""
        job = self.job
        self.words.set_text(headline(job, self.queue.place(job)))
        self.finish.set_visibility(job.state == "solving")
        self.tell_facts()
        if job.step is None or job.step.pictures == self.pictures:
            return
        self.pictures = job.step.pictures
        self.stage.set_text(f"{job.step.title}, iteration {job.step.iteration} of at most {job.step.iterations}")
        self.bar.set_value(job.step.iteration / max(job.step.iterations, 1))
        self.caption.set_text(GREY if job.is_grey else "Image")
        self.image.props["src"] = work_address(job.id, IMAGE, self.pictures)
        self.kernel.props["src"] = work_address(job.id, KERNEL, self.pictures)

    def tell_facts(self) -> None:
        """Once the photograph is read: its shape, and the recipe that was picked."""
        facts = self.job.facts
        if facts is None or self.shaped:
            return
        self.shaped = True
        self.frames.set_visibility(True)
        self.image_frame.style(f"--shape: {facts.width / facts.height:.4f}")
        self.stage.set_text(f"Recipe {facts.why or facts.recipe}")
        self.kernel_frame.set_visibility(facts.kernel is not None)
        if facts.kernel is not None:
            self.kernel_frame.style(f"--shape: {facts.kernel[1] / facts.kernel[0]:.4f}")

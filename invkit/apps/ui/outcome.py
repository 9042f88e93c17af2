"""What has come of a job: the comparison and the files, or why there are none."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from .components import Compare
from .jobs import Job
from .service import ZIP, run_address
from .store import KeptRun
from .words import facts_in_words, sentence

__all__ = ["confirmed", "show_failure", "show_run", "show_words"]

FILES = {
    "image.png": "Image",
    "kernel.png": "Kernel (picture)",
    "kernel.npy": "Kernel (numbers)",
    "operator_parameter.npy": "Unknown (numbers)",
    "overview.png": "Overview",
    "result.json": "result.json",
    ZIP: "All files (zip)",
}


def show_words(title: str, more: str) -> None:
    """A title and a sentence where there is nothing to be seen."""
    with ui.element("div").classes("words"):
        ui.label(title).classes("headline").props('role="heading" aria-level="2"')
        ui.label(more).classes("hint")


def show_failure(job: Job) -> None:
    """Why a job has failed."""
    with ui.element("div").classes("words"):
        ui.label(job.asked.photo).classes("name").props('role="heading" aria-level="2"')
        ui.label("It could not be restored").classes("headline")
        ui.label(sentence(job.words)).classes("problem").props('role="alert"')


def show_run(kept: KeptRun, on_delete: Callable[[], None]) -> None:
    """Before and after, the kernel, what is known of the run, and its files."""
    facts = kept.facts
    with ui.element("div").classes("run"):
        ui.label(kept.asked.photo).classes("name").props('role="heading" aria-level="2"')
        for doubt in facts.get("doubts", ()):
            ui.label(sentence(f"Doubtful: {doubt}")).classes("doubt").props('role="note"')
        with ui.element("div").classes("outcome"):
            before, after = (run_address(kept, name) for name in ("before.jpg", "after.jpg"))
            Compare(before, after, facts["width"], facts["height"])
            with ui.element("div").classes("side"):
                show_about(kept)
                show_files(kept)
                ask = confirmed(f"Delete {kept.asked.photo} from the gallery?", "Delete", on_delete)
                ui.button("Delete", on_click=ask).props("flat no-caps").classes("delete")


def show_about(kept: KeptRun) -> None:
    """The kernel, and what is known of the run."""
    with ui.element("div").classes("about"):
        show_unknown(kept)
        with ui.element("ul"):
            for words in facts_in_words(kept):
                with ui.element("li"):
                    ui.label(words)


def show_unknown(kept: KeptRun) -> None:
    """The kernel, or the picture of another unknown, where there is one."""
    is_there = {"kernel.png": kept.facts.get("kernel") is not None, "operator_parameter.png": "operator_parameter.png" in kept.files}
    for name, alternative in (("kernel.png", "The kernel found"), ("operator_parameter.png", "The other unknown found")):
        if is_there[name]:
            ui.element("img").classes("found").props(f'src="{run_address(kept, name)}" alt="{alternative}"')


def show_files(kept: KeptRun) -> None:
    """What can be downloaded."""
    there = kept.files
    with ui.element("nav").classes("files").props('aria-label="Downloads"'):
        for name, label in FILES.items():
            if name in there or name == ZIP:
                ui.link(label, run_address(kept, name, download=True)).props("download").classes("file")


def confirmed(question: str, yes: str, act: Callable[[], None]) -> Callable[[], object]:
    """A handler that asks before it acts."""

    def go_on() -> None:
        dialog.close()
        act()

    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        with ui.row():
            ui.button(yes, on_click=go_on).props("unelevated no-caps")
            ui.button("Keep", on_click=dialog.close).props("flat no-caps autofocus")
    return dialog.open

"""The left side of the page: what is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.resources import as_file, files
from typing import Any

from nicegui import ui

from ...core.errors import InvkitError
from .asked import AUTO, Asked
from .components import CropFrame, DropZone
from .jobs import Job
from .limits import MEGA
from .service import UPLOAD, Service, work_address
from .uploads import Upload
from .words import sentence

__all__ = ["AskPanel"]

SAMPLE = ("invkit.datasets.samples", "coffee_blurry.png")
COLORS = {"": "As the recipe says", "luma": "Brightness only, colours kept", "rgb": "All three channels"}
OVERRIDES = "One change a line, as solver.params.iterations=500"


class AskPanel:
    """Photograph, recipe, kernel size, part, and a button.

    Args:
        service: of all pages.
        on_start: gets the job that was queued.
    """

    def __init__(self, service: Service, on_start: Callable[[Job], None]) -> None:
        self.service, self.on_start = service, on_start
        self.photo: Upload | None = None
        self.crop: Any = None
        ui.context.client.on_delete(self.forget)
        with ui.element("section").classes("ask").props('aria-label="What to restore"'):
            self.build_photo()
            self.build_choices()
            with ui.expansion("More settings").classes("more"):
                self.build_more()
            self.start = ui.button("Restore the photo", on_click=self.ask).props("unelevated no-caps").classes("start")
            self.start.disable()
        self.tell_title()

    def build_photo(self) -> None:
        """Where it is dropped, and looked at."""
        limits = self.service.limits
        too_large = f"the file is larger than {limits.megabytes:g} MB; shrink or crop it"
        self.drop = DropZone(UPLOAD, int(limits.megabytes * MEGA), too_large, self.take, self.refuse)
        self.sample = ui.button("or try it with a sample photo", on_click=self.take_sample)
        self.sample.props("flat dense no-caps").classes("sample")
        self.problem = ui.label().classes("problem").props('role="alert"')
        self.problem.set_visibility(False)
        self.frame = CropFrame(self.mark)
        self.frame.set_visibility(False)

    def build_choices(self) -> None:
        """What most people set."""
        options = {name: f"{name} – {title}" for name, title in self.service.recipes.items()}  # noqa: RUF001  a dash
        self.recipe = ui.select(options, value=AUTO, label="Recipe", on_change=self.tell_title)
        self.recipe.props('outlined dense options-dense popup-content-class="recipes" display-value=auto')
        self.title = ui.label().classes("hint")
        self.size = ui.number("Kernel size in pixels", placeholder="automatic", min=1, precision=0, format="%d")
        self.size.props("outlined dense clearable stack-label")
        ui.label("As far as the blur reaches. Too large beats too small.").classes("hint")

    def build_more(self) -> None:
        """What few people set."""
        self.time_limit = ui.number("Time limit in seconds", placeholder="none", min=1, format="%g")
        self.time_limit.props("outlined dense clearable stack-label")
        self.color = ui.select(COLORS, value="", label="Colour photos").props("outlined dense")
        self.seed = ui.number("Seed", value=0, min=0, precision=0, format="%d").props("outlined dense")
        self.overrides = ui.textarea("Changes of the recipe", placeholder=OVERRIDES)
        self.overrides.props("outlined dense stack-label autogrow spellcheck=false")

    def tell_title(self) -> None:
        """What the chosen recipe is."""
        self.recipe.props["display-value"] = self.recipe.value
        self.title.set_text(self.service.recipes[self.recipe.value])

    def take(self, upload: str) -> None:
        """Show the photograph that was uploaded."""
        found = self.service.uploads.held.get(upload)
        if found is None:
            return
        self.forget()
        self.photo, self.crop = found, None
        self.frame.show(work_address(found.id, "photo.jpg"), found.width, found.height)
        self.frame.set_visibility(True)
        self.sample.set_visibility(False)
        self.drop.say(found.name, "Drop or choose another photo")
        self.drop.classes("small")
        self.problem.set_visibility(False)
        self.start.enable()

    def take_sample(self) -> None:
        """Take a photograph that comes with invkit."""
        package, name = SAMPLE
        with as_file(files(package) / name) as path:
            self.take(self.service.uploads.take(path, name).id)

    def refuse(self, words: str) -> None:
        """Say why a file was not taken, or nothing was begun; what was there stays."""
        self.problem.set_text(sentence(words))
        self.problem.set_visibility(True)

    def mark(self, part: Any) -> None:
        """Remember the part that is to be restored."""
        self.crop = part

    def asked(self, photo: Upload) -> Asked:
        """All of it, checked; raises `InputError`."""
        lines = str(self.overrides.value or "").splitlines()
        return Asked.checked(
            photo=photo.name,
            recipe=self.recipe.value,
            kernel_size=whole(self.size.value),
            crop=self.crop,
            color=self.color.value or None,
            time_limit=self.time_limit.value,
            seed=whole(self.seed.value) or 0,
            overrides=[line.strip() for line in lines if line.strip()],
        )

    def ask(self) -> None:
        """Queue it."""
        if self.photo is None:
            return
        try:
            job = self.service.queue.add(self.asked(self.photo), self.photo.path)
        except (InvkitError, OSError) as error:
            self.refuse(str(error))
            return
        self.problem.set_visibility(False)
        self.on_start(job)

    def forget(self) -> None:
        """Remove the photograph's file; jobs have their own."""
        if self.photo is not None:
            self.service.uploads.drop(self.photo.id)


def whole(number: float | None) -> float | int | None:
    """A whole number as such; another one is left to the check."""
    with suppress(ValueError, OverflowError):
        return None if number is None else int(number) if number == int(number) else number
    return number

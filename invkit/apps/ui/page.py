"""The page: a form on the left, the viewer on the right, and a gallery of earlier runs below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.element import Element

from ...core import registry
from ...core.errors import InvkitError
from ...core.files import parse_toml
from ...recipes.toml import registered_text
from .components import CropFrame, DropZone, as_sentence
from .jobs import JobQueue, RestorationJob
from .messages import AUTO_CHOICE, RestorationRequest
from .store import UPLOAD_ADDRESS, KeptRun, RunStore, work_address
from .uploads import MEGA, Upload, Uploads
from .viewer import UPDATE_INTERVAL, Viewer

__all__ = ["WebPage", "offered_recipes"]

PRIMARY_COLOR = "#23609f"
STYLE_SHEET = Path(__file__).with_name("style.css")
GALLERY_COUNT = 24  # runs in the gallery before a visitor asks for all

SAMPLE_PHOTO = ("invkit.datasets.samples", "coffee_blurry.png")
COLOR_OPTIONS = {"": "As in the recipe", "luma": "Brightness only, colours kept", "rgb": "All three channels"}
OVERRIDES_HINT = "One change per line, such as solver.iterations=500"
PHOTO_OPERATORS = ("convolution", "downsampling", "haze", "identity", "varying-blur")
REFINING_RECIPES = ("polish",)  # they need the kernel of another recipe
FIRST_RECIPES = (AUTO_CHOICE, "fast", "best", "fast-map", "selfdeblur-small")  # shown before the others


class WebPage:
    """The page of one browser. ``recipes`` holds the titles of the recipes to offer, by name."""

    def __init__(self, queue: JobQueue, uploads: Uploads, recipes: Mapping[str, str]) -> None:
        ui.add_css(STYLE_SHEET)
        ui.colors(primary=PRIMARY_COLOR)
        with ui.element("div").classes("page"):
            with ui.element("header"):
                ui.label("invkit").classes("brand").props('role="heading" aria-level="1"')
                ui.label("Make a blurry photo sharp. Everything stays on this computer.").classes("hint")
            with ui.element("main"):
                RequestForm(queue, uploads, recipes, self.follow)
                self.viewer = Viewer(queue)
                Gallery(queue.store, self.open)

    def follow(self, job: RestorationJob) -> None:
        """Show a new job."""
        self.viewer.follow(job)
        scroll_to(self.viewer.section)

    def open(self, run: KeptRun) -> None:
        """Show a run of the gallery."""
        self.viewer.open(run)
        scroll_to(self.viewer.section)


class RequestForm:
    """The form for a photograph and the settings. It calls ``on_start`` with the job that it has queued."""

    def __init__(
        self, queue: JobQueue, uploads: Uploads, recipes: Mapping[str, str], on_start: Callable[[RestorationJob], None]
    ) -> None:
        self.queue, self.uploads, self.recipes, self.on_start = queue, uploads, recipes, on_start
        self.photo: Upload | None = None
        self.crop: Any = None
        ui.context.client.on_delete(self.forget)
        with ui.element("section").classes("form").props('aria-label="Photo and settings"'):
            self.build_photo()
            self.build_settings()
            with ui.expansion("More settings").classes("more"):
                self.build_more()
            self.start = ui.button("Restore the photo", on_click=self.submit)
            self.start.props("unelevated no-caps").classes("start").disable()
        self.show_title()

    def build_photo(self) -> None:
        """Add the drop zone, the sample and the photograph."""
        limits = self.uploads.limits
        too_large = f"the file is larger than {limits.megabytes:g} MB; shrink or crop it"
        self.drop = DropZone(UPLOAD_ADDRESS, int(limits.megabytes * MEGA), too_large, self.show_photo, self.show_error)
        self.sample = ui.button("or try it with a sample photo", on_click=self.take_sample)
        self.sample.props("flat dense no-caps").classes("sample")
        self.error = ui.label().classes("error").props('role="alert"')
        self.error.set_visibility(False)
        self.frame = CropFrame(lambda crop: setattr(self, "crop", crop))
        self.frame.set_visibility(False)

    def build_settings(self) -> None:
        """Add the settings that most visitors need."""
        options = {name: f"{name} – {title}" for name, title in self.recipes.items()}  # noqa: RUF001  a dash
        self.recipe = ui.select(options, value=AUTO_CHOICE, label="Recipe", on_change=self.show_title)
        self.recipe.props('outlined dense options-dense popup-content-class="recipes" display-value=auto')
        self.title = ui.label().classes("hint")
        self.size = ui.number("Kernel size in pixels", placeholder="automatic", min=1, precision=0, format="%d")
        self.size.props("outlined dense clearable stack-label")
        ui.label("At least the extent of the blur. Too large is better than too small.").classes("hint")

    def build_more(self) -> None:
        """Add the settings that few visitors need."""
        self.time_limit = ui.number("Time limit in seconds", placeholder="none", min=1, format="%g")
        self.time_limit.props("outlined dense clearable stack-label")
        self.color = ui.select(COLOR_OPTIONS, value="", label="Colour photos").props("outlined dense")
        self.seed = ui.number("Seed", value=0, min=0, precision=0, format="%d").props("outlined dense")
        self.whole_picture = ui.checkbox("Restore frames, writing and marks too, and sharp photos")
        self.uncertainty = ui.checkbox("Also find how sure the result is, which takes longer")
        self.overrides = ui.textarea("Changes to the recipe", placeholder=OVERRIDES_HINT)
        self.overrides.props("outlined dense stack-label autogrow spellcheck=false")

    def show_title(self) -> None:
        """Show the title of the chosen recipe."""
        self.recipe.props["display-value"] = self.recipe.value
        self.title.set_text(self.recipes[self.recipe.value])

    def show_photo(self, upload_id: str) -> None:
        """Show the uploaded photograph, in place of an earlier one."""
        photo = self.uploads.take(upload_id)
        if photo is None:
            return
        self.forget()
        self.photo, self.crop = photo, None
        self.frame.show(work_address(photo.id, "photo.jpg"), photo.width, photo.height)
        self.frame.set_visibility(True)
        self.sample.set_visibility(False)
        self.drop.set_text(photo.name, "Drop or choose another photo")
        self.drop.classes("small")
        self.error.set_visibility(False)
        self.start.enable()

    def take_sample(self) -> None:
        """Choose a photograph that comes with invkit."""
        package, name = SAMPLE_PHOTO
        with as_file(files(package) / name) as path:
            self.show_photo(self.uploads.copy(path, name).id)

    def show_error(self, message: str) -> None:
        """Say why a file or a request was refused."""
        self.error.set_text(as_sentence(message))
        self.error.set_visibility(True)

    def request(self, photo: Upload) -> RestorationRequest:
        """The checked request; raises `InputError`."""
        lines = (line.strip() for line in str(self.overrides.value or "").splitlines())
        values = {
            "photo": photo.name,
            "recipe": self.recipe.value,
            "kernel_size": self.size.value,
            "crop": self.crop,
            "color": self.color.value or None,
            "time_limit": self.time_limit.value,
            "seed": self.seed.value or 0,
            "whole_picture": bool(self.whole_picture.value),
            "uncertainty": bool(self.uncertainty.value),
            "overrides": [line for line in lines if line],
        }
        return RestorationRequest.from_form(values)

    def submit(self) -> None:
        """Queue the request."""
        if self.photo is None:
            return
        try:
            job = self.queue.add(self.request(self.photo), self.photo.path)
        except (InvkitError, OSError) as error:
            self.show_error(str(error))
            return
        self.error.set_visibility(False)
        self.on_start(job)

    def forget(self) -> None:
        """Delete the uploaded file. Jobs have copies of their own."""
        if self.photo is not None:
            self.uploads.delete(self.photo.id)


class Gallery:
    """Thumbnails of the kept runs, the newest first. A click on a run calls ``on_open``."""

    def __init__(self, store: RunStore, on_open: Callable[[KeptRun], None]) -> None:
        self.store, self.on_open, self.limit = store, on_open, GALLERY_COUNT
        self.shown = -1
        with ui.element("section").classes("gallery").props('aria-label="Earlier runs"'):
            self.body = ui.element("div")
        self.update()
        ui.timer(UPDATE_INTERVAL, self.update)

    def update(self) -> None:
        """Show the present runs, if they have changed."""
        if self.shown == self.store.changes:
            return
        self.shown, runs, damaged = self.store.changes, self.store.gallery(), self.store.damaged()
        self.body.clear()
        with self.body:
            if runs:
                ui.label("Earlier runs").classes("title").props('role="heading" aria-level="2"')
            with ui.element("div").classes("runs"):
                for run in runs[: self.limit]:
                    self.add_card(run)
            if len(runs) > self.limit:
                ui.button(f"Show all {len(runs)}", on_click=self.show_all).props("flat no-caps")
            if damaged:
                ui.label(f"Runs that cannot be read, in {self.store.runs}: {', '.join(damaged)}").classes("hint")

    def add_card(self, run: KeptRun) -> None:
        """Add a run, as a button."""
        (day, time), thumbnail = run.id.split("-")[:2], run.address("thumbnail.jpg")
        with ui.element("button").classes("card").props('type="button"').on("click", lambda: self.on_open(run)):
            ui.element("img").props(f'src="{thumbnail}" alt="" loading="lazy"')
            ui.label(run.request.photo).classes("name")
            ui.label(run.facts.recipe).classes("hint")
            ui.label(f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}").classes("hint")

    def show_all(self) -> None:
        """Show every run from now on."""
        self.limit, self.shown = len(self.store.gallery()), -1
        self.update()


def scroll_to(element: Element) -> None:
    """Scroll to an element whose top is out of sight, as on a phone."""
    ui.run_javascript(f"""
        const element = getHtmlElement({element.id}), top = element.getBoundingClientRect().top;
        if (top < 0 || top > 0.7 * innerHeight) element.scrollIntoView();
    """)


def offered_recipes() -> dict[str, str]:
    """The titles of the recipes that restore one photograph and need nothing else, by name.

    It reads the text of the recipes, because loading their components would import torch.
    """
    titles = {name: title for name in registry.names("recipes") if (title := offered_title(name)) is not None}
    titles[AUTO_CHOICE] = "Automatic: best, or fast if the time limit is too short for best"
    first = [name for name in FIRST_RECIPES if name in titles]
    return {name: titles[name] for name in [*first, *titles]}


def offered_title(name: str) -> str | None:
    """The title of a recipe, or None if the page cannot offer it. A plugin's recipe may be unreadable."""
    try:
        document = parse_toml(registered_text(name), name)
    except InvkitError:
        return None
    operator = component_name(document.get("operator")) or "convolution"
    needs_kernel = component_name(document.get("kernel_prior")).startswith("known")  # "known", "known-grid"
    if operator not in PHOTO_OPERATORS or needs_kernel or name in REFINING_RECIPES:
        return None
    return str(document.get("title") or name)


def component_name(entry: Any) -> str:
    """The name of a component in a recipe, where it stands alone or in a table; empty if there is none."""
    return str(entry.get("name", "") if isinstance(entry, dict) else entry or "")

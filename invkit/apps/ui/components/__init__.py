"""Parts of the page that NiceGUI has not: each a class here, and beside it what the browser runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

__all__ = ["Compare", "CropFrame", "DropZone"]

ACCEPTED = "image/png,image/jpeg,image/tiff,image/bmp,image/webp,.tif,.tiff"


class DropZone(Element, component="drop.js"):
    """A place to drop a photograph.

    Args:
        url: where the file is sent.
        most_bytes: more are not sent.
        too_large: what is said then.
        on_taken: gets the upload's name.
        on_refused: gets why not, in words.
    """

    def __init__(
        self,
        url: str,
        most_bytes: int,
        too_large: str,
        on_taken: Callable[[str], None],
        on_refused: Callable[[str], None],
    ) -> None:
        super().__init__()
        settings: dict[str, Any] = {"url": url, "accept": ACCEPTED, "most-bytes": most_bytes, "too-large": too_large}
        self.props.update(settings)
        self.say("Drop a blurry photo here", "or click to choose one: JPEG, PNG, TIFF, WebP or BMP")
        self.on("taken", lambda event: on_taken(str(event.args)))
        self.on("refused", lambda event: on_refused(str(event.args)))

    def say(self, title: str, hint: str) -> None:
        """What stands in it."""
        self.props.update({"title": title, "hint": hint})


class CropFrame(Element, component="crop.js"):
    """The photograph, on which a part may be marked.

    Args:
        on_marked: gets left, top, width and height in pixels of the photograph, or None for the whole.
    """

    def __init__(self, on_marked: Callable[[Any], None]) -> None:
        super().__init__()

        def heard(event: GenericEventArguments) -> None:
            on_marked(event.args)

        self.on("marked", heard)

    def show(self, src: str, width: int, height: int) -> None:
        """Another photograph, of so many pixels; ``src`` may be a smaller picture of it."""
        self.props.update({"src": src, "width": width, "height": height})


class Compare(Element, component="compare.js"):
    """Before and after with a line between them.

    Args:
        before, after: addresses of two pictures.
        width, height: of both, for their shape.
    """

    def __init__(self, before: str, after: str, width: int, height: int) -> None:
        super().__init__()
        self.props.update({"before": before, "after": after, "width": width, "height": height})

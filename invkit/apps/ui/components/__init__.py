"""Elements of the page that NiceGUI lacks. Each has a class here and its browser code in a file beside this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui.element import Element

__all__ = ["Compare", "CropFrame", "DropZone", "as_sentence"]

ACCEPTED_FILES = "image/png,image/jpeg,image/tiff,image/bmp,image/webp,.tif,.tiff"


class DropZone(Element, component="drop.js"):
    """An area where a visitor drops or chooses a photograph.

    Args:
        address: where the file is sent.
        max_bytes: a larger file is refused without being sent.
        too_large: the error for such a file.
        on_upload: called with the upload's id.
        on_error: called with an error message.
    """

    def __init__(
        self,
        address: str,
        max_bytes: int,
        too_large: str,
        on_upload: Callable[[str], None],
        on_error: Callable[[str], None],
    ) -> None:
        super().__init__()
        settings: dict[str, Any] = {"max-bytes": max_bytes, "too-large": too_large}
        self.props.update({"address": address, "accept": ACCEPTED_FILES, **settings})
        self.set_text("Drop a blurry photo here", "or click to choose one: JPEG, PNG, TIFF, WebP or BMP")
        self.on("uploaded", lambda event: on_upload(str(event.args)))
        self.on("refused", lambda event: on_error(str(event.args)))

    def set_text(self, title: str, hint: str) -> None:
        """Set the text in the area."""
        self.props.update({"title": title, "hint": hint})


class CropFrame(Element, component="crop.js"):
    """The photograph, on which a visitor may select a region.

    A selection calls ``on_select`` with left, top, width and height in pixels of the photograph, or None for the whole.
    """

    def __init__(self, on_select: Callable[[Any], None]) -> None:
        super().__init__()
        self.on("selected", lambda event: on_select(event.args))

    def show(self, src: str, width: int, height: int) -> None:
        """Show another photograph.

        Args:
            src: address of the photograph, or of a smaller copy.
            width: width of the photograph in pixels.
            height: height of the photograph in pixels.
        """
        self.props.update({"src": src, "width": width, "height": height})


class Compare(Element, component="compare.js"):
    """Pictures before and after the restoration, given by their addresses and their size in pixels.

    The visitor moves the line between them.
    """

    def __init__(self, before: str, after: str, width: int, height: int) -> None:
        super().__init__()
        self.props.update({"before": before, "after": after, "width": width, "height": height})


def as_sentence(message: str) -> str:
    """A message with a capital letter and a full stop. A name at its start stays as it is."""
    text = message[:1].upper() + message[1:] if message.startswith("the ") else message
    return text if text.endswith((".", "?", "!")) else f"{text}."

"""What the page and the process that restores tell each other: JSON objects, one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .asked import Asked

__all__ = ["FINISH", "MADE", "Begun", "Done", "Failed", "News", "Order", "Ready", "Saving", "Step", "read_news"]

FINISH = "finish"
"""The line that asks a worker to stop after the step it is in, and keep the result so far."""

MADE = "made"
"""The folder, within that of the job, where a worker writes the run."""


class Message(BaseModel):
    """Plain data, written once."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Order(Message):
    """What a worker is to do.

    Attributes:
        asked: of the run.
        photo: the file.
        folder: of the job; pictures on the way are written there, and the run in `MADE`.
        device: as for `invkit.deblur`.
    """

    asked: Asked
    photo: Path
    folder: Path
    device: str = "auto"


class Ready(Message):
    """An order would be carried out at once."""

    what: Literal["ready"] = "ready"


class Begun(Message):
    """The photograph is read and every setting checked.

    Attributes:
        recipe: its name.
        why: what it was picked for, where that was left to invkit.
        width, height: of what is restored, pixels.
        kernel: (height, width), None where no kernel is looked for.
        channels: of the photograph, 1 or 3.
    """

    what: Literal["begun"] = "begun"
    recipe: str
    why: str | None
    width: int
    height: int
    kernel: tuple[int, int] | None
    channels: int


class Step(Message):
    """There are new pictures.

    Attributes:
        title: of the stage.
        iteration, iterations: of it.
        channels: of the image; mostly one while the kernel is looked for.
        pictures: how many there have been.
    """

    what: Literal["step"] = "step"
    title: str
    iteration: int
    iterations: int
    channels: int
    pictures: int


class Saving(Message):
    """It is solved."""

    what: Literal["saving"] = "saving"


class Done(Message):
    """The run is in its folder."""

    what: Literal["done"] = "done"


class Failed(Message):
    """There is no result.

    Attributes:
        words: why, and what to do.
    """

    what: Literal["failed"] = "failed"
    words: str


News = Ready | Begun | Step | Saving | Done | Failed
_news: TypeAdapter[News] = TypeAdapter(Annotated[News, Field(discriminator="what")])


def read_news(line: bytes) -> News:
    """What a line says; raises ``ValueError`` for any other."""
    return _news.validate_json(line)

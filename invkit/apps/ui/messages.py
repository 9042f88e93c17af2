"""Data that the page, the worker process and the store exchange: the visitor's request and the worker's messages.

A message of the worker is a JSON object on a line of its own, whose ``kind`` becomes the state of the job. This module
imports neither torch nor NiceGUI.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...core.errors import InputError

__all__ = ["Crop", "RestorationRequest", "RunFacts", "WorkerMessage", "WorkerOrder", "read_message"]

AUTO_CHOICE = "auto"
STOP_COMMAND = "stop"  # the line that asks a worker to stop after the current iteration and to keep the result so far
RUN_FOLDER = "run"  # the folder within a job's folder where the worker writes the run

TEXT_LIMIT = 10_000  # characters; nobody types a longer name or setting
ShortText = Annotated[str, Field(max_length=TEXT_LIMIT)]
Coordinate = Annotated[int, Field(ge=0)]
PixelCount = Annotated[int, Field(gt=0)]


class PlainData(BaseModel):
    """Immutable data without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Crop(PlainData):
    """A rectangle of the upright photograph, in its pixels."""

    left: Coordinate
    top: Coordinate
    width: PixelCount
    height: PixelCount


class RestorationRequest(PlainData):
    """A photograph and how to restore it. None leaves a setting to the recipe.

    The descriptions say which values a field accepts; errors cite them.
    """

    photo: ShortText  # the file name that the visitor sees; it is never used as a path
    recipe: ShortText = AUTO_CHOICE  # the name of a registered recipe, or "auto"
    kernel_size: PixelCount | None = Field(default=None, description="a whole number of pixels above 0, or empty")
    crop: Crop | None = Field(default=None, description="a region within the photograph")  # None: the whole photograph
    color: Literal["luma", "rgb"] | None = Field(default=None, description="'luma', 'rgb' or empty")
    time_limit: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="a number of seconds above 0, or empty"
    )
    whole_picture: bool = False  # whether nothing is left out, and a sharp photograph is restored
    uncertainty: bool = False  # whether standard deviations are found after the solve
    seed: int = Field(default=0, ge=0, lt=2**63, description="a whole number from 0 to 2^63 - 1")
    overrides: tuple[ShortText, ...] = ()  # changes to the recipe, such as ``solver.iterations=500``

    @classmethod
    def from_form(cls, values: Mapping[str, Any]) -> RestorationRequest:
        """Check the values of the page's form; raises `InputError` that names the field and the value."""
        try:
            return cls(**values)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            rule = cls.model_fields[field].description or f"at most {TEXT_LIMIT} characters long"
            given = reprlib.repr(values.get(field))
            raise InputError(f"the {field.replace('_', ' ')} must be {rule}; got {given}") from error

    @property
    def file_stem(self) -> str:
        """The photograph's name without its suffix, in characters that every file system accepts."""
        stem = self.photo.rpartition(".")[0] or self.photo
        return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem)[:80] or "photo"


class RunFacts(PlainData):
    """What the page shows of a run of the gallery."""

    request: RestorationRequest
    recipe: ShortText
    stopped: ShortText  # why the solve ended
    seconds: float = Field(ge=0, allow_inf_nan=False)
    iterations: int
    width: PixelCount
    height: PixelCount
    kernel: tuple[PixelCount, PixelCount] | None  # (height, width); None if there is none to show
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    how_sure: str = ""  # what the standard deviations mean; empty if there are none


class WorkerOrder(PlainData):
    """What a worker must do."""

    request: RestorationRequest
    photo: Path  # the photograph's file
    folder: Path  # the job's folder, for previews and, in `RUN_FOLDER`, for the run
    device: str = "auto"  # where to solve, as in `invkit.deblur`


class Prepared(PlainData):
    """The photograph is read and every setting is checked."""

    kind: Literal["starting"] = "starting"
    recipe: str
    choice: str | None  # the recipe that "auto" chose, with the reason; None if the visitor named the recipe
    width: int  # pixels of the region to restore
    height: int
    kernel: tuple[int, int] | None  # (height, width) in pixels; None if no kernel is estimated
    channels: int  # of the photograph, 1 or 3


class Iterated(PlainData):
    """New previews of image and kernel are written."""

    kind: Literal["solving"] = "solving"
    stage: str  # the stage's title
    iteration: int
    iterations: int  # the most that this stage may take
    channels: int  # of the image; usually 1 during kernel estimation
    previews: int  # number of previews so far


class Saving(PlainData):
    """The solve has ended, and the worker writes the files."""

    kind: Literal["saving"] = "saving"


class Done(PlainData):
    """The run is complete in its folder."""

    kind: Literal["done"] = "done"


class Failed(PlainData):
    """There is no result."""

    kind: Literal["failed"] = "failed"
    error: str  # the reason, and what to do


WorkerMessage = Prepared | Iterated | Saving | Done | Failed
_messages: TypeAdapter[WorkerMessage] = TypeAdapter(Annotated[WorkerMessage, Field(discriminator="kind")])


def read_message(line: bytes) -> WorkerMessage:
    """The message in a line; raises ``ValueError`` if the line holds none."""
    return _messages.validate_json(line)

"""What is asked of a run, as the page gathers it, the worker reads it and the gallery keeps it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core.errors import InputError

__all__ = ["AUTO", "Asked", "Crop"]

AUTO = "auto"
MOST = 10_000  # characters of a name, or settings: nobody types as many

Corner = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(gt=0)]


class Crop(BaseModel):
    """A part of a photograph that stands upright, in its pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    left: Corner
    top: Corner
    width: Side
    height: Side


class Asked(BaseModel):
    """A photograph and what to do with it.

    Attributes:
        photo: what its owner calls it; never a path.
        recipe: a registered recipe's name, or "auto".
        kernel_size: side of the kernel in pixels; None: what the recipe says, which is mostly told from the photograph.
        crop: the part to restore; None: the whole.
        color: of a colour photograph what is restored; None: what the recipe says.
        time_limit: seconds; None for no limit.
        seed: of every random number.
        overrides: changes of the recipe, as ``solver.params.iterations=500``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photo: Annotated[str, Field(max_length=MOST)]
    recipe: Annotated[str, Field(max_length=MOST)] = AUTO
    kernel_size: Annotated[int, Field(gt=0)] | None = None
    crop: Crop | None = None
    color: Literal["luma", "rgb"] | None = None
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    overrides: tuple[Annotated[str, Field(max_length=MOST)], ...] = ()

    @classmethod
    def checked(cls, **values: Any) -> Asked:
        """What a page sends, checked; raises `InputError` naming the field."""
        try:
            return cls(**values)
        except ValidationError as error:
            wrong = error.errors()[0]
            field = str(wrong["loc"][0])
            raise InputError(f"{LABELS.get(field, field)} should be {EXPECTED.get(field, 'another value')}") from error

    @property
    def stem(self) -> str:
        """The photograph's name without its suffix, of characters that every file system takes."""
        stem = self.photo.rpartition(".")[0] or self.photo
        return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem)[:80] or "photo"


LABELS = {"kernel_size": "the kernel size", "time_limit": "the time limit", "crop": "the part", "overrides": "a change"}
EXPECTED = {
    "kernel_size": "a whole number of pixels above 0, or empty",
    "time_limit": "a number of seconds above 0, or empty",
    "seed": "a whole number from 0",
    "color": "luma, rgb, or left to the recipe",
    "crop": "within the photograph",
}

"""The details of a run in its result.json, checked before they are shown: anybody may have written or changed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import InputError
from ..core.files import read_json

__all__ = ["read_run_details"]

Number = float | None  # null: not a finite number


class Open(BaseModel):
    """A table in which further keys may stand."""

    model_config = ConfigDict(extra="allow", strict=True)


class StageDetails(Open):
    """What is shown of a stage; a stage that was skipped has no iterations."""

    name: str = ""
    solver: str | None = None
    iterations: int | None = Field(default=None, ge=0)
    seconds: Number = None
    stopped: str | None = None


class SourceDetails(Open):
    """An input file."""

    file: str = ""
    sha256: str = ""


class QualityDetails(Open):
    """PSNR before and after."""

    before: Number = None
    after: Number = None


class NamedDetails(Open):
    """A recipe, of which the name is shown."""

    name: str = ""


class RunDetails(Open):
    """The keys that reports and animations read."""

    image: SourceDetails | list[SourceDetails | None] | None = None
    image_size: list[int] | None = None
    kernel_size: list[int] | int | None = None
    recipe: NamedDetails | None = None
    stages: list[StageDetails] | None = None
    loss_history: list[Number] | None = None
    psnr: QualityDetails | None = None
    notices: list[str] | None = None
    warnings: list[str] | None = None
    versions: dict[str, Any] | None = None
    seconds: Number = None
    iterations: int | None = None
    stopped: str | None = None
    noise_sigma: Number = None
    device: str | None = None
    color: str | None = None


def read_run_details(path: Path) -> dict[str, Any]:
    """The content of a run's result.json.

    Raises:
        InputError: it cannot be read, or is not of a run; names the place.
    """
    details = read_json(path)
    if not isinstance(details, dict):
        raise InputError(f"{path} is not of a run; give the --output of 'invkit deblur'")
    try:
        RunDetails.model_validate(details)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is not of a run: {place:.80}: {first['msg']}; run it again") from error
    return details

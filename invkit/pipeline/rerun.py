"""A run made again from its result.json alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import sha256_of
from ..recipes.model import load_recipe
from ..recipes.toml import read_result_document
from .inputs import ArrayOrFile, ImageInput
from .job import Job, prepare, versions

__all__ = ["prepare_rerun"]


def prepare_rerun(
    result: str | Path,
    *,
    image: ImageInput | None = None,
    kernel: ArrayOrFile | None = None,
    truth: ArrayOrFile | None = None,
    device: str | None = None,
) -> Job:
    """The job of an earlier run: its recipe with every setting, kernel size, noise level, colour, window and seed.

    On the same machine and with the same versions, its result has the same bits.

    Args:
        result: the run's result.json.
        image: None for the file of the earlier run, whose digest is checked; another image is restored alike.
        kernel: None for the file of the earlier run, if it had one.
        truth: the true image, to report PSNR.
        device: None for that of the earlier run.

    Raises:
        InputError: the file is no result.json, the earlier image was an array, is gone or has changed.
        InvkitError: as `prepare`.

    Warns:
        UserWarning: versions or threads differ from those of the earlier run, or it was stopped before its end.
    """
    document = read_result_document(result)
    options = document.get("options")
    if not isinstance(options, Mapping):
        raise InputError(f"{result} does not hold the options of its run; only results of this version can be rerun")
    size = options.get("kernel_size")
    job = prepare(
        earlier_file(document, "image", result) if image is None else image,
        recipe=load_recipe(result),
        kernel=earlier_file(document, "kernel_given", result) if kernel is None else kernel,
        truth=truth,
        kernel_size=None if size in (None, [1, 1]) else tuple(size),
        seed=options.get("seed", 0),
        sigma=options.get("sigma"),
        device=document.get("device", "auto") if device is None else device,
    )
    for warning in differences(document, job):
        warnings.warn(warning, UserWarning, stacklevel=2)
    return job


def earlier_file(document: Mapping[str, Any], name: str, result: str | Path) -> Any:
    """The file, or files, of an earlier run; None if it had none.

    Args:
        document: of result.json.
        name: "image" or "kernel_given".
        result: the file, for errors.

    Raises:
        InputError: the earlier input was an array, or the file is gone or has changed.
    """
    source = document.get(name)
    option = "--image" if name == "image" else "--kernel"
    if source is None and name == "image":
        raise InputError(f"{result} was made from an array, which it does not hold; give the image with {option}")
    if isinstance(source, list):
        return [checked_file(one, result, option) for one in source]
    return None if source is None else checked_file(source, result, option)


def checked_file(source: Mapping[str, Any] | None, result: str | Path, option: str) -> Path:
    """The path of an earlier file whose digest still holds; raises `InputError`."""
    if source is None or "path" not in source:
        raise InputError(f"{result} does not say where its input was; give it with {option}")
    path = Path(str(source["path"]))
    beside = Path(result).parent / path.name
    found = next((one for one in (path, beside) if one.is_file()), None)
    if found is None:
        raise InputError(f"{path}, from which {result} was made, is not there; give it with {option}")
    if sha256_of(found) != source.get("sha256"):
        raise InputError(f"{found} is not the file from which {result} was made; give the right one with {option}")
    return found


def differences(document: Mapping[str, Any], job: Job) -> list[str]:
    """Why the new result may have other bits than the earlier one."""
    found = []
    before, now = document.get("versions") or {}, versions()
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        found.append(f"the earlier run had {'; '.join(changed)}: the bits may differ")
    if document.get("stopped") not in ("finished", "converged"):
        found.append(f"the earlier run was stopped ({document.get('stopped')}); {job.name} now runs to its end")
    return found

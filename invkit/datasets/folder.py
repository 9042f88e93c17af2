"""Images of the user, paired by their file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from ..core.errors import InputError
from ..core.evaluation import Case, Dataset, Sample
from ..core.parameters import PositiveInt, validated
from ..media.kernels import read_kernel
from .pictures import match_channels, read_pixels, safe_names
from .places import find_path

__all__ = ["Folder"]


def checked_pattern(pattern: str) -> str:
    """A pattern with a star that stays in the folder; raises ``ValueError`` otherwise."""
    path = PurePosixPath(pattern)
    if "*" not in pattern or "**" in pattern:
        raise ValueError(f"'{pattern}' needs a single star, as in '*_blurry.*'; '**' is not supported")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{pattern}' leads out of the folder; name the folder in 'path'")
    return pattern


Pattern = Annotated[str, AfterValidator(checked_pattern)]


class Folder(Dataset):
    """Images of the user in a folder: blurry images, and optionally their sharp images and true kernels.

    Images are (H, W) or (H, W, 3) in [0, 1], kernels (h, w). Files are found by patterns. A star stands for any text
    without a slash. The text of the first star in the blurry pattern names the case, and replaces the first star of the
    other patterns: with ``blurry = "*_blurry.*"`` and ``sharp = "*_sharp.*"``, ``tree_sharp.tif`` is the truth of
    ``tree_blurry.png``. Group: image.

    Args:
        root: the folder of all data, or None.
        path: the folder. A relative path is searched in the current folder, then in the folder of all data.
        blurry: pattern of the blurry images' names.
        sharp: pattern of the sharp images' names, with the first star as in the blurry name; None if there are none.
        kernel: pattern of the true-convolution kernels' names, likewise, images or ``.npy`` files; None if there are
            none.
        kernel_size: kernel size given to a recipe, pixels: the side, or (h, w); None leaves it to the recipe.
    """

    title: ClassVar[str] = "A folder of your own images, paired by name"
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = "your own"
    homepage: ClassVar[str] = ""

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        path: Annotated[Path, Field(examples=["pictures"])],
        blurry: Pattern = "*_blurry.*",
        sharp: Pattern | None = None,
        kernel: Pattern | None = None,
        kernel_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None,
    ) -> None:
        super().__init__(root)
        self.path, self.blurry, self.sharp, self.kernel = path, blurry, sharp, kernel
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size

    def cases(self) -> Sequence[Case]:
        """One case for each blurry image, by name.

        Raises:
            InputError: the folder or a blurry image is missing, or a blurry image lacks a unique sharp image or kernel.
        """
        folder = find_path(self.path, self.root)
        found = [(text, file) for text, files in match_pattern(folder, self.blurry).items() for file in files]
        if not found:
            raise InputError(f"no file in {folder} matches '{self.blurry}'; set 'blurry' to the pattern of the names")
        patterns = [pattern for pattern in (self.sharp, self.kernel) if pattern]
        partners = [(pattern, match_pattern(folder, pattern)) for pattern in patterns]
        names = safe_names(text for text, _ in found)
        return [
            Case(name, self.kernel_size, {"image": name}, (file, *(only_match(text, *each) for each in partners)))
            for name, (text, file) in zip(names, found, strict=True)
        ]

    def sample(self, case: Case) -> Sample:
        """The images. The colour truth of a grey image becomes luma. Raises `InputError` if one cannot be read."""
        image, *others = case.files
        blurry = read_pixels(image)
        truth = match_channels(read_pixels(others[0]), blurry, str(others[0])) if self.sharp else None
        return Sample(blurry, truth, read_kernel(others[-1]) if self.kernel else None)


def match_pattern(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """The visible files that match a pattern, sorted by path, by the text of the first star."""
    literals = pattern.split("*")
    names = re.compile("([^/]*)".join(map(re.escape, literals)))
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*".join(map(escape, literals)))):
        match = names.fullmatch(file.relative_to(folder).as_posix())
        if match and file.is_file() and not file.name.startswith("."):
            found.setdefault(match[1], []).append(file)
    return found


def only_match(text: str, pattern: str, found: dict[str, list[Path]]) -> Path:
    """The file that matches a pattern and whose first star is a text.

    Args:
        text: the text of the first star.
        pattern: the pattern, for the error message.
        found: the files that match it, as `match_pattern` gives them.

    Raises:
        InputError: no file or several files match.
    """
    files = found.get(text, [])
    if len(files) != 1:
        wanted = pattern.replace("*", text, 1)
        present = ", ".join(file.name for file in files) or "none"
        raise InputError(f"exactly one file must match '{wanted}'; found: {present}; add, rename or remove files")
    return files[0]

"""Pictures of one's own, paired by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from ..core.errors import InputError
from ..core.evaluation import Case, Sample
from ..core.interfaces import Dataset
from ..core.parameters import PositiveInt, validated
from ..media.kernels import read_kernel
from .pictures import like, picture, safe_names
from .places import located

__all__ = ["Folder"]


def checked_pattern(pattern: str) -> str:
    """A pattern, refused where it has no star, or leads out of the folder."""
    path = PurePosixPath(pattern)
    if "*" not in pattern or "**" in pattern:
        raise ValueError(f"'{pattern}' needs a star, each standing alone, as in '*_blurry.*'")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{pattern}' leads out of the folder; name that in 'path'")
    return pattern


Pattern = Annotated[str, AfterValidator(checked_pattern)]


class Folder(Dataset):
    """Pictures of one's own in a folder: blurry ones, and where there are any their sharp images and true kernels.

    Files are found by patterns in which a star stands for any text without a slash. The text of the blurry pattern's
    first star names the case, and stands for the first star of the other patterns: with ``blurry = "*_blurry.*"`` and
    ``sharp = "*_sharp.*"``, ``tree_sharp.tif`` is the truth of ``tree_blurry.png``. Group: image.

    Args:
        root: the folder of all data, or None.
        path: the folder; a relative one is looked for in the current folder, then in that of all data.
        blurry: pattern of the blurry images.
        sharp: pattern of the sharp images; None where there are none.
        kernel: pattern of the true-convolution kernels, pictures or ``.npy``; None where there are none.
        kernel_size: what a recipe is told, (h, w); None leaves it to the recipe.
    """

    title: ClassVar[str] = "A folder of your own, paired by name"
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = "your own"
    homepage: ClassVar[str] = ""

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        path: Annotated[
            Path,
            Field(
                description="the folder; looked for in the current folder, then in that of all data",
                examples=["pictures"],
            ),
        ],
        blurry: Annotated[Pattern, Field(description="pattern of the blurry images' names")] = "*_blurry.*",
        sharp: Annotated[
            Pattern | None, Field(description="pattern of the sharp images' names; its first star is the blurry one's")
        ] = None,
        kernel: Annotated[Pattern | None, Field(description="pattern of the kernels' names, likewise")] = None,
        kernel_size: Annotated[
            PositiveInt | tuple[PositiveInt, PositiveInt] | None,
            Field(description="what a recipe is told, pixels: the side, or (h, w); none leaves it to the recipe"),
        ] = None,
    ) -> None:
        super().__init__(root)
        self.path, self.blurry, self.sharp, self.kernel = path, blurry, sharp, kernel
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size

    def cases(self) -> Sequence[Case]:
        """One case for each blurry image, by name.

        Raises:
            InputError: there is no such folder, no blurry image, or not exactly one sharp image or kernel for one.
        """
        folder = located(self.path, self.root)
        found = [(text, file) for text, files in matches(folder, self.blurry).items() for file in files]
        if not found:
            raise InputError(f"no file in {folder} is called '{self.blurry}'; set 'blurry' to the pattern of the names")
        patterns = [pattern for pattern in (self.sharp, self.kernel) if pattern]
        partners = [(pattern, matches(folder, pattern)) for pattern in patterns]
        names = safe_names(text for text, _ in found)
        return [
            Case(name, self.kernel_size, {"image": name}, (file, *(only(text, *each) for each in partners)))
            for name, (text, file) in zip(names, found, strict=True)
        ]

    def sample(self, case: Case) -> Sample:
        """The pictures; a colour truth of a grey image becomes luma; raises `InputError` where one cannot be read."""
        image, *others = case.files
        blurry = picture(image)
        truth = like(picture(others[0]), blurry, str(others[0])) if self.sharp else None
        return Sample(blurry, truth, read_kernel(others[-1]) if self.kernel else None)


def matches(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """The files that a pattern finds, in the order of their paths, by the text of the first star; no hidden ones."""
    literals = pattern.split("*")
    names = re.compile("([^/]*)".join(map(re.escape, literals)))
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*".join(map(escape, literals)))):
        match = names.fullmatch(file.relative_to(folder).as_posix())
        if match and file.is_file() and not file.name.startswith("."):
            found.setdefault(match[1], []).append(file)
    return found


def only(text: str, pattern: str, found: dict[str, list[Path]]) -> Path:
    """The one file of a pattern whose first star stands for a text; raises `InputError` for none or several."""
    files = found.get(text, [])
    if len(files) != 1:
        wanted = pattern.replace("*", text, 1)
        there = " and ".join(file.name for file in files) or "nothing"
        raise InputError(f"one file called '{wanted}' is needed, and there is {there}; add, rename or remove one")
    return files[0]

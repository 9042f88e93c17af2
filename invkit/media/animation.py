"""The evolution of image and kernel as a moving picture, side by side with iteration and loss."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from ..core.errors import InputError
from ..core.files import write_atomically

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

    from ..core.result import Result, Snapshot

__all__ = ["SNAPSHOT_FILE", "SNAPSHOT_FOLDER", "animate", "animate_folder", "evenly", "snapshots_in", "solved_stages"]

Item = TypeVar("Item")

SNAPSHOT_FOLDER = "snapshots"
SNAPSHOT_FILE = re.compile(r"(\d{2,})-(\d{5,})-(image|kernel|operator_parameter)(-\d+)?\.png")
"""The files that the observer 'snapshots' writes: solve, iteration, content, number in a batch."""

MAX_FRAME_RATE = 25  # per second
LAST_FRAME_SECONDS = 2.0
IMAGE_SIDE_MAX, IMAGE_SIDE_MIN = 720, 320  # pixels of the longer side; other images are shrunk or enlarged
KERNEL_SIDE = 200  # pixels
MARGIN, LINE_HEIGHT, FONT_SIZE = 16, 22, 15  # pixels
BACKGROUND, INK = 24, 225  # greys of page and text; a white page would outshine the images
IN_PYTHON = "observers=[invkit.Snapshots(every=10)]"
IN_SHELL = "--observe snapshots:every=10"


@dataclass(frozen=True)
class AnimationFrame:
    """One snapshot, ready to be drawn.

    Attributes:
        image: 8 bits, grey or RGB.
        kernel: 8 bits, grey, each weight a square.
        lines: text, as "iteration 100".
    """

    image: Image.Image
    kernel: Image.Image
    lines: Sequence[str]


@dataclass(frozen=True)
class SnapshotFile:
    """A snapshot in a run's folder, of a batch the first image; ``kernel`` is None if its file is missing."""

    solve: int
    iteration: int
    image: Path
    kernel: Path | None


def animate(result: Result, path: Path, seconds: float = 6.0) -> Path:
    """The file of `Result.animate`, with the same errors.

    Args:
        result: with snapshots.
        path: of the file.
        seconds: duration without the last frame.
    """
    if not result.snapshots:
        raise InputError(f"the result holds no snapshots to animate; solve again with {IN_PYTHON}")
    names = stage_names(result.details, max(one.solve for one in result.snapshots))
    chosen = evenly(result.snapshots, frame_count(seconds))
    return write_animation(path, [snapshot_frame(one, names, result.has_kernel) for one in chosen], seconds)


def animate_folder(folder: Path, path: Path, seconds: float = 6.0) -> Path:
    """An animation of the snapshots that ``--observe snapshots`` has written to a run's folder.

    Args:
        folder: of the run.
        path: of the file.
        seconds: duration without the last frame.

    Raises:
        InputError: there are no snapshots, or one cannot be read; else as `Result.animate`.
    """
    found = [(one, one.kernel) for one in snapshots_in(folder) if one.kernel is not None]
    if not found:
        raise InputError(f"{folder} holds no snapshots to animate; run again with {IN_SHELL} --overwrite")
    solves = max(one.solve for one, _ in found)
    details = read_details(folder)
    names, losses = stage_names(details, solves), loss_finder(details, solves)
    try:
        frames = [
            AnimationFrame(opened(one.image), opened(kernel), frame_lines(one, losses(one.solve, one.iteration), names))
            for one, kernel in evenly(found, frame_count(seconds))
        ]
    except OSError as error:
        raise InputError(f"a snapshot in {folder} cannot be read ({error}); run again with {IN_SHELL}") from error
    return write_animation(path, frames, seconds)


def frame_count(seconds: float) -> int:
    """The largest number of frames in a duration, at least two; raises `InputError`."""
    if not 0 < seconds < float("inf"):
        raise InputError(f"an animation must take a positive number of seconds, got {seconds!r}")
    return max(2, round(MAX_FRAME_RATE * seconds))


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread, with the first and the last.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    places = np.linspace(0, len(items) - 1, min(len(items), most))
    return [items[round(place)] for place in places]


def snapshot_frame(shot: Snapshot, names: Sequence[str], are_kernels: bool) -> AnimationFrame:
    """The frame of a snapshot, of a batch the first image.

    Args:
        shot: the snapshot.
        names: of the solves.
        are_kernels: whether ``shot.kernel`` holds kernels.
    """
    from .figures import drawable
    from .images import quantised
    from .kernels import kernel_picture, planes_picture
    from .layouts import channels_last

    picture, planes = channels_last(shot.image)[0], shot.kernel[0].double().numpy()
    shown = picture[..., 0] if picture.shape[-1] == 1 else drawable(picture)[..., :3]
    kernel = kernel_picture(planes[0]) if are_kernels else planes_picture(planes)
    lines = frame_lines(shot, shot.loss, names)
    return AnimationFrame(Image.fromarray(quantised(shown, 8)), Image.fromarray(kernel), lines)


def frame_lines(shot: Snapshot | SnapshotFile, loss: float | None, names: Sequence[str]) -> list[str]:
    """The text of a frame.

    Args:
        shot: the snapshot.
        loss: at its iteration, or None.
        names: of the solves.
    """
    stage = [names[shot.solve - 1]] if len(names) > 1 else []
    return [*stage, f"iteration {shot.iteration}", *([] if loss is None else [f"loss {loss:.3e}"])]


def solved_stages(details: Mapping[str, Any], solves: int) -> list[tuple[str, int]]:
    """Name of each stage that was not skipped, and the number of iterations before it.

    Empty unless there are as many stages as solves: the candidates of a multi-start are solves too, not stages.
    """
    stages = [stage for stage in details.get("stages") or () if isinstance(stage, dict) and stage.get("iterations")]
    before = accumulate((int(stage["iterations"]) for stage in stages), initial=0)
    found = [(str(stage.get("name", "")), count) for stage, count in zip(stages, before, strict=False)]
    return found if len(found) == solves else []


def stage_names(details: Mapping[str, Any], solves: int) -> list[str]:
    """The names of the solves, or their numbers."""
    named = [name for name, _ in solved_stages(details, solves)]
    return named or [f"solve {number + 1} of {solves}" for number in range(solves)]


def loss_finder(details: Mapping[str, Any], solves: int) -> Callable[[int, int], float | None]:
    """The loss at a solve and iteration, from the history of all stages; None if the history is of other solves."""
    history = details.get("loss_history", ())
    before = [count for _, count in solved_stages(details, solves)] or ([0] if solves == 1 else [])

    def loss(solve: int, iteration: int) -> float | None:
        place = before[solve - 1] + iteration - 1 if solve <= len(before) else -1
        return history[place] if 0 <= place < len(history) else None

    return loss


def read_details(folder: Path) -> dict[str, Any]:
    """The content of a run's result.json; empty if it cannot be read, as during a run."""
    try:
        details = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return details if isinstance(details, dict) else {}


def snapshots_in(folder: Path) -> list[SnapshotFile]:
    """The snapshots in a run's folder that have an image, in their order; of a batch the first."""
    found: dict[tuple[int, int], dict[bool, Path]] = {}
    place = folder / SNAPSHOT_FOLDER
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        named = SNAPSHOT_FILE.fullmatch(path.name)
        if named and named[4] in (None, "-1"):
            found.setdefault((int(named[1]), int(named[2])), {})[named[3] == "image"] = path
    return [SnapshotFile(*at, both[True], both.get(False)) for at, both in sorted(found.items()) if True in both]


def opened(path: Path) -> Image.Image:
    """An 8-bit image from a file, grey or RGB; raises `OSError`."""
    with Image.open(path) as picture:
        return picture.convert("L" if picture.mode in ("1", "L", "LA", "I;16", "I") else "RGB")


def write_animation(path: Path, frames: Sequence[AnimationFrame], seconds: float) -> Path:
    """Write the frames in the format of the path's suffix; raises `InputError`.

    Args:
        path: of the file; its folder is created.
        frames: at least one.
        seconds: duration without the last frame.
    """
    encode = ANIMATION_SUFFIXES.get(path.suffix.lower())
    if encode is None:
        raise InputError(f"{path} has no suffix of an animation; use one of {', '.join(ANIMATION_SUFFIXES)}")
    content = encode(list(drawn_pages(frames)), seconds / len(frames))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    return path


def drawn_pages(frames: Sequence[AnimationFrame]) -> Iterator[Image.Image]:
    """All frames as pages of one size. Their sides are even, as video requires; grey images have grey pages."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    width, height = shown_size(max((frame.image.size for frame in frames), key=max))
    least = KERNEL_SIDE + MARGIN + 3 * LINE_HEIGHT
    page = (width + KERNEL_SIDE + 3 * MARGIN + 1) // 2 * 2, (max(height, least) + 2 * MARGIN + 1) // 2 * 2
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), FONT_SIZE)
    for frame in frames:
        empty = Image.new("L", page, BACKGROUND).convert(frame.image.mode)
        yield drawn_page(frame, empty, (width, height), font)


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which an image is shown: large ones are shrunk, small ones enlarged by a whole number."""
    longer = max(size)
    scale = IMAGE_SIDE_MAX / longer if longer > IMAGE_SIDE_MAX else float(max(1, -(-IMAGE_SIDE_MIN // longer)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def drawn_page(frame: AnimationFrame, page: Image.Image, box: tuple[int, int], font: FreeTypeFont) -> Image.Image:
    """The page with the image at the left, the kernel at the right and the text below it.

    Args:
        frame: the content.
        page: the empty page; it is drawn on.
        box: width and height of the place for the image, pixels.
        font: of the text.
    """
    from PIL import ImageDraw

    scale = min(box[0] / frame.image.width, box[1] / frame.image.height)
    size = round(frame.image.width * scale), round(frame.image.height * scale)
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    page.paste(frame.image.resize(size, resampling), (MARGIN, MARGIN))
    kernel, left = frame.kernel.copy(), box[0] + 2 * MARGIN
    kernel.thumbnail((KERNEL_SIDE, KERNEL_SIDE), Image.Resampling.BOX)
    page.paste(kernel, (left, MARGIN))
    pen, ink = ImageDraw.Draw(page), INK if page.mode == "L" else (INK,) * 3
    for number, line in enumerate(frame.lines):
        top = KERNEL_SIDE + 2 * MARGIN + number * LINE_HEIGHT
        pen.text((left, top), truncated(line, font), fill=ink, font=font)
    return page


def truncated(line: str, font: FreeTypeFont) -> str:
    """A line cut to the width of the kernel."""
    kept = len(line)
    while kept and font.getlength(line[:kept] + "…" * (kept < len(line))) > KERNEL_SIDE:
        kept -= 1
    return line[:kept] + "…" * (kept < len(line))


def as_gif(pages: Sequence[Image.Image], frame_seconds: float) -> bytes:
    """GIF with one palette, that of the last page in colour, so that no colour flickers."""
    coloured = [page for page in pages if page.mode == "RGB"]
    palette = coloured[-1].quantize(256) if coloured else None
    indexed = [page if page.mode == "L" else page.quantize(palette=palette) for page in pages]
    return by_pillow(indexed, frame_seconds, "GIF")


def as_webp(pages: Sequence[Image.Image], frame_seconds: float) -> bytes:
    """WebP in full colour, a tenth of the size of a GIF."""
    return by_pillow(pages, frame_seconds, "WEBP", quality=85, method=4)


def by_pillow(pages: Sequence[Image.Image], frame_seconds: float, kind: str, **options: int) -> bytes:
    """The pages as an endless animation that Pillow writes.

    Args:
        pages: of one size.
        frame_seconds: duration of a page.
        kind: Pillow's name of the format.
        options: of Pillow for that format.
    """
    times = [max(20, round(1000 * frame_seconds))] * (len(pages) - 1)  # milliseconds; viewers slow down shorter times
    buffer = BytesIO()
    times.append(round(1000 * LAST_FRAME_SECONDS))
    pages[0].save(buffer, format=kind, save_all=True, append_images=pages[1:], duration=times, loop=0, **options)
    return buffer.getvalue()


def as_video(pages: Sequence[Image.Image], frame_seconds: float) -> bytes:
    """MP4 with H.264, by FFmpeg; raises `InputError` if FFmpeg is not installed."""
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise InputError(
            "an .mp4 needs an encoder that is not installed; 'pip install invkit[video]', or write .webp or .gif"
        ) from error
    rate = min(MAX_FRAME_RATE, 1 / frame_seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "animation.mp4"
        writer = write_frames(str(path), pages[0].size, fps=rate, codec="libx264", macro_block_size=2, quality=8)
        writer.send(None)
        for page in [*pages, *[pages[-1]] * round(LAST_FRAME_SECONDS * rate)]:
            writer.send(np.ascontiguousarray(page.convert("RGB")))
        writer.close()
        return path.read_bytes()


ANIMATION_SUFFIXES: dict[str, Callable[[Sequence[Image.Image], float], bytes]] = {
    ".gif": as_gif,
    ".webp": as_webp,
    ".mp4": as_video,
}
"""The encoder of each format, by the suffix of its files."""

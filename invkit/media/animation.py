"""The evolution of image and kernel as a moving picture, side by side with iteration and loss."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from ..core.errors import InputError
from ..core.files import save_file
from .decoding import decode
from .figures import load_matplotlib
from .run_details import read_run_details
from .run_folder import SNAPSHOT_FILE, SNAPSHOT_FOLDER, SUMMARY

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

    from ..core.result import Result, Snapshot

__all__ = ["SolveHistory", "animate", "animate_folder", "evenly", "snapshots_in"]

Item = TypeVar("Item")

PILLOW_OPTIONS: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF"},
    ".webp": {"format": "WEBP", "quality": 85, "method": 4},
}
MAX_FRAME_RATE = 25  # per second
LAST_FRAME_SECONDS = 2.0
IMAGE_SIDE_MAX, IMAGE_SIDE_MIN = 720, 320  # pixels of the longer side; other images are shrunk or enlarged
KERNEL_SIDE = 200  # pixels
MARGIN, LINE_HEIGHT, FONT_SIZE = 16, 22, 15  # pixels
BACKGROUND, INK = 24, 225  # greys of page and text; a white page would outshine the images
IN_PYTHON = "observers=[invkit.Snapshots(every=10)]"
IN_SHELL = "--observe snapshots:every=10"


class AnimationFrame(NamedTuple):
    """A snapshot to be drawn: image (8 bits, grey or RGB), kernel (8 bits, grey), lines of text."""

    image: Image.Image
    kernel: Image.Image
    lines: Sequence[str]


class SnapshotFile(NamedTuple):
    """A snapshot in a run's folder, of a batch the first image; ``kernel`` is None if its file is missing."""

    solve: int
    iteration: int
    image: Path
    kernel: Path | None


class SolveHistory:
    """The stages and losses of a run by solve and iteration.

    Args:
        details: of the result.
        solves: the number of solves. If it differs from the number of stages, as the candidates of a multi-start are
            solves too, the stages are unknown.

    Attributes:
        stages: name of each stage that was not skipped, and the number of iterations before it; empty if unknown.
    """

    def __init__(self, details: Mapping[str, Any], solves: int) -> None:
        stages = [stage for stage in details.get("stages") or () if isinstance(stage, dict) and stage.get("iterations")]
        before = accumulate((int(stage["iterations"]) for stage in stages), initial=0)
        found = [(str(stage.get("name", "")), count) for stage, count in zip(stages, before, strict=False)]
        self.stages = found if len(found) == solves else []
        self.solves, self.losses = solves, details.get("loss_history") or ()

    def loss(self, solve: int, iteration: int) -> float | None:
        """The loss at an iteration of a solve; None if it is unknown."""
        before = [count for _, count in self.stages] or ([0] if self.solves == 1 else [])
        place = before[solve - 1] + iteration - 1 if solve <= len(before) else -1
        return self.losses[place] if 0 <= place < len(self.losses) else None

    def lines(self, shot: Snapshot | SnapshotFile, loss: float | None) -> list[str]:
        """The text of a snapshot: its stage, if there are several, its iteration and its loss."""
        stage = self.stages[shot.solve - 1][0] if self.stages else f"solve {shot.solve} of {self.solves}"
        texts = [f"iteration {shot.iteration}", *([] if loss is None else [f"loss {loss:.3e}"])]
        return [stage, *texts] if self.solves > 1 else texts


def animate(result: Result, path: Path, seconds: float = 6.0) -> Path:
    """The file of `Result.animate`, with the same errors.

    Args:
        result: with snapshots.
        path: of the file.
        seconds: duration without the last frame.
    """
    if not result.snapshots:
        raise InputError(f"the result holds no snapshots to animate; solve again with {IN_PYTHON}")
    history = SolveHistory(result.details, max(one.solve for one in result.snapshots))
    chosen = evenly(result.snapshots, frame_count(seconds))
    frames = [snapshot_frame(one, result.has_kernel, history.lines(one, one.loss)) for one in chosen]
    return write_animation(path, frames, seconds)


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
    finished = folder / SUMMARY
    details = read_run_details(finished) if finished.exists() else {}
    history = SolveHistory(details, max(one.solve for one, _ in found))
    frames = []
    for one, kernel in evenly(found, frame_count(seconds)):
        lines = history.lines(one, history.loss(one.solve, one.iteration))
        frames.append(AnimationFrame(opened(one.image), opened(kernel), lines))
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


def snapshot_frame(shot: Snapshot, are_kernels: bool, lines: Sequence[str]) -> AnimationFrame:
    """The frame of a snapshot, of a batch the first image.

    Args:
        shot: the snapshot.
        are_kernels: whether ``shot.kernel`` holds kernels.
        lines: of text.
    """
    from .figures import drawable
    from .images import quantised
    from .kernels import kernel_picture, planes_picture
    from .layouts import channels_last

    picture, planes = channels_last(shot.image)[0], shot.kernel[0].double().numpy()
    shown = picture[..., 0] if picture.shape[-1] == 1 else drawable(picture)[..., :3]
    kernel = kernel_picture(planes[0]) if are_kernels else planes_picture(planes)
    return AnimationFrame(Image.fromarray(quantised(shown, 8)), Image.fromarray(kernel), lines)


def snapshots_in(folder: Path) -> list[SnapshotFile]:
    """The snapshots in a run's folder that have an image, in their order; of a batch the first."""
    found: dict[tuple[int, int], dict[bool, Path]] = {}
    place = folder / SNAPSHOT_FOLDER
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        named = SNAPSHOT_FILE.fullmatch(path.name)
        if named and named[4] in (None, "-1") and named[5] == "png":
            found.setdefault((int(named[1]), int(named[2])), {})[named[3] == "image"] = path
    return [SnapshotFile(*at, both[True], both.get(False)) for at, both in sorted(found.items()) if True in both]


def opened(path: Path) -> Image.Image:
    """An 8-bit image from a file, grey or RGB; raises as `decode`."""
    values = decode(path).values
    if values.dtype != np.uint8 or values.ndim not in (2, 3):
        raise InputError(f"{path} is no snapshot: it holds {values.dtype} values of shape {values.shape}")
    is_grey = values.ndim == 2 or values.shape[-1] < 3
    return Image.fromarray(np.atleast_3d(values)[..., 0] if is_grey else values[..., :3])


def write_animation(path: Path, frames: Sequence[AnimationFrame], seconds: float) -> Path:
    """Write the frames in the format of the path's suffix; raises `InputError`.

    Args:
        path: of the file; its folder is created.
        frames: at least one.
        seconds: duration without the last frame.
    """
    suffix, each = path.suffix.lower(), seconds / len(frames)
    if suffix not in (*PILLOW_OPTIONS, ".mp4"):
        raise InputError(f"{path} has no suffix of an animation; use one of {', '.join(PILLOW_OPTIONS)}, .mp4")
    pages = list(drawn_pages(frames))
    content = as_video(pages, each) if suffix == ".mp4" else as_pictures(pages, each, suffix)
    save_file(path, content)
    return path


def drawn_pages(frames: Sequence[AnimationFrame]) -> Iterator[Image.Image]:
    """All frames as pages of one size. Their sides are even, as video requires; grey images have grey pages."""
    load_matplotlib()
    from matplotlib import get_data_path
    from PIL import ImageFont

    width, height = shown_size(max((frame.image.size for frame in frames), key=max))
    least = KERNEL_SIDE + MARGIN + 3 * LINE_HEIGHT
    size = (width + KERNEL_SIDE + 3 * MARGIN + 1) // 2 * 2, (max(height, least) + 2 * MARGIN + 1) // 2 * 2
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), FONT_SIZE)
    for frame in frames:
        page = Image.new("L", size, BACKGROUND).convert(frame.image.mode)
        draw_images(page, frame, (width, height))
        draw_lines(page, frame.lines, (width + 2 * MARGIN, font))
        yield page


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which an image is shown: large ones are shrunk, small ones enlarged by a whole number."""
    longer = max(size)
    scale = IMAGE_SIDE_MAX / longer if longer > IMAGE_SIDE_MAX else float(max(1, -(-IMAGE_SIDE_MIN // longer)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def draw_images(page: Image.Image, frame: AnimationFrame, box: tuple[int, int]) -> None:
    """Draw the image at the left and the kernel at the right.

    Args:
        page: to draw on.
        frame: the content.
        box: width and height of the place for the image, pixels.
    """
    scale = min(box[0] / frame.image.width, box[1] / frame.image.height)
    size = round(frame.image.width * scale), round(frame.image.height * scale)
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    page.paste(frame.image.resize(size, resampling), (MARGIN, MARGIN))
    kernel = frame.kernel.copy()
    kernel.thumbnail((KERNEL_SIDE, KERNEL_SIDE), Image.Resampling.BOX)
    page.paste(kernel, (box[0] + 2 * MARGIN, MARGIN))


def draw_lines(page: Image.Image, lines: Sequence[str], place: tuple[int, FreeTypeFont]) -> None:
    """Draw the text below the kernel, cut to its width.

    Args:
        page: to draw on.
        lines: of the text.
        place: left end in pixels, and font.
    """
    from PIL import ImageDraw

    left, font = place
    pen, ink = ImageDraw.Draw(page), INK if page.mode == "L" else (INK,) * 3
    for number, line in enumerate(lines):
        shown, kept = line, len(line)
        while kept and font.getlength(shown) > KERNEL_SIDE:
            kept -= 1
            shown = f"{line[:kept]}…"
        pen.text((left, KERNEL_SIDE + 2 * MARGIN + number * LINE_HEIGHT), shown, fill=ink, font=font)


def as_pictures(pages: Sequence[Image.Image], frame_seconds: float, suffix: str) -> bytes:
    """The pages as an endless GIF or WebP. A GIF has one palette, so that no colour flickers.

    Args:
        pages: of one size.
        frame_seconds: duration of a page.
        suffix: of the format.
    """
    if suffix == ".gif":
        coloured = [page for page in pages if page.mode == "RGB"]
        palette = coloured[-1].quantize(256) if coloured else None
        pages = [page if page.mode == "L" else page.quantize(palette=palette) for page in pages]
    times = [max(20, round(1000 * frame_seconds))] * (len(pages) - 1)  # milliseconds; viewers slow down shorter times
    times.append(round(1000 * LAST_FRAME_SECONDS))
    buffer, options = BytesIO(), PILLOW_OPTIONS[suffix]
    pages[0].save(buffer, save_all=True, append_images=pages[1:], duration=times, loop=0, **options)
    return buffer.getvalue()


def as_video(pages: Sequence[Image.Image], frame_seconds: float) -> bytes:
    """MP4 with H.264, by FFmpeg; raises `InputError` if FFmpeg is not installed."""
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise InputError(
            "an .mp4 needs an encoder that is not installed; run pip install -e '.[video]' in the checkout of "
            "invkit, or write .webp or .gif"
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

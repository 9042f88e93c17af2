"""How image and kernel evolved, as a moving picture: both side by side, with iteration and loss."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..core.errors import InputError
from ..core.files import write_atomically

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

    from ..core.result import Result, Snapshot

__all__ = ["SUFFIXES", "Frame", "animate", "animate_folder"]

PACE = 25  # pictures a second, at most
HELD = 2.0  # seconds that the last picture stays
LARGEST, SMALLEST = 720, 320  # pixels: longer side of the image, larger ones are shrunk, smaller enlarged
PANEL = 200  # pixels, of the kernel
MARGIN, LINE = 16, 22  # pixels
LETTERS = 15
BACKGROUND, INK = 24, 225  # greys of the page and the words: no white page outshines the pictures
FILE = re.compile(r"(\d{2,})-(\d{5,})-(image|kernel|unknown)(-1)?\.png")  # as the observer 'snapshots' writes them
ASK = "observers=[invkit.Snapshots(every=10)]"
ASK_IN_SHELL = "--observe snapshots:every=10"


@dataclass(frozen=True)
class Frame:
    """One moment.

    Attributes:
        image: 8 bits, grey or RGB.
        kernel: 8 bits, grey, each weight a square.
        words: lines, as "iteration 100".
    """

    image: Image.Image
    kernel: Image.Image
    words: Sequence[str]


def animate(result: Result, path: Path, seconds: float = 6.0) -> Path:
    """The file of `Result.animate`; same errors."""
    if not result.snapshots:
        raise InputError(f"the result holds no snapshots to animate; solve again with {ASK}")
    names = stage_names(result.details, max(one.solve for one in result.snapshots))
    frames = [frame_of(one, names, result.has_kernel) for one in spread(result.snapshots, seconds)]
    return write_animation(path, frames, seconds)


def animate_folder(folder: Path, path: Path, seconds: float = 6.0) -> Path:
    """The same of the pictures that a run with ``--observe snapshots`` has left in its folder.

    Raises:
        InputError: there are none, or one cannot be read; else as `animate`.
    """
    moments = moments_of(folder)
    if not moments:
        raise InputError(f"{folder} holds no snapshots to animate; run again with {ASK_IN_SHELL} --overwrite")
    last = max(solve for solve, _ in moments)
    told = summary_of(folder)
    names, losses = stage_names(told, last), loss_finder(told, last)
    try:
        frames = [
            Frame(opened(image), opened(kernel), words_of(solve, iteration, losses(solve, iteration), names))
            for (solve, iteration), (image, kernel) in spread(sorted(moments.items()), seconds)
        ]
    except OSError as error:
        raise InputError(f"a snapshot in {folder} cannot be read ({error}); run again with {ASK_IN_SHELL}") from error
    return write_animation(path, frames, seconds)


def spread(moments: Sequence[Any], seconds: float) -> Sequence[Any]:
    """As many as can be seen in so many seconds, evenly, with the first and the last; raises `InputError`."""
    if not 0 < seconds < float("inf"):
        raise InputError(f"an animation must take a positive number of seconds, got {seconds!r}")
    places = np.linspace(0, len(moments) - 1, min(len(moments), max(2, round(PACE * seconds))))
    return [moments[round(place)] for place in places]


def frame_of(shot: Snapshot, names: Sequence[str], are_kernels: bool) -> Frame:
    """The pictures of a snapshot, of a batch the first."""
    from .encoding import quantised
    from .figures import drawable
    from .kernels import kernel_picture, planes_picture
    from .layouts import channels_last

    picture, planes = channels_last(shot.image)[0], shot.kernel[0].double().numpy()
    shown = picture[..., 0] if picture.shape[-1] == 1 else drawable(picture)[..., :3]
    kernel = kernel_picture(planes[0]) if are_kernels else planes_picture(planes)
    words = words_of(shot.solve, shot.iteration, shot.loss, names)
    return Frame(Image.fromarray(quantised(shown, 8)), Image.fromarray(kernel), words)


def words_of(solve: int, iteration: int, loss: float | None, names: Sequence[str]) -> list[str]:
    """What is said of a moment."""
    stage = [names[solve - 1]] if len(names) > 1 else []
    return [*stage, f"iteration {iteration}", *([] if loss is None else [f"loss {loss:.3e}"])]


def done_stages(details: Any, solves: int) -> list[Any]:
    """What a result's details say of each solve; nothing where they are not of as many, as of several starts."""
    stages = [stage for stage in details.get("stages", ()) if stage.get("iterations")]
    return stages if len(stages) == solves else []


def stage_names(details: Any, solves: int) -> list[str]:
    """The names of so many solves, or their numbers."""
    told = done_stages(details, solves)
    return [str(stage.get("name")) for stage in told] or [f"solve {number + 1} of {solves}" for number in range(solves)]


def loss_finder(told: Any, solves: int) -> Callable[[int, int], float | None]:
    """The loss of a solve's iteration, told from the history of them all; None where that is of others."""
    history = told.get("loss_history", ())
    lengths = [stage["iterations"] for stage in done_stages(told, solves)]
    begins = [0, *accumulate(lengths)] if lengths else [0] if solves == 1 else []

    def loss(solve: int, iteration: int) -> float | None:
        place = begins[solve - 1] + iteration - 1 if solve <= len(begins) else -1
        return history[place] if 0 <= place < len(history) else None

    return loss


def summary_of(folder: Path) -> Any:
    """What a run's result.json holds; nothing where it cannot be read, as of a run that is not finished."""
    try:
        told = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def moments_of(folder: Path) -> dict[tuple[int, int], tuple[Path, Path]]:
    """(solve, iteration) -> the files of image and kernel, where both are there; of a batch the first."""
    found: dict[tuple[int, int], dict[bool, Path]] = {}
    place = folder / "snapshots"
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        named = FILE.fullmatch(path.name)
        if named:
            found.setdefault((int(named[1]), int(named[2])), {})[named[3] == "image"] = path
    return {moment: (both[True], both[False]) for moment, both in found.items() if len(both) == 2}


def opened(path: Path) -> Image.Image:
    """An 8-bit picture from a file, grey or RGB; raises `OSError`."""
    with Image.open(path) as picture:
        return picture.convert("L" if picture.mode in ("1", "L", "LA", "I;16", "I") else "RGB")


def write_animation(path: Path, frames: Sequence[Frame], seconds: float) -> Path:
    """The frames as a file of the path's format; raises `InputError`."""
    encode = SUFFIXES.get(path.suffix.lower())
    if encode is None:
        raise InputError(f"{path} has no suffix of an animation; use one of {', '.join(SUFFIXES)}")
    content = encode(list(drawn(frames)), seconds / len(frames))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    return path


def drawn(frames: Sequence[Frame]) -> Iterator[Image.Image]:
    """All frames on pages of one size, with even sides, as video asks for; grey ones on grey pages."""
    width, height = fitted(max((frame.image.size for frame in frames), key=max))
    least = PANEL + MARGIN + 3 * LINE
    page = (width + PANEL + 3 * MARGIN + 1) // 2 * 2, (max(height, least) + 2 * MARGIN + 1) // 2 * 2
    font = letters()
    for frame in frames:
        yield drawn_frame(frame, Image.new("L", page, BACKGROUND).convert(frame.image.mode), (width, height), font)


def fitted(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which an image is shown: a large one shrunk, a small one enlarged a whole number of times."""
    longer = max(size)
    scale = LARGEST / longer if longer > LARGEST else float(max(1, -(-SMALLEST // longer)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def drawn_frame(frame: Frame, page: Image.Image, box: tuple[int, int], font: FreeTypeFont) -> Image.Image:
    """The page with the image at the left, the kernel at the right and the words under it."""
    from PIL import ImageDraw

    within = min(box[0] / frame.image.width, box[1] / frame.image.height)
    size = round(frame.image.width * within), round(frame.image.height * within)
    how = Image.Resampling.NEAREST if within >= 1 else Image.Resampling.LANCZOS
    page.paste(frame.image.resize(size, how), (MARGIN, MARGIN))
    kernel, left = frame.kernel.copy(), box[0] + 2 * MARGIN
    kernel.thumbnail((PANEL, PANEL), Image.Resampling.BOX)
    page.paste(kernel, (left, MARGIN))
    pen, ink = ImageDraw.Draw(page), INK if page.mode == "L" else (INK,) * 3
    for number, line in enumerate(frame.words):
        pen.text((left, MARGIN + PANEL + MARGIN + number * LINE), shortened(line, font), fill=ink, font=font)
    return page


def shortened(line: str, font: FreeTypeFont) -> str:
    """A line that is no wider than the kernel."""
    kept = len(line)
    while kept and font.getlength(line[:kept] + "…" * (kept < len(line))) > PANEL:
        kept -= 1
    return line[:kept] + "…" * (kept < len(line))


def letters() -> FreeTypeFont:
    """The font that comes with Matplotlib, as in the figures."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), LETTERS)


def as_gif(pages: Sequence[Image.Image], each: float) -> bytes:
    """GIF, whose colours are those of the last page in colour: one palette, so that nothing flickers."""
    coloured = [page for page in pages if page.mode == "RGB"]
    palette = coloured[-1].quantize(256) if coloured else None
    return by_pillow([page if page.mode == "L" else page.quantize(palette=palette) for page in pages], each, "GIF")


def as_webp(pages: Sequence[Image.Image], each: float) -> bytes:
    """WebP, in full colour and a tenth of the size."""
    return by_pillow(pages, each, "WEBP", quality=85, method=4)


def by_pillow(pages: Sequence[Image.Image], each: float, kind: str, **options: int) -> bytes:
    """What Pillow writes of the pages, endlessly repeated."""
    times = [max(20, round(1000 * each))] * (len(pages) - 1)  # milliseconds; viewers slow down what is quicker
    buffer = BytesIO()
    duration, others = [*times, round(1000 * HELD)], pages[1:]
    pages[0].save(buffer, format=kind, save_all=True, append_images=others, duration=duration, loop=0, **options)
    return buffer.getvalue()


def as_video(pages: Sequence[Image.Image], each: float) -> bytes:
    """MP4 of H.264, by FFmpeg; raises `InputError` where that is not installed."""
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise InputError(
            "an .mp4 needs an encoder that is not installed; 'pip install invkit[video]', or write .webp or .gif"
        ) from error
    pace = min(PACE, 1 / each)
    shown = [*pages, *[pages[-1]] * round(HELD * pace)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "animation.mp4"
        writer = write_frames(str(path), pages[0].size, fps=pace, codec="libx264", macro_block_size=2, quality=8)
        writer.send(None)
        for page in shown:
            writer.send(np.ascontiguousarray(page.convert("RGB")))
        writer.close()
        return path.read_bytes()


Encoder = Callable[[Sequence[Image.Image], float], bytes]
SUFFIXES: dict[str, Encoder] = {
    ".gif": as_gif,
    ".webp": as_webp,
    ".mp4": as_video,
}
"""The formats, by the suffixes of their files."""

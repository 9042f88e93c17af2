"""Moving pictures of how image and kernel evolved."""

from __future__ import annotations

import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from typer.testing import CliRunner

import invkit
from invkit import Problem, Result, Snapshots, Term
from invkit.apps.cli.main import app
from invkit.core.errors import InputError
from invkit.core.result import Snapshot
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.media import animation
from invkit.media.animation import SolveHistory, animate_folder, evenly, frame_count, shown_size, snapshots_in
from invkit.media.snapshot_files import SnapshotFiles
from invkit.operators.convolution import Convolution
from invkit.recipes.model import parse_recipe
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import JointAdam

CHAIN = """
name = "first"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 3, milestones = []}}
[next]
name = "second"
image_prior = "pixels"
kernel_prior = "known"
solver = {name = "joint-adam", params = {iterations = 2, milestones = []}}
"""


def huge_png() -> bytes:
    """A file of 100,000 x 100,000 pixels, of which none is there."""
    head = b"IHDR" + 2 * (100_000).to_bytes(4, "big") + b"\x08\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + zlib.crc32(head).to_bytes(4, "big") + b"\0\0\0\0IEND\xaeB`\x82"


def problem() -> Problem:
    data = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    parts = Convolution(), Pixels((1, 1, 14, 14), data), SimplexKernel((1, 1, 3, 3)), MSE()
    return Problem(data, *parts, [Term(TotalVariation(), 0.01)])


@pytest.fixture(scope="module")
def solved() -> Result:
    return JointAdam(iterations=5).solve(problem(), observers=[Snapshots(every=2)])


def frames(path: Path) -> list[tuple[Image.Image, int]]:
    with Image.open(path) as picture:
        return [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(picture)]


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_every_snapshot_is_a_frame_and_the_last_stays(solved: Result, tmp_path: Path, suffix: str) -> None:
    path = solved.animate(tmp_path / "new" / f"evolution.{suffix}", seconds=0.9)
    shown = frames(path)
    assert len(shown) == len(solved.snapshots) == 3
    assert [time for _, time in shown] == [300, 300, 2000]
    assert all(side % 2 == 0 for side in shown[0][0].size)


def test_a_frame_holds_the_image_as_it_stood(solved: Result, tmp_path: Path) -> None:
    pages = [np.asarray(page)[..., 0] for page, _ in frames(solved.animate(tmp_path / "evolution.gif"))]
    factor = shown_size((14, 14))[0] // 14
    middle = slice(animation.MARGIN + factor // 2, animation.MARGIN + 14 * factor, factor)
    for page, shot in zip(pages, solved.snapshots, strict=True):
        expected = 255 * shot.image[0, 0].numpy()
        np.testing.assert_allclose(page[middle, middle], expected, atol=0.5 + 1e-3)  # rounded to 8 bits, no more
    words = slice(2 * animation.MARGIN + animation.KERNEL_SIDE, None), slice(2 * animation.MARGIN + 14 * factor, None)
    assert not np.array_equal(pages[0][words], pages[1][words])  # iteration and loss


def test_a_recipe_of_several_stages_is_one_animation(tmp_path: Path) -> None:
    blurry = np.random.default_rng(0).uniform(0.1, 0.9, (30, 34, 3)).astype(np.float32)
    recipe = parse_recipe(CHAIN)
    shots = [Snapshots(every=2)]
    result = invkit.deblur(blurry, recipe=recipe, kernel_size=3, observers=shots, progress=False)
    assert [(one.solve, one.iteration) for one in result.snapshots] == [(1, 2), (1, 3), (2, 2)]
    assert [one.loss for one in result.snapshots] == [result.history[i] for i in (1, 2, 4)]
    assert [name for name, _ in SolveHistory(result.details, 2).stages] == ["first", "second"]
    assert len(frames(result.animate(tmp_path / "chain.gif"))) == 3


def test_snapshots_in_files_have_kernels_in_full_precision_beside_their_pictures(tmp_path: Path) -> None:
    blurry = np.random.default_rng(0).uniform(0.1, 0.9, (30, 34)).astype(np.float32)
    shots, files = Snapshots(every=2), SnapshotFiles(tmp_path, every=2)
    result = invkit.deblur(blurry, recipe=parse_recipe(CHAIN), kernel_size=3, observers=[shots, files], progress=False)
    assert len(result.snapshots) == 3
    for one in result.snapshots:
        stem = tmp_path / "snapshots" / f"{one.solve:02}-{one.iteration:05}-kernel"
        kernel = np.load(stem.with_suffix(".npy"))
        assert kernel.dtype == np.float64
        assert (kernel == one.kernel[0, 0].double().numpy()).all()
        assert stem.with_suffix(".png").is_file()
    assert len(snapshots_in(tmp_path)) == 3  # numbers are no frames
    invkit.deblur(blurry, recipe="wiener", overrides=["kernel_prior=simplex"], kernel_size=3, progress=False,
                  observers=[SnapshotFiles(tmp_path, every=1)])  # fmt: skip
    assert {path.name[:8] for path in (tmp_path / "snapshots").iterdir()} == {"01-00001"}  # older files are removed


def test_colour_batches_and_other_unknowns_are_drawn(tmp_path: Path) -> None:
    shots = tuple(
        Snapshot(1, number, float("nan"), torch.rand(2, channels, 9, 8), torch.randn(2, 3, 4, 5))
        for number, channels in ((1, 3), (2, 5), (3, 1))
    )
    result = Result(torch.rand(2, 3, 9, 8), torch.rand(2, 3, 4, 5), (), "finished", 3, 0.0, has_kernel=False)
    assert len(frames(replace(result, snapshots=shots).animate(tmp_path / "mixed.gif"))) == 3


@given(st.integers(1, 400), st.floats(0.05, 30))
def test_frames_are_spread_evenly_with_both_ends(count: int, seconds: float) -> None:
    kept = evenly(range(count), frame_count(seconds))
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) == len(set(kept)) <= max(2, round(animation.MAX_FRAME_RATE * seconds))
    steps = np.diff(kept)
    assert not steps.size or steps.max() - steps.min() <= 1


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_an_image_is_shown_at_a_size_for_screens(width: int, height: int) -> None:
    shown = shown_size((width, height))
    assert max(shown) <= max(animation.IMAGE_SIDE_MAX, 2 * animation.IMAGE_SIDE_MIN)
    assert max(shown) >= animation.IMAGE_SIDE_MIN
    assert abs(shown[0] * height - shown[1] * width) <= max(width, height)  # the aspect, within a pixel


def test_what_cannot_be_animated_is_refused_with_what_to_do(
    solved: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"observers=\[invkit\.Snapshots"):
        replace(solved, snapshots=()).animate(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"use one of \.gif, \.webp, \.mp4"):
        solved.animate(tmp_path / "a.avi")
    with pytest.raises(InputError, match="positive number of seconds"):
        solved.animate(tmp_path / "a.gif", seconds=0)
    with pytest.raises(InputError, match="--observe snapshots"):
        animate_folder(tmp_path, tmp_path / "a.gif")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"'\.\[video\]'"):
        solved.animate(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_video_is_written_where_its_encoder_is_installed(solved: Result, tmp_path: Path) -> None:
    encoder = pytest.importorskip("imageio_ffmpeg", reason="pip install -e '.[video]'")
    path = solved.animate(tmp_path / "evolution.mp4", seconds=0.6)
    count, seconds = encoder.count_frames_and_secs(str(path))
    assert count == 3 + round(2.0 * 5)  # three of .2 s, and the last again for two seconds
    assert seconds == pytest.approx(count / 5, rel=0.1)


def test_the_folder_of_a_run_gives_the_same_moments(tmp_path: Path) -> None:
    watchers = [Snapshots(every=2), SnapshotFiles(tmp_path, every=2)]
    result = JointAdam(iterations=5).solve(problem(), observers=watchers)
    result.save(tmp_path)
    assert [(one.solve, one.iteration) for one in snapshots_in(tmp_path)] == [
        (one.solve, one.iteration) for one in result.snapshots
    ]
    loss = SolveHistory(json.loads((tmp_path / "result.json").read_text()), 1).loss
    assert [loss(one.solve, one.iteration) for one in result.snapshots] == [one.loss for one in result.snapshots]
    output = tmp_path / "evolution.gif"
    done = CliRunner().invoke(app, ["animate", str(tmp_path), "--output", str(output)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "evolution.gif" in done.output
    direct = result.animate(tmp_path / "direct.gif")
    for (one, _), (other, _) in zip(frames(output), frames(direct), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_a_run_that_is_not_finished_is_animated_without_losses(tmp_path: Path) -> None:
    JointAdam(iterations=5).solve(problem(), observers=[SnapshotFiles(tmp_path, every=2)])
    assert len(frames(animate_folder(tmp_path, tmp_path / "evolution.gif"))) == 3


def test_losses_are_told_only_where_stages_and_solves_agree() -> None:
    told = {"stages": [{"name": "a", "iterations": 2}, {"name": "b", "iterations": 0}], "loss_history": [1.0, 0.5]}
    assert SolveHistory(told, 1).loss(1, 2) == 0.5
    assert SolveHistory(told, 3).loss(1, 2) is None  # candidates were solved too, and the history is not theirs
    shot = Snapshot(2, 5, 0.5, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1))
    assert SolveHistory(told, 3).lines(shot, 0.5) == ["solve 2 of 3", "iteration 5", "loss 5.000e-01"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "image.png is not an image"),
        (b"BM" + bytes(24) + b"\0\0\0\7", "truncated or damaged"),
        (huge_png(), "more than the .* pixels that invkit reads"),
    ],
)
def test_a_damaged_snapshot_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    JointAdam(iterations=2).solve(problem(), observers=[SnapshotFiles(tmp_path, every=2)])
    next(Path(tmp_path / "snapshots").glob("*image.png")).write_bytes(content)
    with pytest.raises(InputError, match=words):
        animate_folder(tmp_path, tmp_path / "evolution.gif")

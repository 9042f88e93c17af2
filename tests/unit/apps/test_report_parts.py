"""Pictures, kernels and curves of a report."""

from __future__ import annotations

import base64
import math
import re
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrow import known
from PIL import Image
from report_folders import noise

from invkit.apps.report.cases import kernel_row, parameter_row
from invkit.apps.report.charts import CHART_HEIGHT, CHART_WIDTH, MAX_LINE_POINTS, Series, line_chart, ratio_chart
from invkit.apps.report.pictures import LADDER, EmbeddedPicture, Picture, embed, picture_of, picture_of_file
from invkit.media.animation import evenly
from invkit.media.images import encode_png

numbers = st.floats(-1e30, 1e30) | st.just(math.nan) | st.just(math.inf)


def content_of(embedded: EmbeddedPicture | None) -> bytes:
    return base64.b64decode(known(embedded).uri.partition(",")[2])


def opened(embedded: EmbeddedPicture | None) -> Image.Image:
    return Image.open(BytesIO(content_of(embedded)))


def alone(picture: Picture | None, megabytes: float = 15.0) -> Image.Image:
    return opened(embed([known(picture)], megabytes).get(picture))


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 4)])
def test_eight_bits_are_kept_as_they_are(shape: tuple[int, ...]) -> None:
    values = noise(shape)
    assert np.array_equal(np.asarray(alone(picture_of(values))), values[..., 0] if shape[-1] == 1 else values)


@pytest.mark.parametrize(
    "values", [np.array([[0, 1.0]]), np.array([[0, 65535]], dtype=np.uint16), np.array([[-3, 7.0]]), [[math.nan, 2]]]
)
def test_other_depths_are_scaled_and_clipped(values: np.ndarray | list[list[float]]) -> None:
    assert np.asarray(alone(picture_of(np.asarray(values)))).tolist() == [[0, 255]]


def test_more_than_four_channels_are_averaged() -> None:
    values = noise((6, 5, 7)) / 255
    found = np.asarray(alone(picture_of(values)), dtype=float)
    assert np.abs(found - 255 * values.mean(-1)).max() <= 0.51  # rounded to whole numbers


def test_a_file_of_eight_bits_goes_in_unchanged_and_one_of_sixteen_is_rounded(tmp_path: Path) -> None:
    content = encode_png(noise())
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(encode_png(noise().astype(np.uint16) * 257))
    first, second = (picture_of_file(tmp_path / name) for name in ("a.png", "b.png"))
    album = embed([first, second], 15)
    assert content_of(album.get(first)) == content
    assert np.array_equal(np.asarray(opened(album.get(second))), noise())


@pytest.mark.parametrize("content", [b"", b"not a picture", encode_png(noise())[:100]])
def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    picture = picture_of_file(tmp_path / "a.png")
    assert embed([picture, picture_of_file(tmp_path / "none.png")], 15).get(picture) is None


def test_pictures_lose_detail_until_they_fit() -> None:
    pictures = [picture_of(noise((300, 300), seed)) for seed in range(8)]  # 8 x 90 kB, which no PNG makes smaller
    whole, tight = embed(pictures, 2), embed(pictures, 0.6)
    assert not whole.reduced
    assert whole.level.startswith("PNG lossless")
    assert tight.reduced
    assert sum(len(one.uri) for one in tight.pictures.values()) <= 0.9 * 0.6e6
    assert all(opened(one).format == "WEBP" for one in tight.pictures.values())


def test_where_no_level_fits_the_last_is_taken() -> None:
    pictures = [picture_of(noise((400, 300), seed)) for seed in range(3)]
    album = embed(pictures, 0.001)
    assert {max(one.width, one.height) for one in album.pictures.values()} == {LADDER[-1].side}


def test_each_picture_is_read_once_for_the_page_and_what_is_a_few_pixels_large_stays_exact() -> None:
    small, asked = noise((5, 5)), []
    kernel = picture_of(small, "exact")
    other = Picture(lambda: asked.append(1))
    album = embed([kernel, kernel, other], 0.0001)
    assert np.array_equal(np.asarray(opened(album.get(kernel))), small)
    assert album.get(other) is None
    assert album.get(None) is None


def test_kernels_are_on_one_scale_and_at_one_size() -> None:
    flat, peaked = np.full((5, 5), 0.04), np.zeros((9, 9))
    peaked[4, 4], peaked[4, 5] = 0.5, 0.25
    row = known(kernel_row({"flat": flat, "peaked": peaked}))
    first, second = (np.asarray(alone(tile.picture)) for tile in row.tiles)
    assert (row.low, row.high) == (0, 0.5)
    assert first.max() == round(255 * 0.04 / 0.5)
    assert second.max() == 255
    assert first.shape == second.shape
    assert [tile.size for tile in row.tiles] == ["5 × 5", "9 × 9"]  # noqa: RUF001


def test_kernels_of_zero_and_of_a_batch_are_shown_too() -> None:
    row = known(kernel_row({"zero": np.zeros((4, 6)), "batch": np.full((3, 5, 5), 0.04)}))
    assert row.tiles[1].size == "3 of 5 × 5"  # noqa: RUF001
    assert kernel_row({}) is None


@pytest.mark.parametrize("planes", [np.zeros((3, 4)), np.linspace(-2, 2, 60).reshape(3, 4, 5)])
def test_other_unknowns_run_from_their_least_to_their_largest(planes: np.ndarray) -> None:
    row = known(parameter_row("a", planes))
    assert (row.low, row.high) == (planes.min(), planes.max())


def places(svg: str) -> list[tuple[float, float]]:
    """The coordinates of all paths of a chart, pairs of numbers."""
    paths = " ".join(re.findall(r' d="([^"]*)"', svg))
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", paths)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), numbers), max_size=30), st.booleans())
def test_whatever_is_drawn_is_within_the_drawing(points: list[tuple[float, float]], log: bool) -> None:
    made = line_chart("t", ("x", "y"), [Series("s", 0, points)], log=log)
    assert (made is None) == (not any(map(math.isfinite, (y for _, y in points))))
    if made is not None:
        assert all(0 <= x <= CHART_WIDTH and 0 <= y <= CHART_HEIGHT for x, y in places(made.svg))


def test_a_chart_takes_colours_and_dashes_from_the_page_and_needs_no_ids() -> None:
    made = known(line_chart("t", ("x", "y"), [Series("s", 8, [(1, 2.0), (2, 3.0)])]))
    assert 'class="c1 d1"' in made.svg
    assert "currentColor" in made.svg
    assert not re.search(r"#[0-9a-f]{6}| id=|url\(|font|clip", made.svg)


def test_names_in_charts_are_text_whatever_they_hold() -> None:
    rules = [(1.5, "$x^{$ <script>&")]
    made = known(line_chart("t", ("<b>", "$y"), [Series("s", 0, [(1, 2.0), (2, 3.0)])], rules=rules))
    assert {"$x^{$ &lt;script&gt;&amp;", "&lt;b&gt;", "$y"} <= set(texts(made.svg))


def test_a_logarithmic_axis_has_powers_of_ten_even_within_a_decade() -> None:
    made = known(line_chart("t", ("x", "y"), [Series("s", 0, [(0, 0.2), (10, 0.3)])], log=True))
    assert "0.1" in texts(made.svg)
    linear = known(line_chart("t", ("x", "y"), [Series("s", 0, [(0, -0.2), (10, 0.3)])], log=True))
    assert "0.0" in texts(linear.svg)


def test_a_line_of_many_points_keeps_its_ends() -> None:
    assert evenly(range(1000), MAX_LINE_POINTS)[::159] == [0, 999]
    assert len(evenly(range(1000), MAX_LINE_POINTS)) == MAX_LINE_POINTS
    assert evenly([1, 2], 5) == [1, 2]


def test_a_cumulative_line_rises_in_steps_and_is_told_in_words() -> None:
    made = known(ratio_chart("t", "error-ratio", [Series("one", 0, [(1, 25), (1.5, 50), (6, 50)])]))
    line = known(re.search(r'class="c0 d0"><path[^>]* d="([^"]*)"', made.svg))[1]
    points = places(f' d="{line}"')
    assert all(x == other_x or y == other_y for (x, y), (other_x, other_y) in pairwise(points))
    assert "one: 50% at 2, 50% at 3." in made.about
    assert ratio_chart("t", "r", []) is None

"""The calibration set: its kernels, its blur, its splits, and that a case depends on its seed and index only."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import make
import numpy as np
import pytest
from blur_kernels import CHOOSE, FAINTEST, REPORT, Array, centred, support_size
from blurry_cases import (
    GAMMA,
    KERNELS,
    LARGEST_KERNEL,
    SHARES,
    Case,
    as_jpeg,
    dealt,
    drawn_case,
    encoded,
    exposed,
    inner,
    noisy,
    rendered,
    smaller,
    turning_blur,
    valid_blur,
)
from photographs import Photograph, table
from PIL import Image
from scipy.signal import convolve2d

PICTURE = np.random.default_rng(1).random((260, 300, 3))
FAMILIES = {**CHOOSE, **REPORT}


def same(a: Case, b: Case) -> bool:
    first, second = rendered(a, PICTURE), rendered(b, PICTURE)
    pairs = ((first.blurry, second.blurry), (first.sharp, second.sharp), (first.kernel, second.kernel))
    return a == b and all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [5, 12, 31, 81])
def test_a_kernel_is_one(family: str, size: int) -> None:
    kernel = FAMILIES[family](np.random.default_rng(size), size)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-9)
    assert all(side % 2 for side in kernel.shape)
    # A motion behind an aperture of three pixels is at least six pixels wide; a pentagon is narrower than its circle.
    assert size * 0.95 - 3 <= max(support_size(kernel)) <= max(size, 6)
    rows, columns = (np.arange(side) - side // 2 for side in kernel.shape)
    assert abs((kernel.sum(axis=1) * rows).sum()) <= 0.5 + 1e-9
    assert abs((kernel.sum(axis=0) * columns).sum()) <= 0.5 + 1e-9


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kernel_has_no_empty_border_and_no_faint_tail(family: str) -> None:
    kernel = FAMILIES[family](np.random.default_rng(3), 25)
    assert kernel[0].any() or kernel[-1].any()
    assert kernel[:, 0].any() or kernel[:, -1].any()
    assert kernel[kernel > 0].min() >= FAINTEST * kernel.max()


def test_a_kernel_is_centred_on_its_mass() -> None:
    lopsided = np.array([[0, 0.9, 0, 0.1]])
    np.testing.assert_array_equal(centred(lopsided), [[0, 0, 0.9, 0, 0.1]])


@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_blur_is_a_true_valid_convolution(channels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    scene, kernel = rng.random((12, 15, *channels)), rng.random((5, 3))
    blurred = valid_blur(scene, kernel)
    planes = scene.reshape(12, 15, -1)
    expected = [convolve2d(planes[..., c], kernel, mode="valid") for c in range(planes.shape[2])]
    np.testing.assert_allclose(blurred.reshape(8, 13, -1), np.stack(expected, axis=-1), atol=1e-12)


def test_a_delta_blurs_the_scene_into_the_frame_of_the_truth() -> None:
    scene, delta = np.random.default_rng(0).random((11, 13)), np.zeros((5, 7))
    delta[2, 3] = 1
    np.testing.assert_allclose(valid_blur(scene, delta), inner(scene, delta.shape), atol=1e-12)


def test_a_turning_camera_sees_its_kernel_at_the_centre_and_others_at_the_corners() -> None:
    kernel = np.zeros((9, 9))
    kernel[2, 3:7], kernel[3:7, 6] = 0.1, 0.15
    points = np.zeros((109, 109))
    points[54, 54] = points[12, 12] = 1
    blurred = turning_blur(points, kernel, 3.0, np.random.default_rng(0))
    plain = valid_blur(points, kernel)
    assert blurred.sum() == pytest.approx(2, abs=0.02)
    near, far = (slice(45, 56),) * 2, (slice(0, 22),) * 2
    assert np.abs(blurred[near] - plain[near]).max() < 0.02
    assert np.abs(blurred[far] - plain[far]).max() > 0.05
    np.testing.assert_array_equal(turning_blur(points, kernel, 0.0, np.random.default_rng(0)), plain)


@pytest.mark.parametrize("split", SHARES)
def test_the_pictures_of_a_case_belong_together(split: str) -> None:
    photographs = table()
    cases = [drawn_case(split, index, 0, photographs) for index in range(12)]
    assert 0 < sum(case.turn > 0 for case in cases) < 12
    for case in cases:
        made = rendered(case, PICTURE)
        assert made.blurry.shape == made.sharp.shape
        assert made.blurry.ndim == (3 if case.colour else 2)
        assert made.kernel_size <= LARGEST_KERNEL * min(made.blurry.shape[:2])
        assert made.kernel_size == 1 if case.family == "none" else KERNELS[0] <= made.kernel_size <= KERNELS[1] + 1
        if case.gamma == 1 and not case.saturated and not case.turn:
            expected = valid_blur(made.sharp / 255, np.asarray(made.kernel, dtype=float))
            error = inner(made.blurry / 255, made.kernel.shape) - expected
            assert np.sqrt((error**2).mean()) <= case.sigma + 1 / 255


def test_a_case_depends_on_its_seed_and_index_only() -> None:
    photographs = table()
    few, more = make.planned(9, 0), make.planned(30, 0)
    assert more[:9] == few
    assert same(few[4], drawn_case("choose", 3, 0, photographs))
    assert not same(few[4], drawn_case("choose", 3, 1, photographs))
    assert len({case.id for case in more}) == 30


def test_splits_share_neither_photographs_nor_families() -> None:
    assert not set(CHOOSE) & set(REPORT)
    cases = make.planned(120, 0)
    for split, families in (("choose", CHOOSE), ("report", REPORT)):
        mine = [case for case in cases if case.split == split]
        assert {case.photograph.split for case in mine} == {split}
        assert {case.family for case in mine} - {"none"} == set(families)


def test_the_first_cases_of_a_split_are_a_balanced_sample() -> None:
    for split, shares in SHARES.items():
        families = [dealt(shares, index) for index in range(50)]
        for family, share in shares.items():
            for count in (10, 25, 50):
                assert abs(families[:count].count(family) - share * count / 25) <= 1
        cases = [drawn_case(split, index, 0, table()) for index in range(30)]
        available = sum(photograph.split == split for photograph in table())
        assert len({case.photograph.name for case in cases}) == min(30, available)
        assert len({case.photograph.kind for case in cases[:10]}) >= 6
        assert 6 <= sum(case.colour for case in cases) <= 14
        assert 6 <= sum(case.jpeg is not None for case in cases) <= 14


def test_the_exposure_is_raised_until_a_share_is_beyond_white() -> None:
    light = np.random.default_rng(0).random((60, 70)) * 0.5
    raised, share = exposed(light, (5, 5), 0.02)
    assert share == pytest.approx(0.02, abs=0.001)
    assert (inner(raised, (5, 5)) > 1).mean() == pytest.approx(share)
    assert exposed(np.ones((20, 20)), (3, 3), 0.02)[1] == 0


def test_noise_of_photons_is_weaker_in_the_dark() -> None:
    light = np.repeat([[0.04, 1.0]], 20000, axis=0)
    noise = noisy(light, 0.02, "poisson", np.random.default_rng(0)) - light
    np.testing.assert_allclose(noise.std(axis=0), [0.004, 0.02], rtol=0.03)


def test_the_encoding_and_the_reduction_are_those_of_a_camera() -> None:
    np.testing.assert_array_equal(encoded(np.array([-1, 0.5**GAMMA, 2]), GAMMA), [0, 128, 255])
    np.testing.assert_array_equal(smaller(np.arange(15.0).reshape(3, 5), 2), [[3, 5]])
    with Image.open(io.BytesIO(as_jpeg(np.full((9, 8), 77, dtype=np.uint8), 90))) as image:
        assert (image.format, image.size) == ("JPEG", (8, 9))


def test_the_table_names_a_licence_and_a_checked_source_for_each_photograph() -> None:
    photographs = table()
    assert len({photograph.name for photograph in photographs}) == len(photographs) >= 66
    unseen = [photograph for photograph in photographs if not photograph.name.startswith("kodak_")]
    assert 0.28 < sum(photograph.split == "report" for photograph in unseen) / len(unseen) < 0.38
    assert {photograph.split for photograph in photographs if photograph not in unseen} == {"choose"}
    for photograph in photographs:
        assert len(photograph.sha256) == 64
        assert photograph.licence
        assert photograph.author
        assert photograph.url.startswith(("https://raw.githubusercontent.com/", "package:"))
    kinds = {photograph.kind for photograph in photographs}
    assert all({p.split for p in photographs if p.kind == kind} == set(SHARES) for kind in kinds)


def test_a_photograph_of_a_package_is_read_and_checked() -> None:
    brick = next(photograph for photograph in table() if photograph.name == "brick.png")
    assert brick.read(Path("unused")).shape == (512, 512, 3)
    with pytest.raises(ValueError, match="is not the photograph"):
        Photograph("x", "k", "choose", brick.url, "0" * 64, "CC0", "a", 0, 1).file(Path("unused"))
    with pytest.raises(FileNotFoundError, match="'no_such_package', which is not installed"):
        Photograph("x", "k", "choose", "package:no_such_package/a.png", "0", "CC0", "a", 0, 1).file(Path("unused"))


def test_files_and_their_table_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(photograph: Photograph, folder: Path) -> Array:
        return PICTURE

    monkeypatch.setattr(Photograph, "read", read)
    make.main(tmp_path, cases=6, seed=0, photographs=tmp_path)
    with (tmp_path / "cases.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["split"] for row in rows] == list(make.ROUND) * 2
    for row in rows:
        stem = tmp_path / row["split"] / row["id"]
        blurry = stem.with_name(f"{row['id']}_blurry{'.jpg' if row['jpeg'] else '.png'}")
        with Image.open(blurry) as image, Image.open(stem.with_name(f"{row['id']}_sharp.png")) as sharp:
            assert image.size == sharp.size == (int(row["width"]), int(row["height"]))
        kernel = np.load(stem.with_name(f"{row['id']}_kernel.npy"))
        assert kernel.dtype == np.float32
        assert kernel.sum(dtype=float) == pytest.approx(1, abs=1e-5)

"""Metrics as components: known values, what they need, and one alignment for all of a trial."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from narrow import known
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invkit.core.errors import InputError
from invkit.core.evaluation import Metric, Sample, Trial
from invkit.metrics import align, aligned
from invkit.metrics.aligned import AlignedPSNR, AlignedSSIM, ErrorRatio
from invkit.metrics.cost import CPUSeconds, PeakMemory, Seconds
from invkit.metrics.kernel_similarity import KernelSimilarity, kernel_similarity
from invkit.metrics.plain import PlainPSNR, PlainSSIM, planes_of
from invkit.numerics.similarity import downsample_for_ssim

MATLAB_GAIN = 20 * np.log10(255 / 219)  # 1.32 dB
ON_THE_SPOT: dict[str, Any] = {"border": 0, "max_shift": 0}


def trial(
    image: np.ndarray,
    truth: np.ndarray | None = None,
    kernel: np.ndarray | None = None,
    true_kernel: np.ndarray | None = None,
    reference: np.ndarray | None = None,
) -> Trial:
    references = {} if reference is None else {"known-kernel": reference}
    return Trial(Sample(image, truth, true_kernel, references), image, kernel, 2.5, 4.0, 3_000_000)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = 0.2 + 0.6 * rng.random((48, 50, 3))
    return truth + 0.1 * rng.standard_normal(truth.shape), truth


def test_cost_is_what_the_trial_says() -> None:
    made = trial(np.zeros((4, 4)))
    assert (Seconds().measure(made), CPUSeconds().measure(made), PeakMemory().measure(made)) == (2.5, 4.0, 3.0)


@pytest.mark.parametrize(
    "metric", [AlignedPSNR(), AlignedSSIM(), PlainPSNR(), PlainSSIM(), ErrorRatio(), KernelSimilarity()]
)
def test_what_is_not_known_gives_none(metric: Metric) -> None:
    assert metric.measure(trial(np.zeros((48, 50)))) is None


def test_an_error_ratio_needs_the_result_with_the_known_kernel(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    assert ErrorRatio().measure(trial(image, truth)) is None
    assert ErrorRatio().measure(trial(image, reference=image)) is None
    assert ErrorRatio().measure(trial(image, truth, reference=truth)) is None  # nothing to divide by


@given(arrays(np.float64, (2, 20, 18, 3), elements=st.floats(0, 1)), st.integers(0, 3))
def test_plain_metrics_are_scikit_images_on_the_crops(two: np.ndarray, border: int) -> None:
    made = trial(two[0], two[1])
    image, truth = (picture[border : 20 - border, border : 18 - border] for picture in two)
    if ((image - truth) ** 2).sum() > 1e-12:
        assert PlainPSNR(border=border).measure(made) == pytest.approx(
            peak_signal_noise_ratio(truth, image, data_range=1)
        )
    expected = structural_similarity(
        truth, image, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert PlainSSIM(border=border).measure(made) == pytest.approx(expected)


def test_aligned_metrics_without_a_search_are_the_plain_ones(pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = trial(*pair)
    assert AlignedPSNR(border=3, max_shift=0).measure(made) == pytest.approx(PlainPSNR(border=3).measure(made))
    assert AlignedSSIM(border=3, max_shift=0).measure(made) == pytest.approx(PlainSSIM(border=3).measure(made))


def test_plain_metrics_crop_two_sizes_about_their_centres(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    padded = np.pad(image, ((2, 3), (1, 1), (0, 0)))  # the odd row at the bottom
    assert PlainPSNR().measure(trial(padded, truth)) == PlainPSNR().measure(trial(image, truth))


@pytest.mark.parametrize("metric", [AlignedPSNR, PlainPSNR])
def test_matlabs_luma_adds_1_32_db_to_grey_images(
    metric: type[AlignedPSNR] | type[PlainPSNR], pair: tuple[np.ndarray, np.ndarray]
) -> None:
    image, truth = (picture[..., 0] for picture in pair)
    made = trial(image, truth)
    gain = known(metric(luma="matlab").measure(made)) - known(metric().measure(made))
    assert gain == pytest.approx(MATLAB_GAIN)
    assert pytest.approx(1.32, abs=0.005) == MATLAB_GAIN


def test_matlabs_luma_has_its_known_values() -> None:
    colours = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]], dtype=float)
    # The coefficients that MATLAB's documentation of rgb2ycbcr gives.
    expected = np.array([16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]) / 255
    np.testing.assert_allclose(planes_of(colours, "matlab"), expected[None, None], rtol=1e-12)
    np.testing.assert_allclose(planes_of(colours[..., 0], "matlab")[0, 0, :2], expected[:2])


def test_luma_compares_a_coloured_with_a_grey_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    grey = image @ [0.299, 0.587, 0.114]
    mixed, alike = trial(grey, truth), trial(image, truth)
    assert AlignedPSNR(luma="matlab").measure(mixed) == pytest.approx(AlignedPSNR(luma="matlab").measure(alike))
    with pytest.raises(InputError, match="1 channels and the truth 3"):
        AlignedPSNR().measure(mixed)


@pytest.mark.parametrize("kind", ["ssd", "norm"])
def test_the_reference_has_error_ratio_one(kind: Literal["ssd", "norm"], pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    moved = np.roll(image, (2, -1), axis=(0, 1))
    assert ErrorRatio(kind=kind).measure(trial(image, truth, reference=image)) == 1
    # The reference is aligned by itself, so that its shift is not seen.
    assert ErrorRatio(kind=kind).measure(trial(image, truth, reference=moved)) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "power"), [("ssd", 2), ("norm", 1)])
def test_an_error_three_times_as_large_gives_three_or_its_square(
    kind: Literal["ssd", "norm"], power: int, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    image, truth = pair
    made = trial(truth + 3 * (image - truth), truth, reference=image)
    assert ErrorRatio(kind=kind, **ON_THE_SPOT).measure(made) == pytest.approx(3**power)


def test_the_norm_is_the_largest_singular_value_and_not_the_sum_of_squares() -> None:
    truth = np.zeros((6, 6))
    made = trial(truth + np.diag([0.3, 0.1, 0.1, 0, 0, 0]), truth, reference=truth + np.diag([0.2] * 6))
    assert ErrorRatio(kind="norm", **ON_THE_SPOT).measure(made) == pytest.approx(1.5)
    assert ErrorRatio(kind="ssd", **ON_THE_SPOT).measure(made) == pytest.approx(0.11 / 0.24)


KERNELS = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(0, 1)).filter(
    lambda kernel: kernel.sum() > 0.1
)


@given(KERNELS, st.floats(1e-3, 1e3), st.tuples(*[st.integers(0, 4)] * 4))
def test_a_shifted_and_scaled_kernel_is_the_same(kernel: np.ndarray, scale: float, margins: tuple[int, ...]) -> None:
    top, bottom, left, right = margins
    moved = np.pad(scale * kernel, ((top, bottom), (left, right)))
    assert kernel_similarity(moved, kernel) == pytest.approx(1)


@given(KERNELS, KERNELS, st.floats(1e-3, 1e3))
def test_similarity_is_symmetric_invariant_to_scale_and_at_most_one(
    first: np.ndarray, second: np.ndarray, scale: float
) -> None:
    value = kernel_similarity(first, second)
    assert 0 < value <= 1
    assert (
        value
        == pytest.approx(kernel_similarity(second, first))
        == pytest.approx(kernel_similarity(scale * first, second))
    )


def test_similarity_has_its_known_values() -> None:
    assert kernel_similarity(np.ones((1, 1)), np.array([[0.5, 0.5]])) == pytest.approx(1 / np.sqrt(2))
    assert kernel_similarity(np.eye(3), np.eye(3)[::-1]) == pytest.approx(1 / 3)
    made = trial(np.zeros((9, 9)), kernel=np.eye(3) / 3, true_kernel=np.ones((3, 3)) / 9)
    assert KernelSimilarity().measure(made) == pytest.approx(1 / np.sqrt(3))


@pytest.mark.parametrize("kernel", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones(3), np.ones((0, 3))])
def test_what_is_no_kernel_is_refused(kernel: np.ndarray) -> None:
    with pytest.raises(InputError, match="estimated kernel must"):
        kernel_similarity(kernel, np.ones((3, 3)))


@pytest.mark.parametrize("side", [512, 600, 384])
def test_even_shrinking_takes_the_mean_of_blocks(side: int) -> None:
    image = np.random.default_rng(0).random((side, side + 20))
    blocks = image.reshape(side // 2, 2, side // 2 + 10, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(downsample_for_ssim(image)[0], blocks, atol=1e-12)


def test_odd_shrinking_takes_the_mean_about_each_third_pixel() -> None:
    image = np.random.default_rng(0).random((768, 770))
    small = downsample_for_ssim(image)
    assert small.shape == (1, 256, 257)
    assert small[0, 5, 9] == pytest.approx(image[14:17, 26:29].mean())
    mirrored = np.pad(image, 1, mode="symmetric")
    assert small[0, 0, 0] == pytest.approx(mirrored[:3, :3].mean())


def test_small_images_are_not_shrunk(pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = trial(*pair)
    assert PlainSSIM(shrink=True).measure(made) == PlainSSIM().measure(made)
    assert AlignedSSIM(shrink=True).measure(made) == AlignedSSIM().measure(made)


def test_large_images_are_shrunk_where_asked(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = (np.tile(picture[..., 0], (9, 9)) for picture in pair)
    small = trial(downsample_for_ssim(image)[0], downsample_for_ssim(truth)[0])
    assert PlainSSIM(shrink=True).measure(trial(image, truth)) == pytest.approx(PlainSSIM().measure(small))
    # 432 x 450 without the border is 402 x 420, still more than one and a half times 256.
    crops = known(AlignedSSIM().search.trial(trial(image, truth)))
    cropped = trial(downsample_for_ssim(crops.estimate)[0], downsample_for_ssim(crops.truth)[0])
    assert AlignedSSIM(shrink=True).measure(trial(image, truth)) == pytest.approx(PlainSSIM().measure(cropped))


def test_a_trial_is_aligned_once_for_all_metrics_and_again_for_another_search(
    pair: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        return align(*arguments, **options)

    monkeypatch.setattr(aligned, "align", counted)
    made = trial(*pair, reference=pair[0])
    for metric in (AlignedPSNR(), AlignedSSIM(), ErrorRatio(), ErrorRatio(kind="norm")):
        metric.measure(made)
    assert len(calls) == 2  # the trial and its reference
    AlignedPSNR(max_shift=2).measure(made)
    assert len(calls) == 3
    AlignedPSNR().measure(trial(*pair))
    assert len(calls) == 4


def test_an_alignment_is_kept_no_longer_than_its_trial(pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = trial(*pair)
    AlignedPSNR().measure(made)
    crop = weakref.ref(aligned.ALIGNMENT_CACHE[made][AlignedPSNR().search])
    del made
    gc.collect()
    assert crop() is None


@pytest.mark.parametrize("metric", [AlignedPSNR, AlignedSSIM, ErrorRatio])
def test_a_search_that_cannot_be_made_is_refused_when_the_metric_is_built(metric: type[Any]) -> None:
    with pytest.raises(InputError, match="border"):
        metric(border=4)
    with pytest.raises(InputError, match="larger step"):
        metric(step=1e-6)
    with pytest.raises(InputError, match="luma"):
        metric(luma="rec709")


@pytest.mark.parametrize("metric", [AlignedPSNR(), PlainPSNR(border=15)])
def test_a_border_that_leaves_nothing_is_refused(metric: Metric) -> None:
    with pytest.raises(InputError, match="leaves nothing"):
        metric.measure(trial(np.zeros((30, 40)), np.zeros((30, 40))))


@pytest.mark.parametrize("shape", [(40,), (3, 40, 40), (40, 40, 2)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(H, W\) or \(H, W, 3\)"):
        PlainPSNR().measure(trial(np.zeros(shape), np.zeros(shape)))


def test_equal_images_have_infinite_psnr(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, truth = pair
    assert AlignedPSNR().measure(trial(truth, truth)) == PlainPSNR().measure(trial(truth, truth)) == float("inf")

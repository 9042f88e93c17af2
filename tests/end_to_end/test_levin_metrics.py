"""The metrics reproduce what is published of others' results on the images of Levin et al."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from narrow import known
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invkit.core.evaluation import Sample, Trial
from invkit.metrics.aligned import AlignedPSNR, AlignedSSIM, ErrorRatio
from invkit.metrics.kernel_similarity import KernelSimilarity

CASES = [(i, k) for i in range(1, 5) for k in range(1, 9)]
WIDE: dict[str, Any] = {"max_shift": 10}


def read(folder: Path, *parts: str) -> np.ndarray:
    with Image.open((folder / "levin").joinpath(*parts)) as image:
        return np.asarray(image) / 255


def trial(folder: Path, method: str, image: int, kernel: int) -> Trial:
    """A published result; its kernels are of correlations, and so are the true ones but for two."""
    name = f"im{image}_kernel{kernel}_img"
    true = read(folder, "kernels", f"kernel{kernel}.png")
    true = true if kernel in (4, 8) else true[::-1, ::-1]
    sample = Sample(
        read(folder, "blurry", f"{name}.png"),
        read(folder, "sharp", f"im{image}.png"),
        true / true.sum(),
        {"known-kernel": read(folder, "results", "known_kernel", f"{name}.png")},
    )
    estimate = read(folder, "results", method, f"{name}_k.png")[::-1, ::-1]
    return Trial(sample, read(folder, "results", method, f"{name}_x.png"), estimate / estimate.sum(), 0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("method", "psnr", "ssim", "ratio", "within_two"),
    [("selfdeblur", 33.25, 0.919, 2.78, 28), ("wdip", 33.61, 0.933, 1.59, 26)],
)
def test_figures_of_published_results(
    data_root: Path, method: str, psnr: float, ssim: float, ratio: float, within_two: int
) -> None:
    metrics = (AlignedPSNR(**WIDE), AlignedSSIM(**WIDE), ErrorRatio(**WIDE), ErrorRatio(kind="norm", **WIDE))
    trials = [trial(data_root, method, *case) for case in CASES]
    decibels, structure, squares, norms = np.array([[m.measure(t) for m in metrics] for t in trials]).T
    # Half a unit of the last digit published.
    assert decibels.mean() == pytest.approx(psnr, abs=0.005)
    assert structure.mean() == pytest.approx(ssim, abs=0.0005)
    assert squares.mean() == pytest.approx(ratio, abs=0.005)
    assert (squares <= 2).sum() == within_two
    assert norms.mean() < squares.mean()


def test_true_kernels_are_laid_as_the_estimates_are(data_root: Path) -> None:
    trials = [trial(data_root, "wdip", 3, kernel) for kernel in range(1, 9)]
    kernels = [known(t.kernel) for t in trials]
    found = [known(KernelSimilarity().measure(t)) for t in trials]
    halves = [
        Trial(t.sample, t.image, kernel[::-1, ::-1], 0.0, 0.0, 0) for t, kernel in zip(trials, kernels, strict=True)
    ]
    turned = [known(KernelSimilarity().measure(t)) for t in halves]
    assert min(found) > 0.75
    assert np.mean(found) > np.mean(turned) + 0.1


def test_figures_are_scikit_images_on_the_aligned_crops(data_root: Path) -> None:
    made = trial(data_root, "selfdeblur", 2, 3)
    crops = known(AlignedPSNR(**WIDE).search.trial(made))
    image, truth = crops.estimate[0], crops.truth[0]
    np.testing.assert_array_equal(truth, known(made.sample.truth)[15:-15, 15:-15])
    assert AlignedPSNR(**WIDE).measure(made) == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=1))
    expected = structural_similarity(
        truth, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert AlignedSSIM(**WIDE).measure(made) == pytest.approx(expected)


def test_matlabs_luma_adds_its_1_32_db(data_root: Path) -> None:
    made = trial(data_root, "wdip", 1, 1)
    gain = known(AlignedPSNR(luma="matlab").measure(made)) - known(AlignedPSNR().measure(made))
    assert gain == pytest.approx(20 * np.log10(255 / 219), abs=1e-9)

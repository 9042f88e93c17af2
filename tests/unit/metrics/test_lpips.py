"""LPIPS without its weights says so at once, and with weights of any kind is a distance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from narrow import known

from invkit.core.errors import InputError
from invkit.core.evaluation import Sample, Trial
from invkit.metrics import perceptual
from invkit.metrics.perceptual import LPIPS
from invkit.testing.evaluation import check_metric

NAMED = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of weights, and no way to fetch any."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **b: pytest.fail("LPIPS downloads"))
    (tmp_path / "checkpoints").mkdir()
    perceptual.load_lpips.cache_clear()
    yield tmp_path / "checkpoints"
    perceptual.load_lpips.cache_clear()


@pytest.fixture
def random_weights(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The smallest network with random weights, taken for torchvision's."""
    from torchvision.models import squeezenet1_1

    path = no_weights / NAMED["squeeze"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), path)
    monkeypatch.setattr(perceptual, "weights_digest", lambda file, modified: "b8a52dc0")
    return path


def trial(image: np.ndarray, truth: np.ndarray) -> Trial:
    return Trial(Sample(image, truth), image, None, 1.0, 1.0, 1)


@pytest.mark.parametrize("network", NAMED)
def test_weights_that_are_not_there_are_missed_when_the_metric_is_built(
    no_weights: Path, network: Literal["alex", "vgg", "squeeze"]
) -> None:
    with pytest.raises(InputError, match=f"{NAMED[network]}, which do not exist; get them once by"):
        LPIPS(network=network)


def test_weights_that_are_cut_short_are_refused(no_weights: Path) -> None:
    (no_weights / NAMED["alex"]).write_bytes(b"half a file")
    with pytest.raises(InputError, match="incomplete"):
        LPIPS()


def test_weights_that_are_gone_meanwhile_are_not_downloaded(random_weights: Path) -> None:
    metric = LPIPS(network="squeeze")
    random_weights.unlink()
    picture = np.zeros((100, 100))
    with pytest.raises(InputError, match="do not exist"):
        metric.measure(trial(picture, picture))


def test_it_is_a_distance_in_colour_and_in_grey(random_weights: Path) -> None:
    check_metric(LPIPS, {"network": "squeeze"})
    metric = LPIPS(network="squeeze", border=2, max_shift=1)
    rng = np.random.default_rng(0)
    grey, other = rng.random((2, 70, 80))
    assert metric.measure(trial(grey, grey)) == 0
    assert metric.measure(trial(np.roll(grey, 1, axis=0), grey)) == 0  # the shift is taken out first
    far = known(metric.measure(trial(other, grey)))
    assert far > known(metric.measure(trial(0.9 * grey + 0.1 * other, grey))) > 0
    assert metric.measure(trial(np.dstack([other] * 3), np.dstack([grey] * 3))) == pytest.approx(far)


def test_pictures_too_small_for_the_network_are_refused(random_weights: Path) -> None:
    small = np.zeros((80, 93))
    with pytest.raises(InputError, match="64 x 64"):
        LPIPS(network="squeeze").measure(trial(small, small))

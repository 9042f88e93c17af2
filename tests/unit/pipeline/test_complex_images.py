"""Complex images of an MRI scan: maps without the phase of the image, any units, files that keep the phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import invkit
from invkit.core.errors import InvkitError
from invkit.core.operator_parameters import CoilMapPrior
from invkit.core.result import Result
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.pipeline.job import prepare

SIDE = 40
FREE = ["operator.phase=free", "operator.acceleration=2"]


def scan() -> tuple[NDArray[np.complex64], NDArray[np.float32], torch.Tensor]:
    """A complex image, its k-space and the coil maps."""
    down, along = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE), indexing="ij")
    magnitude = np.zeros((SIDE, SIDE))
    magnitude[8:32, 10:30], magnitude[14:22, 14:24] = 0.6, 0.9
    image = (magnitude * np.exp(1j * (1.0 + 3 * down - 2 * along))).astype(np.complex64)
    corners = [(a, b) for a in (0, 1) for b in (0, 1)]
    real = np.stack([np.exp(-2 * ((down - a) ** 2 + (along - b) ** 2)) for a, b in corners])
    maps = CoilMapPrior.allowed(torch.from_numpy(np.concatenate([real, 0 * real])).float()[None])
    scene = torch.from_numpy(np.stack([image.real, image.imag]))[None]
    data = MultiCoilMRI(acceleration=2, phase="free")(scene, maps)
    return image, data[0].numpy(), maps


def solved(data: NDArray[Any], maps: torch.Tensor, **options: Any) -> Result:
    return invkit.restore(data, "sense", kernel=maps[0].numpy(), overrides=FREE, progress=False, **options)


def error(found: Any, image: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.abs(np.asarray(found) - image) ** 2)))


@pytest.mark.parametrize("units", [1.0, 1e-4, 3e3])
def test_a_complex_image_is_restored_in_any_units(units: float) -> None:
    image, data, maps = scan()
    found = solved(np.float32(units) * data, maps)
    assert np.iscomplexobj(found.image)
    assert np.asarray(found.image).shape == image.shape
    assert error(found.image, units * image) < 0.02 * units


def test_a_real_image_does_not_explain_such_data() -> None:
    image, data, maps = scan()
    real = invkit.restore(data, "sense", kernel=maps[0].numpy(), overrides=FREE[1:], progress=False)
    assert error(np.abs(np.asarray(real.image)), np.abs(image)) > 0.1


def test_the_files_keep_the_phase(tmp_path: Path) -> None:
    _, data, maps = scan()
    found = solved(data, maps)
    folder = found.save(tmp_path / "run")
    np.testing.assert_array_equal(np.load(folder / "image.npy"), np.asarray(found.image))
    assert (folder / "image.png").is_file()
    assert (folder / "overview.png").is_file()
    assert "<img" in found._repr_html_()
    tensors = solved(torch.from_numpy(data), maps)  # type: ignore[arg-type]
    assert torch.is_complex(torch.as_tensor(tensors.image))


def test_the_truth_is_compared_by_its_magnitude() -> None:
    image, data, maps = scan()
    magnitude = np.abs(image)
    job = prepare(data, recipe="sense", kernel=maps[0].numpy(), overrides=FREE, truth=magnitude)
    psnr = job.run().details["psnr"]
    assert psnr["after"] > 30 > psnr["before"]


def test_the_operator_is_that_of_a_real_image_where_the_phase_is_zero() -> None:
    _, _, maps = scan()
    image = torch.rand(1, 1, SIDE, SIDE)
    free, fixed = MultiCoilMRI(phase="free"), MultiCoilMRI()
    torch.testing.assert_close(free(torch.cat([image, 0 * image], 1), maps), fixed(image, maps))


def test_uncertainty_is_refused_and_a_complex_truth_has_its_magnitude() -> None:
    image, data, maps = scan()
    with pytest.raises(InvkitError, match="its image is complex"):
        solved(data, maps, sigma=0.01, uncertainty=2)
    job = prepare(data, recipe="sense", kernel=maps[0].numpy(), overrides=FREE, truth=np.abs(image))
    both = np.stack([image.real, image.imag], axis=-1)
    other = prepare(data, recipe="sense", kernel=maps[0].numpy(), overrides=FREE, truth=both)
    assert other.run().details["psnr"]["after"] == pytest.approx(job.run().details["psnr"]["after"], abs=1e-3)

"""Data that are no pictures: the same image, in their units, whatever these are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import invkit
from invkit import registry
from invkit.core.errors import InputError
from invkit.core.interfaces import ForwardOperator, KernelPrior
from invkit.core.operator_parameters import CoilMapPrior
from invkit.core.result import Result
from invkit.media.layouts import Layout
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.operators.tomography import Tomography
from invkit.pipeline.input_image import InputImage
from invkit.pipeline.job import prepare
from invkit.pipeline.restored import psnr
from invkit.pipeline.units import BRIGHTEST_NUMBER
from invkit.recipes.model import parse_recipe

Numbers = NDArray[np.float32]
SIDE, ANGLES = 32, 24
SHORT = ["solver.iterations=8"]
ROUNDING = 5e-4  # root of the mean square, of data in float32 after many conjugate gradients; a tenth of the error


def scene() -> Numbers:
    """Squares of several brightnesses on a disc that is not in the middle, zero outside."""
    down, along = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    image = 0.3 * (np.hypot(down + 3, along - 3) < 10)
    image[8:12, 17:21], image[14:19, 20:25] = 1.0, 0.7
    return np.asarray(image, np.float32)


def coil_maps() -> torch.Tensor:
    down, along = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    near = torch.stack([torch.exp(-((down - a) ** 2 + (along - b) ** 2) / 2) for a, b in corners])
    turned = torch.stack([phase * (along - down) for phase in (1.0, -1.0, 2.0, -2.0)])
    return CoilMapPrior.allowed(torch.cat([near * turned.cos(), near * turned.sin()])[None])


def tensor(image: Numbers) -> torch.Tensor:
    return torch.from_numpy(image)[None, None]


def noisy(data: torch.Tensor, sigma: float) -> Numbers:
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    return np.asarray((data + sigma * noise * (data != 0))[0])


def k_space() -> Numbers:
    return noisy(MultiCoilMRI(acceleration=2)(tensor(scene()), coil_maps()), 0.01)


def projections(arc: float = 180.0, angles: int = ANGLES) -> Numbers:
    return noisy(Tomography(arc=arc)(tensor(scene()), torch.zeros(1, 1, 2, angles)), 0.002)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sense": (k_space, {"kernel": coil_maps(), "overrides": [*SHORT, "operator.acceleration=2"]}),
    "blind-mri": (k_space, {"overrides": [*SHORT, "operator.acceleration=2"]}),
    "tomography": (projections, {"overrides": SHORT}),
    "blind-tomography": (projections, {"overrides": SHORT}),
}


def solved(recipe: str, units: float = 1.0, **options: Any) -> Result:
    data, settings = CASES[recipe]
    return invkit.restore(np.float32(units) * data(), recipe, progress=False, **{**settings, **options})


@pytest.mark.parametrize("recipe", CASES)
@pytest.mark.parametrize("units", [1e-5, 0.3, 1e4])
def test_the_units_of_the_data_are_those_of_the_image_and_change_nothing_else(recipe: str, units: float) -> None:
    expected, found = solved(recipe), solved(recipe, units)
    for one, other in ((found.image, expected.image), (found.blurry, expected.blurry)):
        assert np.sqrt(np.square(np.asarray(one) / units - np.asarray(other)).mean()) < ROUNDING
    assert found.details["white"] == pytest.approx(units * expected.details["white"], rel=1e-3)


@pytest.mark.parametrize("recipe", CASES)
def test_the_brightness_is_estimated_and_told(recipe: str) -> None:
    result = solved(recipe)
    assert result.white == pytest.approx(1, rel=0.3)
    assert result.details["white"] == pytest.approx(result.white / BRIGHTEST_NUMBER)
    assert any(f"estimated as {result.white:.4g}" in notice for notice in result.details["notices"])


@pytest.mark.parametrize("units", [1.0, 1e4])
def test_noise_and_truth_are_in_the_units_of_the_data(units: float) -> None:
    data = np.float32(units) * projections()
    settings = [*SHORT, "regularizers.0.scale_by=sigma", "regularizers.0.weight=0.01"]
    job = prepare(data, recipe="tomography", overrides=settings, sigma=0.002 * units, truth=units * scene())
    result = job.run()
    assert result.details["options"]["sigma"] == pytest.approx(0.002 * units)
    assert result.details["noise_sigma"] == pytest.approx(0.002 * units)
    after = psnr(tensor(np.asarray(result.image / units, np.float32)), tensor(scene()))
    assert result.details["psnr"]["after"] == pytest.approx(after, abs=0.01)  # dB


def test_numbers_are_saved_in_their_units_and_drawn_in_the_range_of_pictures(tmp_path: Path) -> None:
    from invkit.media.images import read_image

    result = solved("tomography", 1e4)
    folder = result.save(tmp_path / "run")
    np.testing.assert_array_equal(np.load(folder / "image.npy"), np.asarray(result.image))
    drawn = np.clip(np.asarray(result.image) / result.white, 0, 1)
    np.testing.assert_allclose(read_image(folder / "image.png").pixels, drawn, atol=1e-4)
    assert json.loads((folder / "result.json").read_text())["white"] == result.details["white"]
    assert result.compare(1e4 * scene()) is not None


def test_an_image_brighter_than_expected_is_told() -> None:
    image = torch.full((1, 1, 4, 5), 0.6)
    data = InputImage(image, Layout("array", 2, 32)).divided_by(40.0, 20.0)
    assert not data.doubts(image)
    image[..., 0, :3] = 1
    assert "3 of 20 pixels of the image were cut off at 40" in data.doubts(image)[0]
    image[..., 0, 0] = 1.2  # a recipe without this bound
    assert not data.doubts(image)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros((8, SIDE, SIDE)), "zero everywhere"),
        (np.full((8, SIDE, SIDE), 1e200), r"1e\+200, beyond single precision"),
        (np.full((8, SIDE, SIDE), 1e-200), "1e-200, beyond single precision"),
        (np.ones((SIDE, SIDE)), r"give \(2 N, H, W\), the real parts of N coils and then"),
    ],
)
def test_data_that_no_image_explains_are_refused(data: NDArray[Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        invkit.restore(data, "blind-mri", progress=False)


def test_projections_of_negative_mass_are_refused() -> None:
    with pytest.raises(InputError, match=r"give line integrals, -log\(I / I_0\)"):
        invkit.restore(-projections(), "tomography", progress=False)


class Squares(ForwardOperator):
    """Intensities, which are not linear in the image."""

    data_range = None

    def forward(self, image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        """The squares."""
        return image**2

    def image_shape(self, data_shape: Any, kernel_shape: Any) -> Any:
        """The shape of the data."""
        return data_shape

    def parameter_shape(self, data_shape: Any, kernel_size: Any) -> Any:
        """No parameter."""
        return data_shape[0], 1, 1, 1


def test_the_data_of_an_operator_that_is_not_linear_are_used_as_they_are() -> None:
    assert issubclass(Squares.parameter_prior, KernelPrior)
    recipe = parse_recipe(
        'name = "roots"\noperator = "squares"\nimage_prior = "pixels"\nsolver = {name = "joint-adam", '
        "params = {iterations = 300}}"
    )
    registry.register("operators", "squares", Squares)
    try:
        result = invkit.restore(scene()[None] ** 2, recipe, progress=False)
    finally:
        registry.unregister("operators", "squares")
    assert result.white == 1
    assert "white" not in result.details
    np.testing.assert_allclose(np.asarray(result.image)[scene() > 0], scene()[scene() > 0], atol=0.02)


@pytest.mark.parametrize("recipe", ["sense", "blind-mri"])
def test_what_the_operator_takes_k_space_for_is_told(recipe: str) -> None:
    text = solved(recipe).details["notices"][0]
    assert text == "the data are the k-space of 4 coils, 32x32, of which 16 of 32 columns are used"


def test_columns_that_were_not_measured_are_a_warning() -> None:
    result = solved("blind-mri", overrides=[*SHORT, "operator.acceleration=2", "operator.draw=1"])
    assert "columns of k-space that count as measured are zero" in result.details["warnings"][0]
    assert "warnings" not in solved("blind-mri").details


def test_pixels_that_no_coil_sees_come_back_as_zero() -> None:
    maps, body = coil_maps(), torch.from_numpy(scene() > 0)
    masked = maps * body
    result, whole = solved("sense", kernel=masked), solved("sense")
    image = np.asarray(result.image)
    assert not image[~body.numpy()].any()
    inside = body.numpy()
    errors = [np.square(np.asarray(one.image)[inside] - scene()[inside]).mean() for one in (result, whole)]
    assert errors[0] < 1.3 * errors[1]
    assert MultiCoilMRI().seen(masked).sum() == body.sum()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda maps: maps.index_fill(3, torch.tensor([5]), torch.nan), "not finite in 32 of 1024 pixels"),
        (lambda maps: 2 * maps, "zero in all coils, and in 1024 of 1024 pixels they sum to 4; divide"),
        (
            lambda maps: maps * torch.linspace(0, 1, SIDE),
            "in 960 of 1024 pixels they sum to 0.00104 to 0.937; divide",
        ),
    ],
)
def test_coil_maps_that_are_not_normalised_are_refused_with_a_remedy(change: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        solved("sense", kernel=change(coil_maps()))


def test_what_projections_are_taken_for_is_told() -> None:
    details = solved("tomography").details
    expected = "24 projections of 32 detector pixels, spread over 180 degrees, of 1 slice of 32x32 pixels"
    assert details["notices"][0] == f"the data are {expected}"
    assert "warnings" not in details


@pytest.mark.parametrize("recipe", ["tomography", "blind-tomography"])
@pytest.mark.parametrize("sharper", [False, True])
def test_transposed_projections_are_refused(recipe: str, sharper: bool) -> None:
    data = projections().swapaxes(-1, -2)[..., :: 2 if sharper else 1]
    with pytest.raises(InputError, match=r"seem to be transposed: 1x32x.* give \(slices, angles, detector pixels\)"):
        invkit.restore(data, recipe, progress=False)


@pytest.mark.parametrize(
    ("arc", "taken", "expected"), [(90, 180, None), (360, 180, 360), (180, 360, 180), (90, 360, None)]
)
def test_a_scan_of_another_arc_is_a_warning(arc: float, taken: float, expected: float | None) -> None:
    settings = [*SHORT, f"operator.arc={taken}"]
    data = projections(arc, angles=90)
    warning = invkit.restore(data, "tomography", overrides=settings, progress=False).details["warnings"][0]
    assert f"do not close after {taken} degrees" in warning
    assert warning.endswith(f"operator.arc={expected or 'DEGREES'}")
    right = invkit.restore(data, "tomography", overrides=[*SHORT, f"operator.arc={arc}"], progress=False)
    assert "warnings" not in right.details


def test_a_scan_of_half_of_the_object_is_a_warning() -> None:
    half = projections(360)[..., 12:]
    result = invkit.restore(half, "tomography", overrides=[*SHORT, "operator.arc=360"], progress=False)
    assert "may lie beyond the detector, as in a half acquisition" in result.details["warnings"][0]


def test_a_blank_projection_is_refused_with_a_known_geometry_too() -> None:
    data = projections()
    data[:, 5] = 0
    with pytest.raises(InputError, match=r"1 of 24 projections are blank, the first at index 5"):
        invkit.restore(data, "tomography", kernel=np.zeros((1, 2, ANGLES)), progress=False)

"""Parts of different methods in one recipe, mixed by a user's settings: every mixture gives a valid result."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import Proximable
from invkit.numerics.registration import aligned_psnr
from invkit.pipeline.job import prepare

OF_STACKS = ("stack-tv", "stack-gradient-l2")  # differences between planes, which colours refuse
PROXIMABLE = [
    name
    for name in registry.names("regularizers")
    if issubclass(registry.load("regularizers", name), Proximable) and name not in OF_STACKS
]
ALONE = ["next=none"]
MAP = "solver.inner"
SHORT = [f"{MAP}.iterations=2", *ALONE]
NARROW = ["image_prior.channels=4", "kernel_prior.hidden=30"]
ADAM = "{name = 'joint-adam', params = {iterations = 6, milestones = [], kernel_lr = 0.01}}"


def stroke(size: int) -> np.ndarray:
    """A kernel (size, size): a slanted line, brighter at one end."""
    kernel = np.zeros((size, size))
    for step in range(1, size - 1):
        kernel[step, (step + size // 2) // 2] = 1 + step % 3
    return np.asarray(kernel / kernel.sum())


def picture(side: int, cells: int = 6) -> np.ndarray:
    """A sharp picture of coarse blocks."""
    coarse = np.random.default_rng(3).uniform(0.1, 0.9, (cells, cells))
    rows = np.arange(side) * cells // side
    return coarse[np.ix_(rows, rows)]


def blurry(side: int = 48, kernel_size: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A blurry picture (side, side) and the sharp one of the same scene."""
    from scipy.signal import convolve2d

    sharp = picture(side + kernel_size - 1)
    noise = 0.002 * np.random.default_rng(4).standard_normal((side, side))
    margin = kernel_size // 2
    data = convolve2d(sharp, stroke(kernel_size), "valid") + noise
    return data.clip(0, 1), sharp[margin:-margin, margin:-margin]


def solved(recipe: str, *settings: str, kernel_size: int = 9, side: int = 48) -> invkit.Result:
    """The result of a recipe with settings, after checks that hold for any result."""
    data, _ = blurry(side)
    result = prepare(data, recipe=recipe, kernel_size=kernel_size, overrides=settings, sigma=0.002).run()
    assert result.image.shape == data.shape
    assert np.isfinite(result.image).all()
    assert result.image.std() > 0.01  # a picture, not a flat field
    assert result.kernel.shape == (kernel_size, kernel_size)
    assert result.kernel.min() >= 0
    assert result.kernel.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(result.history).all()
    assert len(result.history) == result.iterations > 0
    return result


def gain(recipe: str, *settings: str) -> float:
    """The gain in PSNR, in dB, of a recipe on a picture of 96 x 96 pixels."""
    data, sharp = blurry(96)
    result = invkit.deblur(data, recipe=recipe, kernel_size=11, overrides=settings, sigma=0.002, progress=False)
    return aligned_psnr(result.image, sharp) - aligned_psnr(data, sharp)


# --- networks with other regularizers and solvers --------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.01, 0.1])
def test_selfdeblur_s_networks_with_an_l0_regularizer(smoothing: float) -> None:
    term = f"regularizers=[{{name = 'l0-gradient', weight = 1e-3, params = {{smoothing = {smoothing}}}}}]"
    plain = solved("selfdeblur", *NARROW, "solver.iterations=8", "regularizers=[]")
    with_l0 = solved("selfdeblur", *NARROW, "solver.iterations=8", term)
    assert len(with_l0.history) == 8
    assert not np.array_equal(with_l0.image, plain.image)


def test_a_pyramid_around_joint_adam_with_networks() -> None:
    settings = [*NARROW, "image_prior.scales=2", f"solver={{name = 'pyramid', params = {{inner = {ADAM}}}}}"]
    result = solved("selfdeblur-small", *settings, "fidelity=mse", kernel_size=15)
    assert result.iterations == 4 * 6  # kernels of 15, 11, 9 and 5 pixels
    assert result.history[-1] < result.history[0]


def test_a_pyramid_around_joint_adam_with_the_recipe_s_own_depth_and_losses() -> None:
    """Five scales and a window of 11 pixels; the schedule of the losses starts again at each level."""
    solver = f"solver={{name = 'pyramid', params = {{ratio = 0.5, inner = {ADAM}}}}}"
    settings = [*NARROW, solver, "fidelity.mse.until_iteration=3"]
    result = solved("selfdeblur-small", *settings, kernel_size=15, side=64)
    assert result.iterations == 2 * 6
    with pytest.raises(InputError, match=r"at its coarsest level, data of 24x24 pixels: a skip network of 5 scales"):
        solved("selfdeblur-small", *settings, kernel_size=15, side=48)


def test_a_network_for_the_kernel_with_pixels_and_tv() -> None:
    settings = ["image_prior=pixels", "kernel_prior=softmax-fcn", "kernel_prior.hidden=30"]
    solver = "solver={name = 'joint-adam', params = {iterations = 40, image_lr = 0.02, kernel_lr = 0.01}}"
    result = solved("xu-l0", *settings, solver, "regularizers=[{name = 'tv', weight = 1e-3}]", *ALONE)
    assert result.history[-1] < 0.7 * result.history[0]


def test_free_pixels_for_the_kernel_with_a_network() -> None:
    result = solved("selfdeblur", NARROW[0], "kernel_prior=simplex", "solver.iterations=6")
    assert result.iterations == 6


# --- the scheme of the classical methods with any of its parts -------------------------------------------------------


@pytest.mark.parametrize("name", PROXIMABLE)
def test_any_regularizer_with_a_prox_in_the_map_scheme(name: str) -> None:
    result = solved("pan-l0", f"regularizers=[{{name = '{name}', weight = 2e-4}}]", *SHORT)
    assert result.iterations == 2 * 2  # kernels of 9 and 7 pixels


@pytest.mark.parametrize("name", OF_STACKS)
def test_differences_between_planes_are_refused_for_pictures(name: str) -> None:
    with pytest.raises(AssemblyError, match="the data of Convolution are no stack; use one of pictures"):
        solved("pan-l0", f"regularizers=[{{name = '{name}', weight = 2e-4}}]", *SHORT)


def test_all_regularizers_with_a_prox_together() -> None:
    terms = ", ".join(f"{{name = '{name}', weight = 1e-3}}" for name in PROXIMABLE)
    solved("pan-l0", f"regularizers=[{terms}]", *SHORT)


@pytest.mark.parametrize("other", ["hyper-laplacian", "tv", "gaussian-scale-mixture"])
def test_edge_patches_beside_any_reweighted_regularizer(other: str) -> None:
    """The terms of Sun et al. in another method, with reweighted least squares."""
    terms = f"{{name = '{other}', weight = 2e-3}}, {{name = 'edge-patches', weight = 0.5}}"
    attracted = solved("pan-l0", f"regularizers=[{terms}]", f"{MAP}.latent=irls", *SHORT)
    without = solved("pan-l0", f"regularizers=[{terms}]", "regularizers.1.weight=0", f"{MAP}.latent=irls", *SHORT)
    assert np.abs(attracted.image - without.image).max() > 1e-3


@pytest.mark.parametrize("estimation", registry.names("kernel_estimation"))
@pytest.mark.parametrize("edges", registry.names("edge_selection"))
def test_any_kernel_estimation_with_any_edge_selection(estimation: str, edges: str) -> None:
    solved("fast-map", f"{MAP}.kernel_estimation={estimation}", f"{MAP}.edge_selection={edges}", *SHORT)


@pytest.mark.parametrize("latent", ["admm", "gradient-descent", "half-quadratic", "irls", "richardson-lucy", "wiener"])
@pytest.mark.parametrize("regularizer", ["tv", "gradient-l2"])
def test_any_deconvolution_for_the_latent_image(latent: str, regularizer: str) -> None:
    term = f"regularizers=[{{name = '{regularizer}', weight = 1e-3}}]"
    fidelity = "poisson" if latent == "richardson-lucy" else "mse"
    solved("xu-l0", f"{MAP}.latent={latent}", term, f"fidelity={fidelity}", *SHORT)


def test_a_network_for_the_latent_image_s_solver() -> None:
    """Adam on the pixels in each outer iteration; the image prior must be set, which a network does not allow."""
    result = solved("xu-l0", f"{MAP}.latent={ADAM}", "regularizers.l0-gradient.smoothing=0.01", *SHORT)
    assert result.iterations == 4
    with pytest.raises(
        AssemblyError, match=r"needs .* that can be set to a given image or kernel, and 'dip-skip' does"
    ):
        solved("xu-l0", f"{MAP}.latent={ADAM}", "image_prior=dip-skip", *SHORT)


def test_kernel_postprocessing_and_pyramid_may_be_left_out() -> None:
    solved("fast-map", f"{MAP}.kernel_postprocessing=none", *SHORT)
    parts = "latent = 'half-quadratic', edge_selection = 'gradients', kernel_estimation = 'toeplitz', iterations = 3"
    result = solved("fast-map", f"solver={{name = 'alternating-map', params = {{{parts}}}}}", *ALONE)
    assert result.iterations == 3


@pytest.mark.parametrize("name", ["tv", "l0-intensity", "l1-over-l2"])
def test_gradients_take_regularizers_of_values_alone(name: str) -> None:
    params = ", params = {of = 'value'}" if name == "l1-over-l2" else ""
    settings = [f"regularizers=[{{name = '{name}', weight = 0.1{params}}}]", *SHORT]
    if name == "tv":
        with pytest.raises(AssemblyError, match="gradient-map needs regularizers on the values"):
            solved("krishnan", *settings)
    else:
        solved("krishnan", *settings)


def test_a_term_on_the_kernel_is_refused_by_solvers_that_ignore_it() -> None:
    on_kernel = "{name = 'kernel-l2', weight = 1e-3, target = 'kernel'}"
    terms = f"regularizers=[{{name = 'tv', weight = 1e-3}}, {on_kernel}]"
    with pytest.raises(AssemblyError, match="ignores regularizers on the kernel, and KernelL2 is one"):
        solved("xu-l0", terms, *SHORT)
    solved("selfdeblur", *NARROW, "solver.iterations=3", terms)


# --- next stages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("next_recipe", ["epll", "hyper-laplacian", "sparse-admm", "sparse-irls", "tv-admm", "wiener"])
def test_the_last_stage_can_be_exchanged(next_recipe: str) -> None:
    result = solved("pan-l0", f"{MAP}.iterations=2", f"next={next_recipe}")
    assert [stage["name"] for stage in result.details["stages"]] == ["pan-l0", next_recipe]
    alone = solved("pan-l0", *SHORT)
    np.testing.assert_allclose(result.kernel, alone.kernel, atol=1e-7)  # scaled once more, in float64
    assert not np.array_equal(result.image, alone.image)


def test_the_last_stage_may_be_a_network_or_ringing_removal() -> None:
    network = ["next=selfdeblur-nonblind", "next.image_prior.channels=4", "next.solver.iterations=3"]
    assert solved("pan-l0", f"{MAP}.iterations=2", *network).iterations == 4 + 3
    inner = "{name = 'half-quadratic'}"
    nested = f"{{solver = {inner}, structure_solver = {inner}, structure = 'l0-gradient'}}"
    settings = ["next=tv-admm", f"next.solver={{name = 'ringing-removal', params = {nested}}}"]
    assert solved("pan-l0", f"{MAP}.iterations=2", *settings).iterations == 4 + 2


@pytest.mark.parametrize("next_recipe", ["sparse-admm", "wiener"])
def test_a_deconvolution_may_follow_selfdeblur(next_recipe: str) -> None:
    result = solved("selfdeblur-small", *NARROW, "solver.iterations=4", f"next={next_recipe}")
    assert [stage["solver"] for stage in result.details["stages"]] == [
        "joint-adam",
        {"sparse-admm": "tiles", "wiener": "wiener"}[next_recipe],
    ]


# --- quality ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("fast-map", []),
        ("fast-map", [f"{MAP}.edge_selection=shock"]),
        ("xu-l0", [f"{MAP}.latent=admm", f"{MAP}.latent.iterations=20", f"{MAP}.edge_selection=r-map"]),
        ("pan-l0", ["next=epll"]),
        ("pan-l0", ["regularizers=[{name = 'hyper-laplacian', weight = 4e-3, params = {power = 0.5}}]"]),
        ("michaeli-irani", []),
        ("sun-2013", []),
        ("sun-2013", [f"{MAP}.edge_selection=shock"]),
        ("zuo-2016", []),
        ("pan-l0", ["regularizers=[{name = 'generalised-shrinkage', weight = 4e-3, params = {power = 0.2}}]"]),
    ],
)
def test_a_mixture_makes_a_picture_sharper(recipe: str, settings: list[str]) -> None:
    assert gain(recipe, *settings) > 1.5  # with settings changed by a thousandth xu-l0's mixture gains 1.6 to 4.0

"""Non-blind deconvolution: reweighted least squares, Wiener, Richardson-Lucy and ringing removal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.errors import AssemblyError
from invkit.fidelities.mse import MSE
from invkit.geometry import crop_to_data
from invkit.image_priors.pixels import Pixels
from invkit.interfaces import Regularizer
from invkit.kernel_priors.known import KnownKernel
from invkit.operators.convolution import Convolution
from invkit.operators.identity import Identity
from invkit.problem import Problem, Term
from invkit.regularizers.gradient_l2 import GradientL2
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0_gradient import L0Gradient
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.irls import IRLS, add_banded, add_squares, conjugate_gradients
from invkit.solvers.masked_blur import MaskedBlur
from invkit.solvers.richardson_lucy import RichardsonLucy, alike, dilated, response, smoothed
from invkit.solvers.ringing_removal import RingingRemoval, bilateral
from invkit.solvers.wiener import Wiener
from invkit.stencils import GRADIENT, SECOND, analyse

L2 = [Term(GradientL2(), 1e-3)]
SPARSE = [Term(HyperLaplacian(second=0.25, smoothing=0.01), 3e-4)]
TV = [Term(TotalVariation(smoothing=0.02), 1e-3)]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def a_kernel(batch=1, size=(5, 4), dtype=torch.float64):
    kernel = random(batch, 1, *size, seed=3, dtype=dtype) ** 4
    return kernel / kernel.sum((-2, -1), keepdim=True)


def blocks(batch=1, channels=1, size=(30, 29), dtype=torch.float64):
    coarse = random(batch, channels, 6, 6, seed=1, dtype=dtype) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, size=size)


def made(data, kernel, terms=(), padding="valid", image=None):
    """A problem with a known kernel; float64 components, which a recipe's are not."""
    operator = Convolution(padding=padding)
    shape = operator.image_shape(tuple(data.shape), tuple(kernel.shape))
    prior = Pixels(shape, data).to(data.dtype)
    known = KnownKernel(tuple(kernel.shape), kernel).to(kernel.dtype)
    known.kernel.copy_(kernel)  # the prior was built in float32
    if image is not None:
        prior = prior.assigned(image)
    return Problem(data, operator, prior, known, MSE(), list(terms))


def blurred(terms=(), padding="valid", batch=1, channels=1, dtype=torch.float64, noise=0.0):
    image, kernel = blocks(batch, channels, dtype=dtype), a_kernel(batch, dtype=dtype)
    data = Convolution(padding=padding)(image, kernel)
    data = data + noise * (random(*data.shape, seed=9, dtype=dtype) - 0.5)
    return image, made(data.clamp(0, 1), kernel, terms, padding)


def finished(solver, problem):
    """The state after the last step: the image is not clamped yet."""
    state = solver.start(problem)
    while state.iteration < solver.steps(problem) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state


def ringing(**keywords):
    slots = {"solver": HalfQuadratic(), "structure": L0Gradient(), "structure_solver": HalfQuadratic()}
    return RingingRemoval(**{**slots, **keywords})


SOLVERS = {
    "irls": (lambda: IRLS(cg_iterations=15), SPARSE),
    "wiener": (Wiener, L2),
    "richardson-lucy": (lambda: RichardsonLucy(iterations=6), []),
    "saturated": (lambda: RichardsonLucy(iterations=6, saturation=0.7, gamma=2.2), []),
    "richardson-lucy with tv": (lambda: RichardsonLucy(iterations=6), TV),
    "ringing-removal": (ringing, TV),
}
every = pytest.mark.parametrize("name", SOLVERS)


@every
def test_it_gives_a_better_image(name):
    solver, terms = SOLVERS[name]
    truth, problem = blurred(terms)
    image = solver().solve(problem).image
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    if name != "saturated":  # these data were not made that way
        assert (image - truth).square().mean() < 0.7 * (problem.image_prior() - truth).square().mean()


@every
def test_a_saved_state_goes_on_to_the_same_bits(name):
    solver, terms = SOLVERS[name]
    _, problem = blurred(terms, dtype=torch.float32)
    whole = solver().solve(problem)
    for stop in range(solver().steps(problem)):
        state = solver().start(problem)
        for _ in range(stop):
            state = solver().step(problem, state)
            state.iteration += 1
        file = io.BytesIO()
        torch.save(state.state_dict(), file)
        file.seek(0)
        resumed = solver().solve(problem, resume=torch.load(file, weights_only=True))
        assert torch.equal(whole.image, resumed.image)
        assert whole.history == resumed.history


@every
@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_a_batch_is_solved_as_each_of_it(name, padding):
    solver, terms = SOLVERS[name]
    _, problem = blurred(terms, padding, batch=2, channels=2)
    together = finished(solver(), problem)
    for index in range(2):
        data, kernel = problem.data[index : index + 1], problem.kernel_prior()[index : index + 1]
        alone = finished(solver(), made(data, kernel, terms, padding))
        # Only sums in another order differ; conjugate gradients and thresholds amplify float64's 1e-16.
        assert torch.allclose(together.image[index], alone.image[0], atol=1e-6)


@every
def test_the_problem_stays_as_it_is(name):
    solver, terms = SOLVERS[name]
    _, problem = blurred(terms, dtype=torch.float32)
    data, free = problem.data.clone(), problem.image_prior.free.detach().clone()
    state = finished(solver(), problem)
    assert torch.equal(problem.data, data)
    assert torch.equal(problem.image_prior.free, free)
    image, kernel = state.priors(problem)
    assert torch.allclose(image(), state.estimate()[0])
    assert torch.equal(kernel(), problem.kernel_prior())
    assert len(state.losses) == state.iteration
    assert all(loss.ndim == 0 for loss in state.losses)


@every
def test_it_refuses_made_up_borders_and_other_operators(name):
    solver, terms = SOLVERS[name]
    with pytest.raises(AssemblyError, match=r"padding.*valid"):
        solver().check(blurred(terms, "replicate")[1])
    data = random(1, 1, 9, 9)
    prior = Pixels((1, 1, 9, 9), data).double()
    with pytest.raises(AssemblyError, match="Blur"):
        solver().check(Problem(data, Identity(), prior, KnownKernel((1, 1, 1, 1)), MSE(), terms))


# --- the blur and the matrices -----------------------------------------------------------------------------------


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.sampled_from(["valid", "circular"]),
    channels=st.integers(1, 2),
)
@settings(deadline=None)
def test_the_masked_blur_is_the_operator(height, width, padding, channels):
    kernel, data = a_kernel(2, (height, width)), random(2, channels, 9, 8)
    problem = made(data, kernel, (), padding)
    image, blur = random(*problem.image_prior.shape, seed=4), MaskedBlur.of(problem, kernel)
    assert torch.allclose(blur.forward(image), problem.operator(image, kernel), atol=1e-12)
    assert torch.allclose(blur.adjoint(data), problem.operator.adjoint(data, kernel), atol=1e-12)
    assert torch.allclose(blur.normal(image), blur.adjoint(blur.forward(image)), atol=1e-12)


@given(
    height=st.integers(3, 7), width=st.integers(3, 7), stencils=st.sampled_from([GRADIENT, SECOND, GRADIENT + SECOND])
)
@settings(deadline=None)
def test_bands_are_the_weighted_squares(height, width, stencils):
    """``x^T (sum D^T W D) x = sum w (D x)^2`` for every x, and the matrix is symmetric."""
    x, other = random(2, 2, height, width, seed=1), random(2, 2, height, width, seed=2)
    weights, bands = random(len(stencils), 2, 2, height, width, seed=3), {}
    add_squares(bands, weights, stencils)
    times_x = add_banded(bands, x, torch.zeros_like(x))
    first, second = (analyse(image, stencils, wrap=False) for image in (x, other))
    assert torch.allclose((other * times_x).sum(), (weights * first * second).sum())


@given(n=st.integers(1, 12), seed=st.integers(0, 99))
@settings(deadline=None)
def test_conjugate_gradients_solve_each_channel(n, seed):
    factor, right = random(n, n, seed=seed), random(2, 2, n, 1, seed=seed + 1)
    matrix = factor @ factor.T + torch.eye(n, dtype=factor.dtype)

    def solved(tolerance, right):
        jacobi = matrix.diag()[:, None]
        return conjugate_gradients(
            lambda x: matrix @ x,
            lambda r: r / jacobi,
            right,
            torch.zeros_like(right),
            iterations=60,
            tolerance=tolerance,
        )

    assert torch.allclose(matrix @ solved(1e-12, right), right, atol=1e-9)
    assert torch.equal(solved(1e-3, right)[:1, :1], solved(1e-3, right[:1, :1])) or n > 1  # shapes change the sums
    assert torch.equal(solved(0.5, torch.zeros_like(right)), torch.zeros_like(right))


# --- IRLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_irls_finds_the_minimum_of_a_quadratic_objective(padding):
    """Where the objective's own gradient vanishes: neither bands nor transforms of the solver are used to tell."""
    _, problem = blurred([Term(GradientL2(second=0.5), 1e-2), Term(GradientL2(), 2e-2)], padding, 2, 2, noise=0.1)
    state = finished(IRLS(reweightings=1, tolerance=1e-10), problem)
    image = state.image.requires_grad_()
    (gradient,) = torch.autograd.grad(problem.objective(image, state.kernel).sum(), image)
    start = problem.image_prior().detach().requires_grad_()
    (before,) = torch.autograd.grad(problem.objective(start, state.kernel).sum(), start)
    assert gradient.norm() < 1e-7 * before.norm()


def test_irls_loses_nothing_in_a_reweighted_step():
    """A majoriser that touches the objective cannot be lowered without lowering this."""
    _, problem = blurred(SPARSE, noise=0.05)
    losses = IRLS(reweightings=12, tolerance=1e-9).solve(problem).history
    assert all(after <= before * (1 + 1e-9) for before, after in zip(losses[1:], losses[2:], strict=False))
    assert losses[-1] < losses[0]
    final = finished(IRLS(reweightings=12, tolerance=1e-9), problem)
    assert losses[-1] == pytest.approx(float(problem.objective(final.image, final.kernel).sum()))


def test_irls_needs_reweightable_terms():
    class Other(Regularizer):
        def forward(self, value):
            return value.square().mean((1, 2, 3))

    for terms in ([], [Term(Other(), 1.0)]):
        with pytest.raises(AssemblyError, match="Reweightable"):
            IRLS().check(blurred(terms)[1])


def test_irls_bears_weights_of_zero():
    truth, problem = blurred([Term(GradientL2(), 0.0)], "circular")
    image = finished(IRLS(reweightings=1, cg_iterations=300, tolerance=1e-8), problem).image
    assert (image - truth).abs().max() < 1e-3  # no noise: the deconvolution is exact, up to a condition of 1e3


@pytest.mark.slow
def test_irls_on_a_photograph(data_root):
    """Levin's image 1 blurred by kernel 1; the paper's settings give 34.9 dB."""
    from invkit.media.images import read_image
    from invkit.metrics.aligned import aligned_psnr

    folder = data_root / "levin"
    blurry, sharp, kernel = (
        torch.as_tensor(read_image(folder / name)).reshape(1, 1, *size)
        for name, size in (
            ("blurry/im1_kernel1_img.png", (255, 255)),
            ("sharp/im1.png", (255, 255)),
            ("kernels/kernel1.png", (19, 19)),
        )
    )
    kernel = kernel.rot90(2, (-2, -1)) / kernel.sum()
    result = IRLS().solve(made(blurry.float(), kernel.float(), SPARSE))
    image = crop_to_data(torch.as_tensor(result.image), (19, 19), (255, 255))
    assert aligned_psnr(image, sharp) > 34.5


# --- Wiener ------------------------------------------------------------------------------------------------------


def test_wiener_minimises_the_periodic_objective():
    weight, second = 1e-2, 0.5
    _, problem = blurred([Term(GradientL2(second=second), weight)], "circular", 2, 2, noise=0.1)
    state = finished(Wiener(), problem)
    image = state.image.requires_grad_()
    squares = analyse(image, GRADIENT).square().sum(0) + second * analyse(image, SECOND).square().sum(0)
    data_term = (problem.operator(image, state.kernel) - problem.data).square()
    (gradient,) = torch.autograd.grad((data_term + weight * squares).mean(), image)
    assert gradient.abs().max() < 1e-12


def test_wiener_without_blur_and_weight_gives_the_data():
    data = random(1, 3, 12, 11)
    problem = made(data, torch.ones(1, 1, 1, 1, dtype=data.dtype), [Term(GradientL2(), 0.0)])
    result = Wiener().solve(problem)
    assert torch.allclose(result.image, data, atol=1e-6)  # the floor of the divisor is 1e-7
    assert result.stopped == "converged"


def test_wiener_takes_isotropic_terms_for_their_steepest_quadratic():
    """TV of smoothing e is majorised by ``|d|^2 / (2 e)`` at zero."""
    smoothing = 0.5
    data, kernel = random(1, 3, 12, 11), a_kernel()
    images = [
        finished(Wiener(), made(data, kernel, [term])).image
        for term in (Term(TotalVariation(smoothing=smoothing), 0.1), Term(GradientL2(), 0.1 / (2 * smoothing)))
    ]
    assert torch.allclose(*images, atol=1e-9)


# --- Richardson-Lucy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_richardson_lucy_without_blur_gives_the_data(gamma):
    data = random(1, 2, 8, 9) * 0.9 + 0.05
    problem = made(data, torch.ones(1, 1, 1, 1, dtype=data.dtype), image=torch.full_like(data, 0.3))
    assert torch.allclose(RichardsonLucy(iterations=1, gamma=gamma).solve(problem).image, data, atol=1e-5)


def test_richardson_lucy_keeps_the_light_and_lowers_the_divergence():
    """Both are known of the plain iteration (Shepp & Vardi 1982)."""
    _, problem = blurred((), "circular", noise=0.05)
    result = finished(RichardsonLucy(iterations=20, acceleration=False), problem)
    assert result.image.sum() == pytest.approx(float(problem.data.sum()), rel=1e-9)
    losses = [float(loss) for loss in result.losses]
    assert losses == sorted(losses, reverse=True)
    assert min(losses) >= 0


def test_acceleration_gets_further_in_as_many_steps():
    _, problem = blurred(())
    plain, fast = (RichardsonLucy(iterations=25, acceleration=on).solve(problem) for on in (False, True))
    assert fast.history[-1] < 0.5 * plain.history[-1]


def test_momentum_is_the_share_of_a_change_in_the_last():
    change = random(2, 3, 4, 5)
    assert torch.equal(alike(change, torch.zeros_like(change)), torch.zeros(2, 3, 1, 1, dtype=change.dtype))
    assert torch.allclose(alike(0.6 * change, change), torch.full((2, 3, 1, 1), 0.6, dtype=change.dtype))
    assert torch.equal(alike(-change, change), torch.zeros(2, 3, 1, 1, dtype=change.dtype))


def test_what_is_not_seen_stays_as_it_was():
    """A kernel that is one pixel in a corner of its size looks at none of the image's other margins."""
    kernel = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    kernel[..., 0, 0] = 1
    problem = made(random(1, 1, 10, 10) * 0.5 + 0.2, kernel, image=torch.full((1, 1, 14, 14), 0.4, dtype=kernel.dtype))
    image = finished(RichardsonLucy(iterations=10), problem).image
    assert torch.allclose(image[..., 4:, 4:], problem.data, atol=1e-6)
    assert torch.allclose(image[..., :4, :], torch.full((4, 14), 0.4, dtype=kernel.dtype), atol=1e-9)


def test_regularizers_make_it_smoother():
    _, problem = blurred((), noise=0.2)
    penalty = TotalVariation(smoothing=0.02)
    rough, smooth = (
        finished(RichardsonLucy(iterations=40, acceleration=False), replace(problem, regularizers=terms)).image
        for terms in ([], [Term(penalty, 1e-2)])
    )
    assert float(penalty(smooth).sum()) < 0.7 * float(penalty(rough).sum())


@given(st.floats(0.05, 3), st.floats(0.2, 1))
@settings(deadline=None)
def test_the_response_clips_and_has_its_derivative(light, level):
    value = torch.tensor(light, dtype=torch.float64, requires_grad=True)
    clipped, slope = response(value, level)
    assert float(clipped.detach()) == pytest.approx(min(light, level), abs=0.7 / 50)  # off by log(2) / a at the level
    (derivative,) = torch.autograd.grad(clipped, value)
    if float(clipped.detach()) > 1e-3:  # not at the floor that keeps it positive
        assert float(slope.detach()) == pytest.approx(float(derivative), abs=1e-9)


def test_saturated_lights_do_not_spoil_their_surroundings():
    image, kernel = blocks(size=(60, 60)) * 0.6, a_kernel(size=(9, 9))
    lights = torch.zeros_like(image)
    lights[..., 20:22, 20:22] = lights[..., 40:42, 30:32] = 8
    data = Convolution()(image + lights, kernel).clamp(0, 1)
    problem = made(data, kernel)
    around = dilated(dilated((lights > 0).double())) == 0  # four pixels off
    plain, aware = (
        (RichardsonLucy(iterations=40, saturation=level).solve(problem).image - image)[around].square().mean()
        for level in (None, 1.0)
    )
    assert aware < 0.25 * plain


def test_lights_may_exceed_white():
    image, kernel = torch.full((1, 1, 30, 30), 0.2, dtype=torch.float64), a_kernel()
    image[..., 15, 15] = 5.0
    problem = made(Convolution()(image, kernel).clamp(0, 1), kernel)
    state = finished(RichardsonLucy(iterations=60, saturation=1.0), problem)
    assert float(state.image.max()) > 1.5
    assert float(state.estimate()[0].max()) == 1


def test_masks_are_dilated_by_a_disk_and_smoothed():
    from scipy.ndimage import binary_dilation, gaussian_filter

    mask = (random(1, 2, 15, 17) > 0.97).double()
    offsets = torch.arange(-3, 4)
    disk = offsets[:, None] ** 2 + offsets[None] ** 2 <= 9
    for ours, plane in zip(dilated(mask)[0], mask[0], strict=True):
        assert (ours.numpy() == binary_dilation(plane.numpy(), disk.numpy())).all()
    for ours, plane in zip(smoothed(mask)[0], mask[0], strict=True):
        theirs = gaussian_filter(plane.numpy(), 3.0, mode="nearest", truncate=3.0)
        assert abs(ours.numpy() - theirs).max() < 1e-12


# --- ringing removal -----------------------------------------------------------------------------------------------


def test_the_result_is_detail_less_the_filtered_difference():
    _, problem = blurred(TV, noise=0.05)
    state = finished(ringing(structure_weight=1e-3, strength=0.5), problem)
    detail = finished(HalfQuadratic(), problem).estimate()[0]
    structure = finished(HalfQuadratic(), replace(problem, regularizers=[Term(L0Gradient(), 1e-3)])).estimate()[0]
    expected = detail - 0.5 * bilateral(detail - structure, 3.0, 0.1)
    assert torch.allclose(state.image, expected, atol=1e-12)


def test_what_the_inner_solvers_refuse_is_refused():
    with pytest.raises(AssemblyError, match=r"IRLS needs .*Reweightable; L0Gradient"):
        ringing(structure_solver=IRLS()).check(blurred(TV)[1])
    with pytest.raises(AssemblyError, match="HalfQuadratic needs"):
        ringing().check(blurred([])[1])


def test_the_bilateral_filter_blurs_below_its_range_and_keeps_what_exceeds_it():
    constant = torch.full((1, 2, 6, 5), 0.3)
    assert torch.allclose(bilateral(constant, 3.0, 0.1), constant)
    step = torch.zeros(1, 1, 8, 12, dtype=torch.float64)
    step[..., 6:] = 1
    assert torch.allclose(bilateral(step, 2.0, 0.05), step, atol=1e-12)
    spot = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    spot[..., 10, 10] = 1
    offsets = torch.arange(-10, 11, dtype=torch.float64)
    gaussian = torch.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 2.0**2))
    gaussian[(offsets.abs() > 4)[:, None] | (offsets.abs() > 4)[None]] = 0
    assert torch.allclose(bilateral(spot, 2.0, 1e6)[0, 0], gaussian / gaussian.sum(), atol=1e-9)

"""Joint and alternating Adam: the algorithm, exact resuming, averaging, early stopping and what is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from narrow import known, tensor
from torch import Tensor, nn

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Fidelity, ImagePrior, KernelPrior, LinearOperator
from invkit.core.problem import Problem
from invkit.core.result import Result
from invkit.fidelities.norms import MSE
from invkit.fidelities.schedule import Schedule
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.dip_skip import DipSkipKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import Shape, shape_of
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import AdamSolver, AdamState, AlternatingAdam, JointAdam, learning_rate_factor
from invkit.solvers.early_stop import EarlyStop

SOLVERS = [JointAdam, AlternatingAdam]
SHAPE = (1, 1, 20, 18)


class Scaling(LinearOperator):
    """The image times the sum of the squares of the kernel: enough of an operator for a solver."""

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        return image * kernel.square().sum()

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        return self.forward(data, kernel)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return data_shape


class Numbers(ImagePrior):
    """Free pixels, as the image is."""

    def __init__(self, value: Tensor) -> None:
        super().__init__(shape_of(value))
        self.value = nn.Parameter(value.clone())

    def forward(self) -> Tensor:
        return self.value * 1


class FreeKernel(KernelPrior):
    """Free kernel pixels, of any values."""

    rule = "anything"

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        return value

    def __init__(self, value: Tensor) -> None:
        super().__init__(shape_of(value))
        self.value = nn.Parameter(value.clone())

    def forward(self) -> Tensor:
        return self.value * 1


class Fixed(KernelPrior):
    """A kernel without unknowns."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__((1, 1, 3, 3))
        self.register_buffer("value", torch.full((1, 1, 3, 3), 1 / 9))

    def forward(self) -> Tensor:
        return self.value * 1


class FixedImage(ImagePrior):
    """An image without unknowns."""

    def forward(self) -> Tensor:
        return torch.full(self.shape, 0.5)


class Cubic(Fidelity):
    """Another fidelity, to schedule."""

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        return (predicted - data).abs().pow(3).mean((1, 2, 3))


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(7))


def problem(
    dtype: torch.dtype = torch.float32,
    kernel_prior: KernelPrior | None = None,
    image_prior: ImagePrior | None = None,
    fidelity: MSE | None = None,
    batch: int = 1,
) -> Problem:
    shape = (batch, *SHAPE[1:])
    return Problem(
        data=noise(*shape).to(dtype),
        operator=Scaling(),
        image_prior=image_prior or DipSkipImage(shape, channels=4, scales=2),
        kernel_prior=kernel_prior or DipSkipKernel((batch, 1, 5, 7), channels=4),
        fidelity=fidelity or Schedule([(MSE(), 5), (Cubic(), None)]),
    )


def run(solver: AdamSolver, of: Problem, steps: int, state: AdamState | None = None) -> AdamState:
    state = state or solver.start(of)
    for _ in range(steps):
        state = solver.step(of, state)
        state.iteration += 1
    return state


def through_a_file(saved: Any) -> Any:
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain"),
        pytest.param({"ema": 0.7, "early_stop": 3, "milestones": (2, 6)}, id="average, early stop, milestones"),
        pytest.param({"precision": "bfloat16"}, id="bfloat16"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 4, 9])
def test_a_solve_resumed_from_a_file_continues_to_the_same_bits(
    solver: type[AdamSolver], settings: dict[str, Any], before: int
) -> None:
    method, of = solver(perturbation=0.01, kernel_lr=1e-2, seed=3, **settings), problem()
    straight = run(method, of, 10)
    saved = through_a_file(run(method, of, before).state_dict())
    resumed = method.start(of)
    resumed.load_state_dict(saved)
    resumed = run(method, of, 10 - before, resumed)
    assert same(straight.state_dict(), resumed.state_dict())
    assert same(straight.estimate(), resumed.estimate())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_saved_state_is_a_copy(solver: type[AdamSolver]) -> None:
    method, of = solver(ema=0.5, early_stop=1), problem()
    state = run(method, of, 3)
    saved = state.state_dict()
    kept = through_a_file(saved)
    run(method, of, 2, state)
    assert same(saved, kept)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solve_resumes_too_and_gives_the_uninterrupted_result(solver: type[AdamSolver]) -> None:
    of = problem()
    whole = solver(iterations=8).solve(of)
    part = run(solver(iterations=8), of, 3)
    rest = solver(iterations=8).solve(of, resume=through_a_file(part.state_dict()))
    assert torch.equal(tensor(whole.image), tensor(rest.image))
    assert torch.equal(tensor(whole.kernel), tensor(rest.kernel))
    assert whole.history == rest.history


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_problem_is_left_as_it_is_and_a_second_solve_gives_the_same(solver: type[AdamSolver]) -> None:
    of = problem()
    before = [p.clone() for prior in (of.image_prior, of.kernel_prior) for p in prior.parameters()]
    state = torch.get_rng_state()
    first, second = solver(iterations=3).solve(of), solver(iterations=3).solve(of)
    after = [p for prior in (of.image_prior, of.kernel_prior) for p in prior.parameters()]
    assert same(before, after)
    assert torch.equal(tensor(first.image), tensor(second.image))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_loss_falls(solver: type[AdamSolver]) -> None:
    of = problem(fidelity=MSE(), image_prior=Numbers(0.2 * noise(*SHAPE)), kernel_prior=FreeKernel(noise(1, 1, 3, 3)))
    history = solver(iterations=100, kernel_lr=1e-2).solve(of).history
    assert history[-1] < 0.2 * history[0]


def test_joint_steps_are_adam_on_both_gradients_at_one_point() -> None:
    of = problem(fidelity=MSE(), image_prior=Numbers(noise(*SHAPE)), kernel_prior=FreeKernel(noise(1, 1, 3, 3)))
    state = run(JointAdam(image_lr=0.02, kernel_lr=0.03, milestones=(2,), decay=0.1), of, 4)
    image, kernel = noise(*SHAPE).requires_grad_(), noise(1, 1, 3, 3).requires_grad_()
    adam = torch.optim.Adam([{"params": [image], "lr": 0.02}, {"params": [kernel], "lr": 0.03}])
    for iteration in range(4):
        if iteration == 2:
            for group in adam.param_groups:
                group["lr"] *= 0.1
        adam.zero_grad()
        of.objective(image, kernel).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    # the same operations in the same order, but for a multiplication by one
    torch.testing.assert_close(state.estimate(), (image.detach(), kernel.detach()), rtol=1e-6, atol=1e-7)


def test_alternating_steps_move_the_kernel_first_and_the_image_with_the_new_kernel() -> None:
    of = problem(fidelity=MSE(), image_prior=Numbers(noise(*SHAPE)), kernel_prior=FreeKernel(noise(1, 1, 3, 3)))
    state = run(AlternatingAdam(image_lr=0.02, kernel_lr=0.03), of, 3)
    image, kernel = noise(*SHAPE).requires_grad_(), noise(1, 1, 3, 3).requires_grad_()
    of_image, of_kernel = torch.optim.Adam([image], lr=0.02), torch.optim.Adam([kernel], lr=0.03)
    for _ in range(3):
        for unknown, adam in ((kernel, of_kernel), (image, of_image)):
            adam.zero_grad()
            (unknown.grad,) = torch.autograd.grad(of.objective(image, kernel).sum(), [unknown])
            adam.step()
    torch.testing.assert_close(state.estimate(), (image.detach(), kernel.detach()), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("iteration", "factor"), [(0, 1), (1999, 1), (2000, 0.5), (3000, 0.25), (3999, 0.25), (4000, 0.125), (9999, 0.125)]
)
def test_the_rate_is_halved_from_each_milestone_on(iteration: int, factor: float) -> None:
    assert learning_rate_factor(iteration, (2000, 3000, 4000), 0.5) == factor


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("known", ["kernel", "image"])
def test_a_prior_without_unknowns_stays_as_it_is(solver: type[AdamSolver], known: str) -> None:
    kernel_prior, image_prior = (Fixed(), None) if known == "kernel" else (None, FixedImage(SHAPE))
    of = problem(kernel_prior=kernel_prior, image_prior=image_prior)
    result = solver(iterations=3).solve(of)
    assert torch.equal(tensor(result.kernel), of.kernel_prior()) is (known == "kernel")
    assert torch.equal(tensor(result.image), of.image_prior()) is (known == "image")
    assert len(result.history) == 3


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_problem_without_unknowns_is_refused_by_name(solver: type[AdamSolver]) -> None:
    of = problem(kernel_prior=Fixed(), image_prior=FixedImage(SHAPE))
    with pytest.raises(AssemblyError, match="nothing to optimise: neither FixedImage nor Fixed"):
        solver().solve(of)


@pytest.mark.parametrize("solver", SOLVERS)
def test_float64_is_kept_whatever_the_priors_were_built_in(solver: type[AdamSolver]) -> None:
    result = solver(iterations=3).solve(problem(torch.float64))
    assert result.image.dtype == result.kernel.dtype == torch.float64
    # softmax in double precision: 35 rounding errors of 1e-16
    assert float(result.kernel.sum()) == pytest.approx(1, abs=1e-14)


def test_bfloat16_on_float64_data_is_refused() -> None:
    with pytest.raises(AssemblyError, match=r"float64; use precision float32"):
        JointAdam(precision="bfloat16").solve(problem(torch.float64))


class SeesDtypes(Scaling):
    """Notes the precision in which the operator is called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        result = super().forward(image, kernel)
        self.seen |= {image.dtype, kernel.dtype, (image @ image.mT).dtype}
        return result


@pytest.mark.parametrize("solver", SOLVERS)
def test_bfloat16_stays_inside_the_network(solver: type[AdamSolver]) -> None:
    operator, of = SeesDtypes(), problem()
    of = Problem(of.data, operator, of.image_prior, of.kernel_prior, of.fidelity)
    lower, full = (solver(iterations=2, precision=p).solve(of) for p in ("bfloat16", "float32"))
    assert operator.seen == {torch.float32}
    assert lower.image.dtype == torch.float32
    assert lower.history != full.history
    # bfloat16 has 8 bits: the first loss, of untrained networks, agrees to about a percent
    assert lower.history[0] == pytest.approx(full.history[0], rel=0.05)


@pytest.mark.parametrize("solver", SOLVERS)
def test_images_of_a_batch_share_the_solve(solver: type[AdamSolver]) -> None:
    result = solver(iterations=2).solve(problem(batch=2))
    assert result.image.shape == (2, *SHAPE[1:])
    assert result.kernel.shape == (2, 1, 5, 7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_is_several_problems_solved_apart(solver: type[AdamSolver]) -> None:
    size, kernel_size, steps = (33, 34), (5, 5), 4
    data = noise(2, 1, 33 - 4, 34 - 4)
    small: dict[str, Any] = {"channels": 4, "skip_channels": 2, "scales": 2}

    def solved(some: Tensor, seed: int) -> Result:
        one = Problem(
            data=some,
            operator=Convolution(),
            image_prior=DipSkipImage((len(some), 1, *size), seed=seed, **small),
            kernel_prior=SoftmaxFCN((len(some), 1, *kernel_size), hidden=20, seed=seed),
            fidelity=MSE(),
        )
        return solver(iterations=steps, perturbation=0.0).solve(one)

    together, apart = solved(data, 7), [solved(data[i : i + 1], 7 + i) for i in range(2)]
    assert torch.allclose(tensor(together.image), torch.cat([tensor(one.image) for one in apart]), atol=1e-4)
    assert torch.allclose(tensor(together.kernel), torch.cat([tensor(one.kernel) for one in apart]), atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_perturbation_is_seeded_and_absent_from_the_estimate(solver: type[AdamSolver]) -> None:
    of = problem()
    histories = [
        solver(iterations=4, perturbation=p, seed=s).solve(of).history for p, s in [(0, 0), (0, 1), (0.1, 0), (0.1, 1)]
    ]
    assert histories[0] == histories[1]
    assert len({*histories}) == 3
    state = run(solver(perturbation=0.1), of, 2)
    assert torch.equal(state.estimate()[0], state.image_prior())
    assert same(state.estimate(), state.estimate())


def test_the_average_is_the_running_mean_of_the_images() -> None:
    of = problem(fidelity=MSE(), image_prior=Numbers(noise(*SHAPE)))
    method, plain = JointAdam(ema=0.9), JointAdam()
    state, other = method.start(of), plain.start(of)
    expected = other.image_prior().detach()
    for _ in range(4):
        image = other.image_prior().detach()
        expected = 0.9 * expected + 0.1 * image
        state, other = run(method, of, 1, state), run(plain, of, 1, other)
    torch.testing.assert_close(state.estimate()[0], expected, rtol=1e-6, atol=1e-7)


def test_early_stop_finds_the_image_that_moved_least() -> None:
    """Images that come to rest and, at 80, then begin to shake."""
    stop, generator = EarlyStop(patience=8), torch.Generator().manual_seed(0)
    target, stopped = noise(1, 1, 6, 6), None
    for iteration in range(300):
        shake = 0.002 * max(0, iteration - 80) * torch.randn(1, 1, 6, 6, generator=generator)
        image = target + 0.8**iteration + shake
        stop.update(image, torch.full((1, 1, 1, 1), float(iteration)))
        if stop.is_over():
            stopped = iteration
            break
    assert stopped is not None
    assert 80 <= stopped <= 120
    image, iterations = known(stop.best)
    assert int(iterations) == stopped - 8
    torch.testing.assert_close(image, target, rtol=0, atol=0.05)


@pytest.mark.parametrize("before", [0, 30, 70, 110])
def test_an_early_stop_saved_at_any_time_goes_on_as_it_was(before: int) -> None:
    images = [noise(1, 1, 4, 4) * 0.9**i for i in range(60)] + [noise(1, 1, 4, 4) * 1.1**i for i in range(60)]
    straight, saved = EarlyStop(patience=200), EarlyStop(patience=200)
    for image in images:
        straight.update(image, image)
    for image in images[:before]:
        saved.update(image, image)
    resumed = EarlyStop(patience=200)
    resumed.load_state_dict(through_a_file(saved.state_dict()), torch.device("cpu"))
    for image in images[before:]:
        resumed.update(image, image)
    assert straight.best is not None
    assert same(straight.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_converged_solve_says_so_and_returns_the_chosen_image(solver: type[AdamSolver]) -> None:
    of = problem(fidelity=MSE(), image_prior=Numbers(noise(*SHAPE)), kernel_prior=FreeKernel(noise(1, 1, 3, 3)))
    method = solver(iterations=500, early_stop=1, image_lr=0.5)
    result = method.solve(of)
    assert result.stopped == "converged"
    assert result.iterations < 500
    replay = run(method, of, result.iterations)
    assert torch.equal(tensor(result.image), known(known(replay.early_stop).best)[0])
    assert not torch.equal(tensor(result.image), replay.image_prior().detach())


@pytest.mark.parametrize(
    "settings", [{"iterations": 0}, {"ema": 1.0}, {"precision": "float16"}, {"image_lr": -1.0}, {"milestones": (-1,)}]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        JointAdam(**settings)

"""The loss of each phase of the solver, and the priors that it refuses."""

from __future__ import annotations

import pytest
import torch
from invkit_vdip.abilities import GaussianPrior
from invkit_vdip.gaussian_dip_skip import GaussianDipSkip
from invkit_vdip.sparse_gradient import SparseGradient
from invkit_vdip.variational_adam import VariationalAdam, entropy
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import ImagePrior
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.l2 import KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import AdamState

SIZE = (5, 5)


def problem(*terms: Term, image_prior: ImagePrior | None = None) -> Problem:
    data = torch.rand((1, 1, 20, 24), generator=torch.Generator().manual_seed(0))
    operator, kernel_prior = Convolution(), SimplexKernel((1, 1, *SIZE))
    shape = operator.image_shape(shape_of(data), kernel_prior.shape)
    prior = image_prior or GaussianDipSkip(shape, channels=4, skip_channels=2, scales=2)
    return Problem(data, operator, prior, kernel_prior, MSE(), terms)


def distribution(prior: object) -> tuple[Tensor, Tensor]:
    assert isinstance(prior, GaussianPrior)
    return prior.distribution()


def run(solver: VariationalAdam, given: Problem, steps: int) -> AdamState:
    state = solver.start(given)
    for _ in range(steps):
        state = solver.step(given, state)
        state.iteration += 1
    return state


def test_an_image_prior_without_a_distribution_is_refused() -> None:
    with pytest.raises(AssemblyError, match="GaussianPrior"):
        VariationalAdam().solve(problem(image_prior=Pixels((1, 1, 24, 28), initial="grey")))


def test_fewer_scales_where_the_image_is_small() -> None:
    assert GaussianDipSkip((1, 1, 24, 28), channels=4).settings.scales == 4
    assert GaussianDipSkip((1, 1, 64, 64), channels=4).settings.scales == 5


def test_the_image_is_the_mean_of_the_distribution() -> None:
    prior = GaussianDipSkip((2, 3, 24, 28), channels=4, scales=2)
    mean, std = prior.distribution()
    assert mean.shape == std.shape == (2, 3, 24, 28)
    torch.testing.assert_close(prior(), mean, rtol=0, atol=0)
    assert not torch.equal(mean, std)


def test_the_warmup_fits_the_mean_to_the_data_and_leaves_the_kernel() -> None:
    given = problem()
    state = run(VariationalAdam(warmup=60), given, 60)
    mean, std = (crop_to_data(value, SIZE, (20, 24)) for value in distribution(state.image_prior))
    before_mean, before_std = (crop_to_data(value, SIZE, (20, 24)) for value in distribution(given.image_prior))
    assert (mean - given.data).square().mean() < 0.6 * (before_mean - given.data).square().mean()
    assert std.square().mean() < 0.05 * before_std.square().mean()
    assert torch.equal(state.kernel_prior(), given.kernel_prior())


def test_the_bound_is_its_formula() -> None:
    terms = Term(SparseGradient(), 2.0), Term(TotalVariation(), 3.0), Term(KernelL2(), 5.0, target="kernel")
    given, solver = problem(*terms), VariationalAdam(warmup=0, kl_weight=0.25, seed=3)
    with torch.no_grad():
        (mean, std), kernel = distribution(given.image_prior), given.kernel_prior()
        sample = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        divergence = (
            2 * SparseGradient().expected(mean, std)
            + 3 * TotalVariation()(sample)
            + 5 * kernel.square().sum()
            - std.log().mean()
        )
        expected = MSE()(given.operator(sample, kernel), given.data) + 0.25 * divergence
    assert run(solver, given, 1).loss == pytest.approx(float(expected), rel=1e-5)


def test_after_the_bound_the_fidelity_of_the_mean_is_left() -> None:
    given = problem(Term(SparseGradient(), 1.0))
    loss = run(VariationalAdam(warmup=0, kl_until=0), given, 1).loss
    expected = MSE()(given.operator(given.image_prior(), given.kernel_prior()), given.data)
    assert loss == pytest.approx(expected.item(), rel=1e-6)


def test_the_weight_of_the_divergence_falls_at_its_milestones() -> None:
    solver = VariationalAdam(kl_weight=0.5, kl_milestones=(10, 20), kl_decay=0.1)
    assert [solver.kl_factor(i) for i in (0, 9, 10, 19, 20)] == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005])


def test_for_gaussian_data_the_bound_finds_the_posterior() -> None:
    """With fidelity ``(x - y)^2 / 2`` per value and no penalty, ``std^2 / 2 - w log std`` is least at ``std^2 = w``."""
    std = torch.linspace(0.05, 1, 2000, dtype=torch.float64)
    bound = torch.stack([s.square() / 2 - 0.09 * entropy(s) for s in std])
    assert float(std[bound.argmin()]) == pytest.approx(0.3, abs=1e-3)


def test_the_entropy_is_finite_where_nothing_is_uncertain() -> None:
    std = torch.tensor([0.0, 0.5], requires_grad=True)
    value = entropy(std)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert std.grad is not None
    assert std.grad.isfinite().all()

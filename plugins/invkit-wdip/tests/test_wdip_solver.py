"""The steps of W-DIP."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from invkit_wdip import WienerGuidedAdam
from invkit_wdip.guides import best_shifts, normalised, sharpened, shifted_image, shifted_kernel

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import JointAdam


def problem(padding: Literal["valid", "circular"] = "valid") -> Problem:
    operator, kernel_prior = Convolution(padding=padding), SoftmaxFCN((1, 1, 5, 6), hidden=8, latent_size=4)
    data = torch.rand(1, 1, 20, 22, generator=torch.Generator().manual_seed(0))
    shape = operator.image_shape((1, 1, 20, 22), kernel_prior.shape)
    image_prior = DipSkipImage(shape, channels=4, scales=2)
    return Problem(data, operator, image_prior, kernel_prior, MSE())


def test_without_guidance_it_is_joint_adam() -> None:
    settings: dict[str, Any] = {"iterations": 5, "milestones": (2, 3), "decay": 0.3, "kernel_lr": 1e-3, "seed": 3}
    guided = WienerGuidedAdam(guidance=0.0, kernel_guidance=0.0, **settings).solve(problem())
    joint = JointAdam(**settings).solve(problem())
    assert guided.history == joint.history
    assert torch.equal(torch.as_tensor(guided.image), torch.as_tensor(joint.image))


def test_guidance_changes_both_networks() -> None:
    guided = WienerGuidedAdam(iterations=5, guidance=1.0).solve(problem())
    joint = JointAdam(iterations=5).solve(problem())
    assert not torch.equal(torch.as_tensor(guided.image), torch.as_tensor(joint.image))
    assert not torch.equal(torch.as_tensor(guided.kernel), torch.as_tensor(joint.kernel))


def test_the_distance_is_the_sum_of_its_parts() -> None:
    solver, case = WienerGuidedAdam(guidance=0.5, kernel_guidance=0.25), problem()
    image, kernel = case.image_prior().detach(), case.kernel_prior().detach()
    auxiliary = normalised(torch.rand(kernel.shape, generator=torch.Generator().manual_seed(1)))
    shifts = best_shifts(auxiliary, kernel)
    sharp = shifted_image(sharpened(case.data, auxiliary, 0.025), shifts, kernel, case.data)
    expected = 0.5 * (image[..., 2:-2, 2:-3] - sharp).square().mean()
    expected += 0.25 * (shifted_kernel(auxiliary, shifts) - kernel).square().sum()
    torch.testing.assert_close(solver.distance(case, 0, image, kernel, auxiliary)[0], expected)


def test_the_auxiliary_kernel_follows_the_kernel() -> None:
    """Up to a shift, with that distance alone and at a rate that gets somewhere."""
    solver, case = (
        WienerGuidedAdam(guidance=0.0, auxiliary_penalty=0.0, auxiliary_lr=1e-3, auxiliary_milestones=()),
        problem(),
    )
    state, image = solver.start(case), case.image_prior().detach()
    kernel = torch.zeros(1, 1, 5, 6)
    kernel[..., 2, 3] = 1
    before = solver.distance(case, 0, image, kernel, state.auxiliary)
    for _ in range(20):
        solver.follow(case, state, image, kernel)
    assert solver.distance(case, 0, image, kernel, state.auxiliary) < 0.8 * before


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (17, {0: 1e-6, 69: 1e-6, 70: 1e-5, 120: 1e-4, 170: 1e-3}),
        (21, {139: 1e-6, 140: 1e-5, 340: 1e-3}),
        (9, {0: 1e-3}),
    ],
)
def test_the_auxiliary_rate_waits_longer_for_a_larger_kernel(side: int, expected: dict[int, float]) -> None:
    case, solver = problem(), WienerGuidedAdam()
    case.kernel_prior.shape = (1, 1, side - 2, side)
    for iteration, rate in expected.items():
        assert solver.auxiliary_rate(case, iteration) == pytest.approx(rate)


def test_another_border_is_refused() -> None:
    with pytest.raises(AssemblyError, match="padding valid"):
        WienerGuidedAdam().check(problem("circular"))

"""The graphs of a real GPU. Without one all of this is skipped; on a machine with one:

pytest tests/unit/solvers/test_cuda_graphs.py
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from invkit.core.problem import Problem, Term
from invkit.core.result import Result
from invkit.fidelities.norms import MSE
from invkit.fidelities.schedule import Schedule
from invkit.fidelities.ssim import SSIM
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.operators.convolution import Convolution
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import AdamSolver, AlternatingAdam, JointAdam
from invkit.solvers.graph_replay import PLAIN_STEPS_BEFORE_GRAPH, Execution

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="needs an Nvidia GPU: pytest tests/unit/solvers/test_cuda_graphs.py on a machine that has one",
)
SOLVERS = [JointAdam, AlternatingAdam]
EXECUTIONS: tuple[Execution, ...] = ("plain", "graph")
STEPS = 40


def problem(batch: int = 1, fidelity: MSE | None = None) -> Problem:
    data = torch.rand(batch, 1, 60, 62, generator=torch.Generator().manual_seed(1))
    made = Problem(
        data=data,
        operator=Convolution(),
        image_prior=DipSkipImage((batch, 1, 68, 70), channels=16, skip_channels=4, scales=3),
        kernel_prior=SoftmaxFCN((batch, 1, 9, 9), hidden=50),
        fidelity=fidelity or Schedule([(MSE(), 15), (SSIM(), None)]),
        regularizers=[Term(TotalVariation(), 0.01)],
    )
    return made.to("cuda")


def solved(solver: type[AdamSolver], of: Problem, execution: Execution, **settings: Any) -> Result:
    return solver(iterations=STEPS, execution=execution, milestones=(10, 20), **settings).solve(of)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"ema": 0.8}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_replayed_solve_is_the_plain_one(solver: type[AdamSolver], settings: dict[str, Any], batch: int) -> None:
    """But for sums whose order a GPU does not keep, which training enlarges: so the first steps, and those replayed."""
    of = problem(batch)
    plain, replayed = (torch.tensor(solved(solver, of, each, **settings).history) for each in EXECUTIONS)
    begun = slice(PLAIN_STEPS_BEFORE_GRAPH + 3)  # with three that were replayed
    torch.testing.assert_close(plain[begun], replayed[begun], rtol=1e-3 if settings.get("precision") else 1e-4, atol=0)
    torch.testing.assert_close(plain, replayed, rtol=0.2, atol=0)
    assert replayed.unique().numel() == STEPS  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_perturbations_are_those_of_a_plain_solve(solver: type[AdamSolver]) -> None:
    of = problem(fidelity=MSE())
    states = []
    for execution in EXECUTIONS:
        method = solver(execution=execution, perturbation=0.1)
        state = method.start(of)
        for _ in range(PLAIN_STEPS_BEFORE_GRAPH + 5):
            state = method.step(of, state)
            state.iteration += 1
        states.append(state.state_dict()["generator"])
    assert torch.equal(*states)


def test_a_steady_step_never_waits() -> None:
    """Torch raises where a step asks for what waits for the device."""
    of, solver = problem(fidelity=MSE()), JointAdam(execution="graph")
    state = solver.start(of)
    for _ in range(PLAIN_STEPS_BEFORE_GRAPH + 2):
        state = solver.step(of, state)
        state.iteration += 1
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            state = solver.step(of, state)
            state.iteration += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(state.losses) == PLAIN_STEPS_BEFORE_GRAPH + 7


class Hesitant(MSE):
    """Waits for the device, unseen by torch's operations."""

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        torch.cuda.synchronize()
        return super().forward(predicted, data)


def test_a_recording_that_fails_leaves_a_plain_solve() -> None:
    of = problem(fidelity=Hesitant())
    with pytest.warns(RuntimeWarning, match="recording it failed"):
        replayed = solved(JointAdam, of, "auto")
    plain = solved(JointAdam, of, "plain")
    assert replayed.history[0] == pytest.approx(plain.history[0], rel=1e-4)
    assert replayed.iterations == STEPS

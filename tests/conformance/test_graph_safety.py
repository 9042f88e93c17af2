"""Every component that can be part of a step on a GPU can be recorded there, and the check finds those that cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from invkit.core import registry
from invkit.core.interfaces import Regularizer
from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import Shape
from invkit.solvers.adam import AdamState, JointAdam
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.testing import check_graph_safe, graph_safety_cases, host_accesses

WAITING = {
    ("regularizers", "invkit:deepinv-prior"): "looks whether deepinv's gradient is finite before it asks for another",
    ("regularizers", "invkit:patch-recurrence"): "its nearest neighbours are found by SciPy, on the processor",
    ("regularizers", "invkit:plug-and-play"): "deepinv's denoiser iterates until its own values have converged",
}
"""What cannot be recorded, and why; a step with it is taken plainly."""


@pytest.mark.parametrize(("family", "name"), [case for case in graph_safety_cases() if case not in WAITING])
def test_every_component_of_a_step_can_be_recorded(family: str, name: str) -> None:
    check_graph_safe(registry.load(family, name))


@pytest.mark.parametrize(("family", "name"), WAITING)
def test_what_is_listed_as_waiting_does(family: str, name: str) -> None:
    with pytest.raises(AssertionError, match="waits for the device"):
        check_graph_safe(registry.load(family, name))


class Listing(SimplexKernel):
    """Reads its numbers as a list, which on a CPU no operation of torch shows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)

    def forward(self) -> torch.Tensor:
        return super().forward() * (1 if self.free.tolist() else 0)


class Homeless(SimplexKernel):
    """Makes a tensor without saying on which device."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)

    def forward(self) -> torch.Tensor:
        return super().forward() * torch.ones(self.shape)


class Counting(Pixels):
    """Counts its calls in Python, and depends on them."""

    calls: ClassVar[int] = 0

    def __init__(self, shape: Shape, start: torch.Tensor) -> None:
        super().__init__(shape, start)

    def forward(self) -> torch.Tensor:
        Counting.calls += 1
        return super().forward() / Counting.calls


class Masking(Regularizer):
    """Chooses by a mask."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.stack([one[one > 0.5].sum() for one in value])


class Deciding(Regularizer):
    """Decides by a value."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.sum((1, 2, 3)) if value.max() > 0 else value.square().sum((1, 2, 3))


class Telling(MSE):
    """Takes numbers from the host."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return super().forward(predicted, data) * torch.tensor([1.0, 2.0], device=data.device)


class Strange(JointAdam):  # type: ignore[misc]  # a final class
    """Draws from a generator that nobody knows."""

    def noise(self, state: AdamState, latent: torch.Tensor) -> torch.Tensor:
        return torch.rand(latent.shape, generator=torch.Generator(latent.device), device=latent.device)

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.noise(state, problem.data)
        return super().advance(problem, state)


class Ageing(JointAdam):  # type: ignore[misc]  # a final class
    """Weighs the objective by the iteration."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        image, kernel = self.image(state), state.kernel_prior()
        losses = problem.objective(image, kernel, state.iteration) * (1 + state.iteration)
        self.descend(state, losses)
        return image, kernel, losses


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (Listing, "tolist in test_graph_safety.py, line"),
        (Homeless, "ones without a device in"),
        (Counting, "keeps a number that changes outside of tensors"),
        (Masking, "index in test_graph_safety.py"),
        (Deciding, "_local_scalar_dense in test_graph_safety.py"),
        (Telling, "tensor in test_graph_safety.py"),
        (Ageing, "replayed has another history"),
    ],
)
def test_what_cannot_be_recorded_is_found(component: type[Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_graph_safe(component)


def test_a_generator_that_the_graph_does_not_know_is_found() -> None:
    with pytest.raises(TypeError, match=r"recording it failed: .* generator that the graph does not know"):
        check_graph_safe(Strange)


def test_what_is_no_part_of_a_step_is_refused() -> None:
    with pytest.raises(AssertionError, match="no part of a step"):
        check_graph_safe(ThresholdPostprocessing)


@pytest.mark.parametrize(
    ("said", "work"),
    [
        ("cpu", lambda x: x.cpu()),
        ("numpy", lambda x: x.numpy()),
        ("nonzero", lambda x: x.nonzero()),
        ("masked_select", lambda x: torch.masked_select(x, x > 0.5)),
        ("index_put_", lambda x: x.clone().__setitem__(x > 0.6, x[:2])),
        ("equal", lambda x: torch.equal(x, x)),
        ("_unique2", lambda x: x.unique()),
        ("repeat_interleave", lambda x: x.repeat_interleave((4 * x).long())),
        (None, lambda x: x.clone().__setitem__(x > 0.5, 0.0)),
        (None, lambda x: x.repeat_interleave(2)),
        (None, lambda x: x[torch.arange(2, device=x.device)]),
        (None, lambda x: torch.where(x > 0.5, x, 0.0).sum() / len(x)),
    ],
)
def test_each_way_to_wait_is_told_from_those_that_do_not(
    said: str | None, work: Callable[[torch.Tensor], object]
) -> None:
    values = torch.linspace(0, 1, 5)
    found = host_accesses(lambda: work(values))
    assert [one.split(" in ")[0] for one in found] == ([] if said is None else [said])

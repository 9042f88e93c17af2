"""Solvers that train image prior and kernel prior with Adam, jointly or alternately."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import ImagePrior, LatentPrior, OperatorParameterPrior
from ..core.parameters import NonNegative, NonNegativeInt, Positive, PositiveFraction, PositiveInt, Seed, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange
from ..core.solver import CHECK_EVERY, Solver, State
from .early_stop import EarlyStop
from .graph_replay import GRAPHS, Execution, Outcome, Replay
from .training import cloned, device_adam, load_optimizer_state, set_rates, trainable

__all__ = [
    "AdamSolver",
    "AdamState",
    "AlternatingAdam",
    "Execution",
    "JointAdam",
    "Outcome",
    "Precision",
    "learning_rate_factor",
]

Precision = Literal["float32", "bfloat16"]


@dataclass(kw_only=True)
class AdamState(State):
    """The priors in training, and everything on which their next step depends.

    Attributes:
        image_prior: a copy of the problem's prior, in the data's precision and on its device.
        kernel_prior: a copy of the problem's prior, likewise.
        optimizer: one Adam with a parameter group for the image and one for the kernel.
        generator: of the perturbations.
        average: running average of the image, (B, C, H, W); None if none is kept, or before the first step.
        early_stop: None without early stopping.
        replay: takes the steps; it belongs to the run and is not saved.
    """

    image_prior: ImagePrior
    kernel_prior: OperatorParameterPrior
    optimizer: torch.optim.Adam
    generator: torch.Generator
    average: Tensor | None = None
    early_stop: EarlyStop | None = None
    replay: Replay = field(default_factory=Replay, repr=False)

    @torch.no_grad()
    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the image (or its running average) and the kernel of the priors, without perturbation.

        After an early stop they are those of the iteration that it selected.
        """
        if self.converged and self.early_stop is not None and self.early_stop.best is not None:
            return self.early_stop.best
        image = self.image_prior() if self.average is None else self.average
        return image, self.kernel_prior()

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return copies of the priors in training."""
        return copy.deepcopy(self.image_prior), copy.deepcopy(self.kernel_prior)

    def state_dict(self) -> dict[str, Any]:
        """Return copies, which later steps do not change."""
        return super().state_dict() | {
            "image_prior": cloned(self.image_prior.state_dict()),
            "kernel_prior": cloned(self.kernel_prior.state_dict()),
            "optimizer": cloned(self.optimizer.state_dict()["state"]),
            "generator": self.generator.get_state(),
            "average": [] if self.average is None else [self.average],
            "early_stop": {} if self.early_stop is None else self.early_stop.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; the same solver must have started this state on the same problem."""
        super().load_state_dict(saved)
        device = self.generator.device
        self.losses = [loss.to(device) for loss in self.losses]
        self.image_prior.load_state_dict(saved["image_prior"])
        self.kernel_prior.load_state_dict(saved["kernel_prior"])
        load_optimizer_state(self.optimizer, saved["optimizer"])
        self.generator.set_state(saved["generator"].cpu())
        self.average = saved["average"][0].to(device) if saved["average"] else None
        if self.early_stop is not None:
            self.early_stop.load_state_dict(saved["early_stop"], device)
        self.replay.forget()


class AdamSolver(Solver[AdamState]):
    """Trains the priors of a problem with Adam; subclasses decide in `advance` which prior moves when.

    Kingma, Ba, "Adam", ICLR 2015. The priors are copied into the data's precision and device; the problem is not
    changed. The images of a batch are solved together: the sum of their objectives is minimised, so that separate
    priors move as they would alone, and the mean is recorded. On a GPU a step is recorded as a graph and replayed,
    which avoids launching its hundreds of kernels one by one (`Replay`).

    Args:
        iterations: number of steps.
        image_lr: learning rate of the image prior.
        kernel_lr: learning rate of the kernel prior.
        milestones: iterations, counted from 0, at which both learning rates are multiplied by ``decay``.
        decay: factor of the learning rates at each milestone.
        perturbation: standard deviation of Gaussian noise, in units of the latent, that every step adds to the input of
            an image prior that has one (a `LatentPrior`); 0 for none. The kernel prior, other image priors and the
            estimate are not perturbed.
        precision: "bfloat16" runs the image prior's convolutions in bfloat16, on any device. Its last non-linearity,
            the kernel, the operator, the fidelity, the regularizers and all parameters keep the data's precision.
        ema: decay of a running average of the images, which becomes the estimate; None for the last image.
        early_stop: stop when the running variance of the image has had no new minimum for this number of iterations,
            and return image and kernel of the minimum (`EarlyStop`; it ignores the first 50 iterations). None: never.
            On a GPU this is checked every 25 iterations.
        execution: "graph" records a step and replays it on a GPU, "plain" does not, "auto" does if the device can.
        seed: seed of the perturbations.
    """

    keeps_large_blocks = True

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 5000,
        image_lr: Positive = 1e-2,
        kernel_lr: Positive = 1e-4,
        milestones: tuple[NonNegativeInt, ...] = (2000, 3000, 4000),
        decay: PositiveFraction = 0.5,
        perturbation: NonNegative = 1e-3,
        precision: Precision = "float32",
        ema: Annotated[float | None, Field(ge=0, lt=1)] = None,
        early_stop: PositiveInt | None = None,
        execution: Execution = "auto",
        seed: Seed = 0,
    ) -> None:
        self.iterations, self.milestones, self.decay = iterations, milestones, decay
        self.image_lr, self.kernel_lr = image_lr, kernel_lr
        self.remedy = f"set a smaller learning rate{' or precision=float32' if precision == 'bfloat16' else ''}"
        self.perturbation, self.precision, self.execution = perturbation, precision, execution
        self.ema, self.early_stop, self.seed = ema, early_stop, seed

    def check(self, problem: Problem) -> None:
        """Check that a prior is trainable and that data and device support ``precision`` and ``execution``.

        Raises:
            AssemblyError: one of these does not hold.
        """
        super().check(problem)
        if not trainable(problem.image_prior) and not trainable(problem.kernel_prior):
            raise AssemblyError(
                f"{type(self).__name__} has nothing to optimise: neither {type(problem.image_prior).__name__} nor "
                f"{type(problem.kernel_prior).__name__} has parameters; use at least one prior with parameters"
            )
        if self.precision == "bfloat16" and problem.data.dtype != torch.float32:
            raise AssemblyError(
                f"precision bfloat16 is for data in float32; they are {problem.data.dtype}; "
                "use precision float32, which keeps the data's own precision, or convert the data"
            )
        if self.execution == "graph" and problem.data.device.type not in GRAPHS:
            raise AssemblyError(
                f"execution graph needs a device that replays graphs ({', '.join(GRAPHS)}), and the data are on "
                f"{problem.data.device}; use execution auto"
            )

    def start(self, problem: Problem) -> AdamState:
        """Copy the priors and create an Adam without moments."""
        image_prior = copy.deepcopy(problem.image_prior).to(problem.data)
        kernel_prior = copy.deepcopy(problem.kernel_prior).to(problem.data)
        groups = [(trainable(image_prior), self.image_lr), (trainable(kernel_prior), self.kernel_lr)]
        device = problem.data.device
        generator = torch.Generator(device)
        return AdamState(
            image_prior=image_prior,
            kernel_prior=kernel_prior,
            optimizer=device_adam(groups, device),
            generator=generator.manual_seed(self.seed),
            early_stop=None if self.early_stop is None else EarlyStop(self.early_stop),
            replay=Replay(self.execution, device),
        )

    def step(self, problem: Problem, state: AdamState) -> AdamState:
        """One `advance`, plain or replayed, between `prepare` and `record`, which no graph holds."""
        self.prepare(problem, state)
        key = (state.image_prior, state.kernel_prior, *self.phase(problem, state.iteration))
        image, kernel, losses = state.replay(lambda: self.advance(problem, state), key, state.generator)
        self.record(state, image, kernel, losses)
        return state

    @abstractmethod
    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Move the priors once. A graph may record this work and repeat it without running this code.

        The code therefore changes only the values of tensors, and may depend on ``state.iteration`` only by `phase`.

        Returns:
            The image (B, C, H, W), the kernel (B, 1, h, w) and the losses, scalar or (B,), before the move.

        Raises:
            RuntimeError: from torch, when memory is exhausted.
        """

    def phase(self, problem: Problem, iteration: int) -> tuple[object, ...]:
        """Return everything but tensors on which `advance` depends; if it changes, the step is recorded anew.

        Args:
            problem: the problem.
            iteration: counted from 0.
        """
        return (problem.fidelity.at(iteration),)

    def prepare(self, problem: Problem, state: AdamState) -> None:
        """Set the learning rates, which `advance` reads from tensors."""
        factor = learning_rate_factor(state.iteration, self.milestones, self.decay)
        set_rates(state.optimizer, (self.image_lr * factor, self.kernel_lr * factor))

    def image(self, state: AdamState) -> Tensor:
        """Return the image of this step with its gradient, perturbed, in the configured precision."""
        with self.autocast(state):
            prior = state.image_prior
            if self.perturbation and isinstance(prior, LatentPrior):
                return prior.decode(prior.latent + self.perturbation * self.noise(state, prior.latent))
            image: Tensor = prior()
            return image

    def noise(self, state: AdamState, latent: Tensor) -> Tensor:
        """Draw standard Gaussian noise of the latent's shape; the default memory layout takes a fifth of the time."""
        return torch.randn(latent.shape, generator=state.generator, dtype=latent.dtype, device=latent.device)

    def autocast(self, state: AdamState) -> AbstractContextManager[object]:
        """Run the network's convolutions in bfloat16, if configured; no copy of a weight outlives its use."""
        device, lower = state.generator.device.type, self.precision == "bfloat16"
        return torch.autocast(device, torch.bfloat16, enabled=lower, cache_enabled=False)

    def descend(self, state: AdamState, losses: Tensor) -> None:
        """One Adam step on every parameter on which the losses, scalar or (B,), depend."""
        try:
            losses.sum().backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
        finally:  # an interrupted recording leaves gradients that were never computed
            state.optimizer.zero_grad()

    def record(self, state: AdamState, image: Tensor, kernel: Tensor, losses: Tensor) -> None:
        """Record the mean loss, and update the running average and early stopping.

        Args:
            state: the state after the move.
            image: (B, C, H, W), without gradients. The next step may overwrite it, so it is copied where it is kept.
            kernel: (B, 1, h, w), likewise.
            losses: scalar or (B,), likewise.
        """
        state.losses.append(losses.mean())
        if self.ema is not None:
            state.average = image.clone() if state.average is None else torch.lerp(image, state.average, self.ema)
            image = state.average
        if state.early_stop is not None:
            state.early_stop.update(image, kernel)
            if is_look_due(state.iteration, self.iterations, image.device):
                state.converged = state.early_stop.is_over()


@final
class JointAdam(AdamSolver, WeightedData, AnyRange):
    """One Adam step on both priors at a time: SelfDeblur with joint optimisation.

    Ren, Zhang, Wang, Hu, Zuo, "Neural Blind Deconvolution Using Deep Priors", CVPR 2020, Algorithm 2.

    Example:
        >>> from invkit import Problem
        >>> from invkit.fidelities import MSE
        >>> from invkit.image_priors import Pixels
        >>> from invkit.kernel_priors import SimplexKernel
        >>> from invkit.operators import Convolution
        >>> data = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> image_prior, kernel_prior = Pixels((1, 1, 10, 10), data), SimplexKernel((1, 1, 3, 3), None)
        >>> problem = Problem(data, Convolution(), image_prior, kernel_prior, MSE())
        >>> result = JointAdam(iterations=5, kernel_lr=1e-2).solve(problem)
        >>> tuple(result.image.shape), tuple(result.kernel.shape), result.history[-1] < result.history[0]
        ((1, 1, 10, 10), (1, 1, 3, 3), True)
    """

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Algorithm 2 of Ren et al. 2020: the gradient of Eq. 6 in both networks, then Adam on both."""
        image = self.image(state)
        kernel = state.kernel_prior()
        losses = problem.objective(image, kernel, state.iteration)
        self.descend(state, losses)
        return image, kernel, losses


@final
class AlternatingAdam(AdamSolver, WeightedData, AnyRange):
    """An Adam step on the kernel, then one on the image: SelfDeblur with alternating optimisation.

    Ren, Zhang, Wang, Hu, Zuo, "Neural Blind Deconvolution Using Deep Priors", CVPR 2020, Algorithm 1. Both steps of an
    iteration use the same perturbed latent. A prior without parameters takes no step.
    """

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Algorithm 1 of Ren et al. 2020: kernel with the image fixed, then image with the new kernel fixed.

        The losses are those of the image's step, or of the kernel's if the image prior has no parameters.
        """
        image = self.image(state)
        if trainable(state.kernel_prior):
            losses = problem.objective(image.detach(), state.kernel_prior(), state.iteration)
            self.descend(state, losses)
        kernel = state.kernel_prior().detach()
        if trainable(state.image_prior):
            losses = problem.objective(image, kernel, state.iteration)
            self.descend(state, losses)
        return image, kernel, losses


def learning_rate_factor(iteration: int, milestones: tuple[int, ...], decay: float) -> float:
    """Return ``decay`` to the power of the number of milestones reached at an iteration, counted from 0.

    Args:
        iteration: counted from 0.
        milestones: iterations.
        decay: in (0, 1].
    """
    return float(decay ** sum(iteration >= milestone for milestone in milestones))


def is_look_due(iteration: int, iterations: int, device: torch.device) -> bool:
    """Whether to read numbers from the device, which waits for it unless it is a CPU.

    Args:
        iteration: that has just ended, counted from 0.
        iterations: of the whole solve.
        device: on which the numbers are.
    """
    return device.type == "cpu" or (iteration + 1) % CHECK_EVERY == 0 or iteration + 1 == iterations

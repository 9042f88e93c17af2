"""What the solvers that train priors with Adam share: their settings, their state and all but the step."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import AssemblyError
from ..core.interfaces import ImagePrior, LatentPrior, OperatorParameterPrior
from ..core.parameters import Seed, validated
from ..core.problem import Problem
from ..core.solver import CHECK_EVERY, Solver, State
from .device_adam import device_adam, set_rates
from .early_stop import EarlyStop
from .graphs import GRAPHS
from .replay import Execution, Outcome, Replay

__all__ = [
    "AdamSolver",
    "AdamState",
    "Decay",
    "Execution",
    "ImageRate",
    "Iterations",
    "KernelRate",
    "Milestones",
    "Outcome",
    "Perturbation",
    "Precision",
    "decayed",
]

Iterations = Annotated[int, Field(gt=0, description="steps")]
ImageRate = Annotated[float, Field(gt=0, allow_inf_nan=False, description="learning rate of the image prior")]
KernelRate = Annotated[float, Field(gt=0, allow_inf_nan=False, description="learning rate of the kernel prior")]
Milestones = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    Field(description="iterations, from 0, from which the rates are multiplied by 'decay' once more"),
]
Decay = Annotated[float, Field(gt=0, le=1, description="factor of the learning rates at each milestone")]
Perturbation = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="std of the noise on the image prior's latent; 0: none")
]
Precision = Annotated[
    Literal["float32", "bfloat16"], Field(description="bfloat16: for the image prior's network alone, faster")
]


@dataclass(kw_only=True)
class AdamState(State):
    """The priors in training, with everything their next step depends on.

    Attributes:
        image_prior: a copy of the problem's, in the data's precision and on its device.
        kernel_prior: likewise.
        optimizer: one Adam with a parameter group for the image and one for the kernel.
        generator: of the perturbations.
        average: running average of the image, (B, C, H, W); None when none is kept, or before the first step.
        early_stop: None when there is none.
        replay: takes the steps; it belongs to the run, and is not saved.
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
        """Image and kernel of the priors without perturbation, the average image if one is kept.

        After an early stop: those of the iteration that it chose.
        """
        if self.converged and self.early_stop is not None and self.early_stop.best is not None:
            return self.early_stop.best
        image = self.image_prior() if self.average is None else self.average
        return image, self.kernel_prior()

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Copies of the priors in training."""
        return copy.deepcopy(self.image_prior), copy.deepcopy(self.kernel_prior)

    def state_dict(self) -> dict[str, Any]:
        """A copy; later steps leave it as it is."""
        return super().state_dict() | {
            "image_prior": clone(self.image_prior.state_dict()),
            "kernel_prior": clone(self.kernel_prior.state_dict()),
            "optimizer": clone(self.optimizer.state_dict()["state"]),
            "generator": self.generator.get_state(),
            "average": [] if self.average is None else [self.average],
            "early_stop": {} if self.early_stop is None else self.early_stop.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the state must have been started on the same problem by the same solver."""
        super().load_state_dict(saved)
        device = self.generator.device
        self.losses = [loss.to(device) for loss in self.losses]
        self.image_prior.load_state_dict(saved["image_prior"])
        self.kernel_prior.load_state_dict(saved["kernel_prior"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": clone(saved["optimizer"]), "param_groups": groups})
        self.generator.set_state(saved["generator"].cpu())
        self.average = saved["average"][0].to(device) if saved["average"] else None
        if self.early_stop is not None:
            self.early_stop.load_state_dict(saved["early_stop"], device)
        self.replay.forget()


class AdamSolver(Solver[AdamState]):
    """Trains the priors of a problem with Adam; which prior moves when is said by the subclasses, in `advance`.

    Kingma, Ba, "Adam", ICLR 2015. The priors are copied into the data's precision and device; the problem stays as
    it is. Data of more than one image are solved together: what is minimised is the sum of their objectives, so that
    priors of their own move as they would alone, and what is recorded the mean. On a GPU a step is recorded as a graph
    and replayed, so that it need not wait for its hundreds of kernels to be asked for (`Replay`).

    Args:
        iterations: steps.
        image_lr: learning rate of the image prior.
        kernel_lr: learning rate of the kernel prior.
        milestones: iterations, counted from 0, from which both rates are multiplied by ``decay`` once more.
        decay: see there.
        perturbation: standard deviation of Gaussian noise, in units of the latent, added at every step to the input
            of an image prior that has one (a `LatentPrior`); 0 for none. Other image priors are not perturbed, the
            kernel prior never is, and the estimate is made without.
        precision: "bfloat16" runs the image prior's convolutions in it, on any device; its last non-linearity, the
            kernel, the operator, the fidelity and the regularizers stay in the data's precision, as do all parameters.
        ema: decay of a running average of the images, which becomes the estimate; None for the last image.
        early_stop: stop when the running variance of the image has had no new minimum for that many iterations, and
            return image and kernel of the minimum (`EarlyStop`; the first 50 are not judged); None: never. On a GPU
            that is looked up every 25 iterations.
        execution: "graph": steps are recorded and replayed; "plain": they are not; "auto": where the device can.
        seed: of the perturbations.
    """

    @validated
    def __init__(
        self,
        *,
        iterations: Iterations = 5000,
        image_lr: ImageRate = 1e-2,
        kernel_lr: KernelRate = 1e-4,
        milestones: Milestones = (2000, 3000, 4000),
        decay: Decay = 0.5,
        perturbation: Perturbation = 1e-3,
        precision: Precision = "float32",
        ema: Annotated[
            float | None, Field(ge=0, lt=1, description="decay of a running average of the image; none: no average")
        ] = None,
        early_stop: Annotated[
            int | None, Field(gt=0, description="iterations without a new least variance of the image; none: never")
        ] = None,
        execution: Execution = "auto",
        seed: Seed = 0,
    ) -> None:
        self.iterations, self.milestones, self.decay = iterations, milestones, decay
        self.image_lr, self.kernel_lr = image_lr, kernel_lr
        self.perturbation, self.precision, self.execution = perturbation, precision, execution
        self.ema, self.early_stop, self.seed = ema, early_stop, seed

    def check(self, problem: Problem) -> None:
        """Refuse a problem without unknowns, data that bfloat16 cannot serve, or a graph on a device without graphs.

        Raises:
            AssemblyError: it is one of these.
        """
        super().check(problem)
        if not trainable(problem.image_prior) and not trainable(problem.kernel_prior):
            raise AssemblyError(
                f"{type(self).__name__} has nothing to optimise: neither {type(problem.image_prior).__name__} nor "
                f"{type(problem.kernel_prior).__name__} has parameters; give at least one prior that has unknowns"
            )
        if self.precision == "bfloat16" and problem.data.dtype != torch.float32:
            raise AssemblyError(
                f"precision bfloat16 is for data in float32; they are {problem.data.dtype}; "
                "use precision float32, which leaves the data's own precision, or convert the data"
            )
        if self.execution == "graph" and problem.data.device.type not in GRAPHS:
            raise AssemblyError(
                f"execution graph needs a device that replays graphs ({', '.join(GRAPHS)}), and the data are on "
                f"{problem.data.device}; use execution auto"
            )

    def start(self, problem: Problem) -> AdamState:
        """Copies of the priors, and an Adam that has not moved yet."""
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
        """One `advance`, plainly or replayed, and what is not recorded before and after it."""
        self.prepare(problem, state)
        key = (state.image_prior, state.kernel_prior, *self.phase(problem, state.iteration))
        image, kernel, losses = state.replay(lambda: self.advance(problem, state), key, state.generator)
        self.record(state, image, kernel, losses)
        return state

    @abstractmethod
    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Move the priors once; what may be recorded as a graph, and then happens again without this code.

        So it changes nothing but the numbers in tensors, and uses of ``state.iteration`` only what `phase` tells.

        Returns:
            The image (B, C, H, W), the kernel (B, 1, h, w) and the losses, one or (B,), before the move.

        Raises:
            RuntimeError: from torch, when there is not enough memory.
        """

    def phase(self, problem: Problem, iteration: int) -> tuple[object, ...]:
        """What `advance` depends on besides tensors; where it changes, the step is recorded anew.

        Args:
            problem: the problem.
            iteration: counted from 0.
        """
        return (problem.fidelity.at(iteration),)

    def prepare(self, problem: Problem, state: AdamState) -> None:
        """Set what `advance` finds in tensors and does not compute: the learning rates."""
        factor = decayed(state.iteration, self.milestones, self.decay)
        set_rates(state.optimizer, (self.image_lr * factor, self.kernel_lr * factor))

    def image(self, state: AdamState) -> Tensor:
        """The image for this step, with its gradient: perturbed and in the precision asked for."""
        with self.autocast(state):
            prior = state.image_prior
            if self.perturbation and isinstance(prior, LatentPrior):
                return prior.decode(prior.latent + self.perturbation * self.noise(state, prior.latent))
            image: Tensor = prior()
            return image

    def noise(self, state: AdamState, latent: Tensor) -> Tensor:
        """Standard Gaussian noise like the latent; drawn in the default layout, where it takes a fifth of the time."""
        return torch.randn(latent.shape, generator=state.generator, dtype=latent.dtype, device=latent.device)

    def autocast(self, state: AdamState) -> AbstractContextManager[object]:
        """Where the network's convolutions may run in bfloat16; no copy of a weight outlives its use."""
        device, lower = state.generator.device.type, self.precision == "bfloat16"
        return torch.autocast(device, torch.bfloat16, enabled=lower, cache_enabled=False)

    def descend(self, state: AdamState, losses: Tensor) -> None:
        """One Adam step on every unknown that the losses, one or a batch of them, depend on."""
        try:
            losses.sum().backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
        finally:  # a graph whose recording breaks off leaves gradients that were never computed
            state.optimizer.zero_grad()

    def record(self, state: AdamState, image: Tensor, kernel: Tensor, losses: Tensor) -> None:
        """Note the mean loss of the step, and what averages and early stopping need.

        The tensors have no gradients. The next step may write over them: what is kept is copied.
        """
        state.losses.append(losses.mean())
        if self.ema is not None:
            state.average = image.clone() if state.average is None else torch.lerp(image, state.average, self.ema)
            image = state.average
        if state.early_stop is not None:
            state.early_stop.update(image, kernel)
            if is_look_due(state.iteration, self.iterations, image.device):
                state.converged = state.early_stop.is_over()


def decayed(iteration: int, milestones: tuple[int, ...], decay: float) -> float:
    """The factor of the learning rates at an iteration, counted from 0."""
    return float(decay ** sum(iteration >= milestone for milestone in milestones))


def is_look_due(iteration: int, iterations: int, device: torch.device) -> bool:
    """Whether to look up numbers on the device after an iteration, counted from 0: it waits for all but a CPU."""
    return device.type == "cpu" or (iteration + 1) % CHECK_EVERY == 0 or iteration + 1 == iterations


def trainable(prior: nn.Module) -> list[nn.Parameter]:
    """The unknowns of a prior."""
    return [parameter for parameter in prior.parameters() if parameter.requires_grad]


def clone(value: Any) -> Any:
    """A copy of nested dictionaries of tensors and numbers, without the order of a module's bookkeeping."""
    if isinstance(value, Mapping):
        return {key: clone(item) for key, item in value.items()}
    return value.detach().clone() if isinstance(value, Tensor) else value

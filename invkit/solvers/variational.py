"""Variational Bayesian blind deconvolution: the kernel that is most likely when the image is integrated out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, KernelPrior, OperatorParameterPrior, Reweightable
from ..core.parameters import NonNegative, NonNegativeInt, Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem
from ..core.result import GRADIENTS, KERNEL, GivesVariances, Uncertain
from ..core.solver import Solver
from ..numerics.conjugate_gradients import dot_per_image, ratio_or_zero
from ..numerics.finite_differences import GRADIENT
from ..numerics.framing import extend_to
from ..numerics.geometry import margins, size_of
from ..numerics.mean_field import MaskedConvolution, MeanField
from .gradient_map import integrated
from .map.edge_filters import forward_differences
from .map.expected_normal_equations import ExpectedNormalEquations, expected_normal_equations
from .map.interfaces import KernelPostprocessing
from .map.normal_equations import cut_and_normalised
from .pixel_state import (
    LEAST_SQUARES_DEBLURRING,
    PixelState,
    check_padding,
    check_terms,
    image_prior_of,
    kernel_prior_of,
    saturation_mask,
    starting_point,
)
from .training import descend

__all__ = ["Variational"]

MAX_UNCOUNTED_SHARE = 0.5  # of an image; more saturated data are a white background, not highlights
MIN_NOISE = 5e-4  # standard deviation, [0, 1] units; with less, float32 does not resolve the system
MIN_PENALISED = 1e-4  # entries of the kernel below it are penalised alike, as in the paper


@dataclass(kw_only=True)
class VariationalState(PixelState, Uncertain):
    """The distribution of the latent gradients, and the kernel.

    Attributes:
        kernel: (B, 1, h, w), >= 0. Its sum s may be any; the latent gradients are then those of the scene over s.
        mean: posterior mean of the gradients, (B, 2 C, H + h - 1, W + w - 1).
        variance: their posterior variance, of the same shape.
        noise: variance of the noise in the last step, a scalar; 0 before the first one.
        prior: the kernel prior that gives the kernel, up to its sum; not the problem's own.
        blurred: the data's gradients, (B, 2 C, H, W).
        mask: 1 for the gradients that count, otherwise 0; (B, 2 C, H, W).
    """

    mean: Tensor
    variance: Tensor
    noise: Tensor
    prior: OperatorParameterPrior
    blurred: Tensor
    mask: Tensor
    saved: ClassVar = ("image", "kernel", "mean", "variance", "noise")

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the image whose gradients are closest to the posterior mean, and the kernel, scaled to sum one."""
        return integrated(self.mean * self.scale, self.image).clamp(0, 1), self.kernel / self.scale

    @torch.no_grad()
    def variances(self) -> dict[str, Tensor]:
        """Return the posterior variances of the gradients and, at their distribution, of the kernel's entries.

        Those of the kernel are `invkit.solvers.map.expected_normal_equations.ExpectedNormalEquations.variances`,
        whatever the kernel prior. They hold for the noise of the last step.
        """
        if float(self.noise) == 0:
            return {}
        equations = expected_normal_equations(MeanField(self.mean, self.variance), self.blurred, self.mask, self.kernel)
        (top, _), (left, _) = margins(size_of(self.kernel))
        height, width = size_of(self.blurred)
        seen = self.variance[..., top : top + height, left : left + width]
        return {
            KERNEL: equations.variances(self.kernel, float(self.noise)) / self.scale.square(),
            GRADIENTS: seen * self.scale.square(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return copies, the kernel prior's too."""
        prior = self.prior.state_dict()
        return super().state_dict() | {"prior": {name: value.clone() for name, value in prior.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict(saved)
        self.prior.load_state_dict(saved["prior"])

    @property
    def scale(self) -> Tensor:
        """The kernel's sum, (B, 1, 1, 1)."""
        return self.kernel.sum((1, 2, 3), keepdim=True)

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Return priors that give the estimate."""
        image, _ = self.estimate()
        return image_prior_of(problem.image_prior, image), copy.deepcopy(self.prior)


class Variational(Solver[VariationalState], GivesVariances):
    """Alternates the distribution of the latent gradients and the kernel (Levin, Weiss, Durand, Freeman 2011).

    MAP methods fit the kernel to one image. That image is smoother than the truth, and explains the data better with a
    kernel nearer to a point. This method fits the kernel to the distribution of all images that explain the data. Given
    the kernel, the gradients are independent Gaussians; the method finds their means and variances in ``rounds`` of
    reweighting (`invkit.numerics.mean_field`). Given these, the kernel solves the normal equations in expectation
    (`invkit.solvers.map.expected_normal_equations`). Without annealing, sparsity and post-processing no step raises the
    free energy, which is the recorded loss, for each gradient of the data.

    The problem has one regularizer, a `Reweightable` of first differences, as gaussian-scale-mixture. It is the prior's
    negative logarithm. Its weight is twice the variance of the noise of a gradient.

    Args:
        iterations: outer iterations of gradients and kernel.
        rounds: reweightings in each outer iteration.
        cg_iterations: conjugate-gradient iterations of the mean in each reweighting. (The paper has 15, without
            preconditioner.)
        warm_start: whether an outer iteration starts from the distribution of the previous one, or, as in the paper,
            always from the first gradients.
        start_from_data: whether the first gradients are those of the data, continued by their edge pixels, as in the
            paper, or those of the image that the image prior gives.
        initial_gradient: difference, in [0, 1] units, that gives the prior's weights in a first reweighting. The
            default gives the paper's first weight, the prior's mean inverse variance.
        annealing: factor of the noise's standard deviation for each iteration before the last annealed one.
        annealed: number of iterations with more noise. The paper has a factor of 1.15 and 10 of 11 iterations.
        kernel_iterations: projected gradients of a kernel step.
        sum_to_one: whether the kernel's fit itself is constrained to sum to one.
        normalised: whether an unconstrained fit is scaled to sum one after each iteration. Otherwise, as in the paper,
            it keeps its sum until the end, and the gradients have the inverse scale.
        sparsity: weight of ``|k|^(1/2)``, against the SUM of squared errors as in the paper, which has 0.01. The kernel
            is then fitted three times, the second and third time with the penalty's parabola at the last kernel.
        kernel_postprocessing: corrects the fitted kernel; None for no correction.
        prior_iterations: iterations of Adam in a kernel step, for kernel priors that cannot be set to a kernel, as
            networks and camera paths. For these, the constraint, the sparsity and the correction have no effect.
        prior_rate: its learning rate.
        saturation: gradients of data of this value or more do not count. None: all data count.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = Variational(iterations=3)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "kernel_prior": KernelPrior, "regularizers": Reweightable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 6,
        rounds: PositiveInt = 2,
        cg_iterations: PositiveInt = 6,
        warm_start: bool = True,
        start_from_data: bool = True,
        initial_gradient: Positive = 0.0227,
        annealing: Annotated[float, Field(ge=1, le=10)] = 1.0,
        annealed: NonNegativeInt = 0,
        kernel_iterations: PositiveInt = 150,
        sum_to_one: bool = True,
        normalised: bool = True,
        sparsity: NonNegative = 0.0,
        kernel_postprocessing: KernelPostprocessing | None = None,
        prior_iterations: PositiveInt = 50,
        prior_rate: Positive = 0.03,
        saturation: PositiveFraction | None = None,
    ) -> None:
        self.iterations, self.rounds, self.cg_iterations = iterations, rounds, cg_iterations
        self.warm_start, self.start_from_data, self.initial_gradient = warm_start, start_from_data, initial_gradient
        self.annealing, self.annealed = annealing, annealed
        self.kernel_iterations, self.sum_to_one, self.normalised = kernel_iterations, sum_to_one, normalised
        self.sparsity = sparsity
        self.kernel_postprocessing = kernel_postprocessing
        self.prior_iterations, self.prior_rate = prior_iterations, prior_rate
        self.saturation = saturation

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "variational", ("valid",))
        check_terms(problem, "variational")
        check_noise(problem, "variational")
        term = problem.regularizers[0]
        if len(problem.regularizers) > 1:
            raise AssemblyError(f"variational needs one regularizer, the prior, and got {len(problem.regularizers)}")
        if isinstance(term.regularizer, Reweightable) and term.regularizer.filters != GRADIENT:
            raise AssemblyError(
                f"variational needs a regularizer of first differences only, and {type(term.regularizer).__name__} has "
                "others; use gaussian-scale-mixture, or set second=0"
            )

    @torch.no_grad()
    def start(self, problem: Problem) -> VariationalState:
        """Take the gradients of the data, or of the image that the prior gives."""
        image, kernel = starting_point(problem)
        image = extend_to(problem.data, size_of(image)) if self.start_from_data else image
        blurred, mask = forward_differences(problem.data), counted_gradients(problem.data, self.saturation)
        mean = forward_differences(image)
        variance, noise = torch.zeros_like(mean), mean.new_zeros(())
        return VariationalState(
            image=image,
            kernel=kernel,
            mean=mean,
            variance=variance,
            noise=noise,
            prior=copy.deepcopy(problem.kernel_prior).to(problem.data),
            blurred=blurred,
            mask=mask,
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: VariationalState) -> VariationalState:
        """One iteration of Levin et al. 2011: mean and variance of the gradients (E step), then the kernel (M step)."""
        prior, noise = GradientPrior.of(problem), self.noise(problem, state.iteration)
        latent = self._gradients(state, prior, noise)
        self._maximise(state, latent)
        state.mean, state.variance, state.noise = latent.mean, latent.variance, latent.mean.new_tensor(noise)
        energy = latent.free_energy(MaskedConvolution(state.kernel, state.mask), state.blurred, prior.energy, noise)
        state.losses.append((energy / state.mask.sum((1, 2, 3)).clamp(min=1)).sum())
        return state

    def noise(self, problem: Problem, iteration: int) -> float:
        """Variance of the noise in an iteration."""
        factor = self.annealing ** max(0, self.annealed - iteration)
        return max(factor**2 * problem.regularizers[0].weight / 2, MIN_NOISE**2)

    def _gradients(self, state: VariationalState, prior: GradientPrior, noise: float) -> MeanField:
        """E step: reweight, then minimise the free energy over means and variances; ``rounds`` times."""
        blur = MaskedConvolution(state.kernel, state.mask)
        right, fresh = blur.adjoint(state.blurred), state.iteration == 0 or not self.warm_start
        mean = forward_differences(state.image) if fresh else state.mean
        latent, moment = MeanField(mean, state.variance), torch.full_like(mean, self.initial_gradient**2)
        for number in range(self.rounds):
            precision = prior.precision(moment if fresh and number == 0 else latent.second_moment)
            latent = latent.updated(blur, right, precision, noise=noise, cg_iterations=self.cg_iterations)
        return latent

    def _maximise(self, state: VariationalState, latent: MeanField) -> None:
        """M step: the kernel of the kernel prior that minimises the expected squared error.

        A prior that can be set to a kernel is set to the best kernel >= 0; another one is trained by Adam.
        """
        equations = expected_normal_equations(latent, state.blurred, state.mask, state.kernel)
        find = self._set_prior if isinstance(state.prior, Assignable) else self._train_prior
        total = find(state, equations)
        kernel = state.prior().to(state.kernel)
        is_one = self.normalised | ~torch.isfinite(total) | (total <= 0)
        state.kernel = torch.where(is_one, kernel, total * kernel)

    def _set_prior(self, state: VariationalState, equations: ExpectedNormalEquations) -> Tensor:
        """Set the kernel prior to the kernel >= 0 of the least error; return the sum of that kernel, (B, 1, 1, 1)."""
        fitted = self._fitted(equations, state.kernel)
        kernel = cut_and_normalised(fitted, state.kernel)
        kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
        state.prior = kernel_prior_of(state.prior, kernel)
        return fitted.clamp(min=0).sum((1, 2, 3), keepdim=True)

    def _train_prior(self, state: VariationalState, equations: ExpectedNormalEquations) -> Tensor:
        """Train the kernel prior; return the factor of its kernel that gives the least error, (B, 1, 1, 1)."""
        total, energy = state.scale, dot_per_image(state.blurred, state.mask * state.blurred)

        def slope(kernel: Tensor) -> Tensor:
            change = equations.exact(total * kernel.to(total)) - equations.right
            return ratio_or_zero(total * change, energy).to(kernel)

        descend(state.prior, slope, iterations=self.prior_iterations, rate=self.prior_rate)
        kernel = state.prior().to(total)
        return ratio_or_zero(dot_per_image(kernel, equations.right), dot_per_image(kernel, equations.exact(kernel)))

    def _fitted(self, equations: ExpectedNormalEquations, start: Tensor) -> Tensor:
        """The kernel >= 0 that minimises the expected squared error; several times with a sparse penalty."""

        def solved(start: Tensor, penalty: Tensor | None) -> Tensor:
            return equations.solved(
                start, iterations=self.kernel_iterations, sum_to_one=self.sum_to_one, penalty=penalty
            )

        kernel = solved(start, None)
        for _ in range(2 if self.sparsity > 0 else 0):
            penalty = self.sparsity * kernel.clamp(min=MIN_PENALISED) ** -1.5
            kernel = solved(kernel, penalty)
        return kernel


@dataclass(frozen=True)
class GradientPrior:
    """The functions of second moments, (B, 2 C, H, W), that a problem's regularizer gives."""

    regularizer: Reweightable

    @classmethod
    def of(cls, problem: Problem) -> GradientPrior:
        """Of the only regularizer."""
        (term,) = problem.regularizers
        assert isinstance(term.regularizer, Reweightable)
        return cls(term.regularizer)

    def precision(self, second_moment: Tensor) -> Tensor:
        """Twice the slope of ``-log p`` as a function of the square."""
        weights = self.regularizer.weights(self.coefficients(second_moment))
        return torch.cat([*weights], 1) * self.count(second_moment)

    def energy(self, second_moment: Tensor) -> Tensor:
        """The sum of ``-log p``, up to a constant, (B,)."""
        return self.regularizer.penalty(self.coefficients(second_moment)) * self.count(second_moment)

    def coefficients(self, second_moment: Tensor) -> Tensor:
        """The gradients of these squares, (2, B, C, H, W)."""
        return torch.stack(second_moment.sqrt().chunk(2, 1))

    def count(self, second_moment: Tensor) -> int:
        """The number C H W of an image's values, since regularizers are means over them."""
        return second_moment[0].numel() // 2


def check_noise(problem: Problem, solver: str) -> None:
    """Raise `AssemblyError` if the first regularizer's weight, twice the noise's variance, is zero."""
    if problem.regularizers[0].weight == 0:
        raise AssemblyError(
            f"{solver} needs a regularizer with a weight above zero, which is twice the variance of the noise; "
            "set its weight or its min_weight"
        )


def counted_pixels(data: Tensor, saturation: float | None) -> Tensor:
    """Where data count: not where they are saturated; ones and zeros of their shape.

    Args:
        data: (B, C, H, W).
        saturation: data of this value or more are saturated. If that is more than half of an image, as with text on
            white paper, or None, all count.
    """
    saturated = saturation_mask(data, saturation)
    if saturated is None:
        return torch.ones_like(data)
    lost = saturated.to(data)
    return 1 - lost * (lost.mean((1, 2, 3), keepdim=True) <= MAX_UNCOUNTED_SHARE)


def counted_gradients(data: Tensor, saturation: float | None) -> Tensor:
    """Where the data's forward differences count: between two data that count, not across the border.

    Args:
        data: (B, C, H, W).
        saturation: as for `counted_pixels`.

    Returns:
        (B, 2 C, H, W), ones and zeros.
    """
    counted = counted_pixels(data, saturation)
    down, along = counted[..., :-1, :] * counted[..., 1:, :], counted[..., :-1] * counted[..., 1:]
    return torch.cat([F.pad(down, (0, 0, 0, 1)), F.pad(along, (0, 1))], 1)

"""How far images may lie from a restored one: exact samples of a Gaussian about it, by perturb and optimise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Blur, LinearOperator
from ..core.operator_parameters import ComplexImage, Stacked
from ..core.problem import Problem
from ..numerics.conjugate_gradients import conjugate_gradients, dot_per_channel, dot_per_image
from ..numerics.finite_differences import power_spectrum
from ..numerics.geometry import Size, size_of
from .masked_blur import MaskedBlur, is_circular
from .weighted_squares import Bands, WeightedSquares, add_banded, add_squares, majorised

__all__ = ["LocalGaussian", "obstacle_to_sampling"]

MIN_EIGENVALUE = 1e-6  # for the preconditioner; the largest eigenvalue of K^T K is 1
SMALLEST_DIFFERENCE = 0.006  # texture of less may be missing in a restored image; 0.003 to 0.02 were tried
NEIGHBOURHOOD = 3  # pixels along each side, over which squared differences are averaged
CG_ITERATIONS, CG_TOLERANCE = 200, 1e-2  # with 3e-3, coverage changes by less than 0.4 %
STRENGTH_ROUNDS, STRENGTH_FACTOR = 3, 4.0  # of the evidence; the largest change of the strength in a round
PROBED_VALUES = 2**14  # of the image, over all samples of a round: its trace is known within about a hundredth


def obstacle_to_sampling(problem: Problem) -> str | None:
    """Why `LocalGaussian` cannot be at an image of a problem, to follow "because"; None if it can."""
    if not isinstance(problem.operator, LinearOperator):
        return "its operator is not linear in the image"
    if isinstance(problem.operator, Stacked):
        return "its data are a stack of planes"
    if isinstance(problem.operator, ComplexImage) and problem.operator.has_complex_image:
        return "its image is complex"
    if not isinstance(problem.fidelity, LeastSquares):
        return "its fidelity is not the squared error, which Gaussian noise has"
    if isinstance(problem.operator, Blur) and problem.operator.padding not in ("valid", "circular"):
        return f"its operator has the padding '{problem.operator.padding}' and not 'valid'"
    if not majorised(problem):
        return "none of its regularizers can be replaced by weighted squares"
    return None


@dataclass(frozen=True)
class DataTerm:
    """``A^T W A`` of a problem whose operator is linear, with the weights of the data; `MaskedBlur` does it for blurs.

    Attributes:
        problem: gives operator and data.
        kernel: the operator's parameter.
        grid: size of the image.
    """

    problem: Problem
    kernel: Tensor
    grid: Size

    def mean_eigenvalue(self) -> Tensor:
        """About that of ``A^T W A``, from one random image, (B, 1, 1, 1)."""
        trial = torch.randn(self.problem.image_prior.shape, generator=torch.Generator().manual_seed(0))
        trial = trial.to(self.problem.data)
        return (dot_per_image(trial, self.normal(trial)) / dot_per_image(trial, trial)).clamp(min=MIN_EIGENVALUE)

    def adjoint(self, data: Tensor) -> Tensor:
        """``A^T W y``: (B, C', H', W') -> (B, C, H, W)."""
        operator = self.problem.operator
        assert isinstance(operator, LinearOperator)
        return operator.adjoint(self.problem.weighted(data), self.kernel)

    def normal(self, image: Tensor) -> Tensor:
        """``A^T W A x``; the same shape."""
        return self.adjoint(self.problem.operator(image, self.kernel))

    def filtered(self, image: Tensor, response: Tensor) -> Tensor:
        """Filter an image (B, C, H, W), taken as periodic, by a transfer function."""
        result: Tensor = torch.fft.irfft2(torch.fft.rfft2(image).mul_(response), self.grid)
        return result


@dataclass(frozen=True)
class LocalGaussian:
    """The Gaussian of the images that data and prior allow near a restored image.

    Its precision is ``Q = (A^T w A + strength * sum_i D_i^T W_i D_i) / noise^2``. The weights w are those of the data,
    whose variances are ``noise^2 / w``. The weights W are those of the squares that replace the regularizers at the
    image (`Reweightable`), as in a Laplace approximation. For quadratic regularizers they are exact. For sparse ones a
    restored image is too sparse: where it is flat, the posterior is not sure that it is. Squared differences are
    therefore averaged over 3x3 pixels, and at least those of faint texture.

    A sample solves ``Q e = (A^T w^(1/2) n + sqrt(strength) sum_i D_i^T W_i^(1/2) z_i) / noise`` for standard normal n
    and z. The right-hand side has the covariance Q, so the sample has the covariance ``Q^-1``: "perturb and optimise"
    (Papandreou & Yuille, NIPS 2010; Orieux, Feron, Giovannelli, IEEE SPL 2012). The weights are fixed. A penalty
    averages over pixels, so terms on the image alone count, and those that cannot be reweighted do not.

    Attributes:
        data_term: ``A^T w A``.
        squares: filters D and weights W.
        right: ``A^T w y``, (B, C, H, W).
        image: at which the weights are, (B, C, H, W).
        noise: standard deviation of the noise of data of weight 1, > 0.
        strength: factor of the regularizers, (B, 1, 1, 1).
        data_shape: (B, C', H', W').
        spread: w^(-1/2), the standard deviation of each datum over ``noise``, (B, C', H', W'); None: all 1.

    Example:
        >>> from invkit.solvers.irls import IRLS
        >>> from invkit.testing import small_problem
        >>> problem = small_problem(IRLS())
        >>> here = LocalGaussian.at(problem, problem.image_prior(), problem.kernel_prior(), noise=0.01)
        >>> here.sample(torch.Generator().manual_seed(0)).shape == problem.image_prior.shape
        True
    """

    data_term: DataTerm | MaskedBlur
    squares: WeightedSquares
    right: Tensor
    image: Tensor
    noise: float
    strength: Tensor
    data_shape: tuple[int, ...]
    spread: Tensor | None = None

    @classmethod
    @torch.no_grad()
    def at(cls, problem: Problem, image: Tensor, kernel: Tensor, noise: float) -> LocalGaussian:
        """The Gaussian at an image, with the regularizers as strong as in the problem.

        Args:
            problem: for which `obstacle_to_sampling` is None.
            image: (B, C, H, W), of the image prior's shape.
            kernel: the operator's parameter.
            noise: standard deviation of the data's noise, > 0.
        """
        image, kernel = image.to(problem.data), kernel.to(problem.data)
        moments = torch.cat([local_squares(image, term.filters) for _, term in majorised(problem)])
        term = data_term_of(problem, kernel)
        squares = WeightedSquares.of(problem, moments)
        one = image.new_ones(len(image), 1, 1, 1)
        weights = problem.weights if problem.is_graded else None
        spread = None if weights is None else weights.where(weights > 0, 1).rsqrt()
        return cls(term, squares, term.adjoint(problem.data), image, noise, one, tuple(problem.data.shape), spread)

    @torch.no_grad()
    def with_likely_strength(self, generator: torch.Generator) -> LocalGaussian:
        """The same with the strength under which the data are most likely, for each image of the batch.

        The weights of recipes are chosen for the best image, and are then too large or too small for a distribution.
        The fixed point is that of the evidence (MacKay, "Bayesian interpolation", 1992): with
        ``g = n - strength tr(Q^-1 D^T W D) / noise^2`` determined values of n, ``strength = noise^2 g / |W^1/2 D m|^2``
        at the mean m. Samples give the trace.

        Args:
            generator: of the samples.
        """
        found, count = self, self.image[0].numel()
        for _ in range(STRENGTH_ROUNDS):
            deviations = [found.sample(generator) for _ in range(-(-PROBED_VALUES // count))]
            spread = torch.stack([found.energy(one) for one in deviations]).mean(0)
            determined = (count - found.strength * spread / self.noise**2).clamp(min=1)
            likely = self.noise**2 * determined / found.energy(found.mean()).clamp(min=torch.finfo(spread.dtype).tiny)
            factor = (likely / found.strength).clamp(1 / STRENGTH_FACTOR, STRENGTH_FACTOR)
            found = replace(found, strength=found.strength * factor)
        return found

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> Tensor:
        """The deviation of one sample from the mean, (B, C, H, W).

        Args:
            generator: on the CPU, so that devices draw the same numbers.
        """
        data, prior = (torch.randn(shape, generator=generator) for shape in self.draw_shapes)
        return self.deviation(data.to(self.image), prior.to(self.image))

    @property
    def draw_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the random numbers of a sample: of the data, and of the filters' responses."""
        return self.data_shape, tuple(self.squares.weights.shape)

    @torch.no_grad()
    def deviation(self, data: Tensor, prior: Tensor) -> Tensor:
        """The sample of standard normal numbers, (B, C, H, W); linear in them.

        Args:
            data: n, (B, C', H', W').
            prior: z, (K, B, C, H, W).
        """
        pushed = self.squares.differences_adjoint((self.strength * self.squares.weights).sqrt() * prior)
        seen = data if self.spread is None else data * self.spread
        return self.solved(self.noise * (self.data_term.adjoint(seen) + pushed))

    @torch.no_grad()
    def mean(self) -> Tensor:
        """The most likely image under these weights and this strength, (B, C, H, W)."""
        return self.image + self.solved(self.right - self.product(self.image))

    def energy(self, image: Tensor) -> Tensor:
        """``sum_i |W_i^(1/2) D_i x|^2`` of each image, without the strength, (B, 1, 1, 1)."""
        each = self.squares.weights * self.squares.differences(image).square()
        return each.sum((0, 2, 3, 4))[:, None, None, None]

    def bands(self) -> Bands:
        """``strength * sum_i D_i^T W_i D_i``."""
        found: Bands = {}
        add_squares(found, self.strength * self.squares.weights, self.squares.filters)
        return found

    def product(self, image: Tensor) -> Tensor:
        """``noise^2 Q x`` of an image (B, C, H, W)."""
        return add_banded(self.bands(), image, new_copy(self.data_term.normal(image)))

    def solved(self, right: Tensor) -> Tensor:
        """The solution of ``noise^2 Q x = right``, (B, C, H, W), by preconditioned conjugate gradients as in `IRLS`."""
        bands, term = self.bands(), self.data_term
        curvature = curvature_of(term)
        for plane, taps in zip(self.squares.weights.mean((-2, -1), keepdim=True), self.squares.filters, strict=True):
            curvature = curvature + self.strength * plane * power_spectrum([taps], term.grid, plane)
        inverse = torch.complex(1 / curvature, torch.zeros_like(curvature))
        return conjugate_gradients(
            lambda image: add_banded(bands, image, new_copy(term.normal(image))),
            right,
            torch.zeros_like(right),
            iterations=CG_ITERATIONS,
            tolerance=CG_TOLERANCE,
            precondition=lambda residual: term.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )


def data_term_of(problem: Problem, kernel: Tensor) -> DataTerm | MaskedBlur:
    """``A^T A`` of a problem at a value of its operator's parameter."""
    if isinstance(problem.operator, Blur) and (problem.operator.padding == "valid" or is_circular(problem)):
        return MaskedBlur.of(problem, kernel)
    return DataTerm(problem, kernel, size_of(problem.image_prior()))


def curvature_of(term: DataTerm | MaskedBlur) -> Tensor:
    """The eigenvalues of ``A^T A`` of a periodic image, or about their mean; for the preconditioner."""
    if isinstance(term, DataTerm):
        return term.mean_eigenvalue()
    return term.spectrum.abs().square().clamp(min=MIN_EIGENVALUE)


def new_copy(values: Tensor) -> Tensor:
    """A copy in one piece, which may be changed; the operator "identity" gives the image itself."""
    return values.clone(memory_format=torch.contiguous_format)


def local_squares(image: Tensor, filters: tuple[tuple[tuple[int, int, float], ...], ...]) -> Tensor:
    """The mean squares of an image's differences around each pixel, at least that of faint texture; (K, B, C, H, W).

    Args:
        image: (B, C, H, W).
        filters: K filters.
    """
    squares = WeightedSquares(filters, image).differences(image).square()
    averaged = F.avg_pool2d(squares.flatten(0, 2)[:, None], NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2)
    return averaged.view_as(squares).clamp_(min=SMALLEST_DIFFERENCE**2)

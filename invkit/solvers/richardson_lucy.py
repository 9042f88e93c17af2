"""Richardson-Lucy deconvolution: Poisson noise, unknown boundaries, acceleration, saturated pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.fidelity_abilities import KullbackLeibler, divergence
from ..core.interfaces import Assignable, Blur, ImagePrior, LinearOperator, OperatorParameterPrior
from ..core.operator_parameters import LinearMap, Prepared
from ..core.parameters import Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem, Term, WeightedData
from ..core.ranges import AnyRange, NonNegative, ValueRange
from ..core.solver import Solver
from .discrepancy import StopRule, expected_discrepancy, noise_level
from .masked_blur import MaskedBlur
from .pixel_state import PixelState, check_padding, check_terms, image_prior_of, starting_point

__all__ = ["RichardsonLucy", "RichardsonLucyState"]

MIN_STARTING_VALUE = 1e-3  # a pixel that starts at zero stays zero
MIN_VISIBLE_SHARE = 1e-2  # share of a pixel's light that must reach the data before the pixel is updated
MIN_DIVISOR_SHARE = 0.1  # regularizers never reduce the divisor below this share of its value without them

RESPONSE_SHARPNESS = 50.0  # a of the saturating response R (Whyte et al. 2014, Sec. 4)
BRIGHT_SHARE = 0.9  # phi: share of the saturation level from which a latent pixel is poorly estimated (Sec. 5)
BLENDING_SIGMA, BLENDING_RADIUS = 3.0, 9  # of the Gaussian that blends the two updates, pixels
MIN_KERNEL_SHARE = 1e-2  # of a kernel's largest value; smaller values propagate no errors


@dataclass(kw_only=True)
class RichardsonLucyState(PixelState):
    """The latent image in linear light, and the variables of the acceleration.

    Attributes:
        gamma: of the data; the estimate is ``image ** (1 / gamma)``.
        previous: the image one step ago, (B, C, H, W).
        change: difference of the last update and the point at which it was computed, (B, C, H, W).
        momentum: length of the extrapolation along ``image - previous``, in [0, 1], (B, C or 1, 1, 1).
        blur: K, the operator with the known parameter.
        support: ``K^T w`` for the weights w of the data, 1 by default, (B, C, H, W).
        visible: which pixels are updated: those of whose light enough reaches known data, bool, (B, C, H, W).
        noise: `discrepancy.noise_level` of each image, by which it is no longer updated at some discrepancy, (B,).
    """

    gamma: float
    previous: Tensor
    change: Tensor
    momentum: Tensor
    blur: MaskedBlur | KnownOperator
    support: Tensor
    visible: Tensor
    noise: Tensor
    saved: ClassVar = ("image", "kernel", "previous", "change", "momentum")

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the image with its gamma, clamped to its range, and the kernel."""
        return (self.image ** (1 / self.gamma)).clamp(*self.range), self.kernel

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return a prior that gives the estimate, and the problem's kernel prior."""
        return image_prior_of(problem.image_prior, self.estimate()[0]), problem.kernel_prior


@dataclass(frozen=True)
class KnownOperator:
    """A linear operator with a known parameter, and the adjoint with the weights W of the data.

    Attributes:
        forward: ``A x``: (B, C, H, W) -> (B, C', H', W').
        transposed: ``A^T y`` of any data.
        weights: W, of the shape of the data; None: all 1.
    """

    forward: LinearMap
    transposed: LinearMap
    weights: Tensor | None

    @classmethod
    def of(cls, problem: Problem, kernel: Tensor) -> KnownOperator:
        """Return the operator of a problem, prepared if it can be."""
        operator = problem.operator
        assert isinstance(operator, LinearOperator)  # as `NonNegative` says
        if isinstance(operator, Prepared):
            return cls(*operator.prepared(kernel, problem.image_prior.shape), problem.weights)
        return cls(partial(operator, kernel=kernel), partial(operator.adjoint, kernel=kernel), problem.weights)

    def adjoint(self, data: Tensor) -> Tensor:
        """``A^T W y``: (B, C', H', W') -> (B, C, H, W)."""
        return self.transposed(data if self.weights is None else data * self.weights)


class RichardsonLucy(Solver[RichardsonLucyState], WeightedData, AnyRange):
    """Richardson-Lucy deconvolution (Richardson 1972; Lucy 1974): the most likely image under Poisson noise.

    ``x <- x * K^T(y / K x) / K^T 1`` reduces the Kullback-Leibler divergence of ``K x`` from the data, the fidelity
    'poisson', and keeps x non-negative. Noise grows with the iterations, so their number regularizes. K may be any
    operator of type `NonNegative`: of a tomograph, this is the method of Shepp & Vardi (IEEE Trans. Med. Imaging 1982).

    - Read noise: with the fidelity 'gaussian-poisson' its shift is added to y and to ``K x`` (Snyder et al. 1995).
    - Stopping: by the discrepancy principle, an image is no longer updated once it explains the data as well as the
      noise allows (`discrepancy.expected_discrepancy`). The solve then starts as from a constant image, because the
      prior's image, mostly the data, holds their noise. With a wrong kernel the point may never be reached.
    - Boundaries (Bertero & Boccacci 2005): with a "valid" operator the image is larger than the data, and ``K^T 1`` is
      the visible share of each pixel. Pixels that are almost invisible are not updated.
    - Weights w of the data: ``x <- x * K^T(w y / K x) / K^T w``, which leaves out data of weight zero.
    - Regularizers, if the problem has any, follow Green's one-step-late rule (1990; with total variation Dey et al.
      2006): their gradient at the current image is added to ``K^T 1``. They are applied to the linear image.
    - Acceleration (Biggs & Andrews 1997): each step starts from a point extrapolated along the last two images, by as
      much as the last two changes agree. The loss is then not monotonic. Problems with regularizers are not
      accelerated, because the one-step-late rule does not allow it.
    - Saturation (Whyte, Sivic, Zisserman 2014): the data are ``R(K x)``, with the smooth response
      ``R(v) = v - log(1 + exp(a (v - level))) / a``, and the image may exceed white. Bright pixels are poorly
      estimated. So that they cause no ringing, other pixels are updated only from data that no bright pixel reaches.
    - Gamma: a photograph's values are about the 1/2.2th power of the light, and blur acts on light.

    Args:
        iterations: highest number of steps; noise grows with them.
        stop: "poisson" for noise of photons, "gaussian" for noise that is the same everywhere: stop when the data are
            explained up to the noise; "never": take all steps.
        sigma: standard deviation of the noise for ``stop``, in the units of the data after ``gamma``; of photon noise,
            its root mean square over the picture. None: estimated from the data.
        acceleration: whether to extrapolate if the problem has no regularizers, which is as good as three to five times
            the steps.
        saturation: value of the data, with their gamma, from which pixels are saturated; None: no pixels are.
        gamma: exponent that makes the data linear; 2.2 for photographs.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = RichardsonLucy(iterations=5)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    needs: ClassVar = {"operator": NonNegative, "image_prior": Assignable, "fidelity": KullbackLeibler}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 50,
        stop: StopRule = "never",
        sigma: Positive | None = None,
        acceleration: bool = True,
        saturation: PositiveFraction | None = None,
        gamma: Annotated[float, Field(gt=0, le=5)] = 1.0,
    ) -> None:
        self.iterations = iterations
        self.stop, self.sigma = stop, sigma
        self.acceleration = acceleration
        self.saturation = saturation
        self.gamma = gamma

    def usable(self, value_range: ValueRange) -> ValueRange:
        """Return the part of a range that is not negative: light cannot be."""
        return max(value_range[0], 0.0), value_range[1]

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "richardson-lucy")
        check_terms(problem, "richardson-lucy")
        if self.saturation is not None and not isinstance(problem.operator, Blur):
            raise AssemblyError(
                f"richardson-lucy knows saturated data of pictures that one kernel blurs, not of "
                f"{type(problem.operator).__name__}; set solver.saturation=none"
            )

    @torch.no_grad()
    def start(self, problem: Problem) -> RichardsonLucyState:
        """Take the image that the prior gives, made linear, or, to stop at the noise, ``K^T y / K^T 1``."""
        given, kernel = starting_point(problem)
        image, blur = given.clamp(min=MIN_STARTING_VALUE) ** self.gamma, blur_of(problem, kernel)
        data = problem.data.clamp(min=0) ** self.gamma
        is_alike = isinstance(blur, MaskedBlur)  # in all channels, whose acceleration is each their own
        support = blur.adjoint(torch.ones_like(data[:, :1] if is_alike and problem.weights is None else data))
        if problem.weights is not None:
            data = problem.observed(blur.forward(image).clamp(min=0), data)
        visible = visible_share(problem, blur, support) > MIN_VISIBLE_SHARE
        if self.stop != "never":  # the first iterate from a constant image; the data would bring in their noise
            smooth = blur.adjoint(data) / support.where(visible, 1)
            image = torch.where(visible, smooth, image).clamp(min=MIN_STARTING_VALUE**self.gamma)
        return RichardsonLucyState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            gamma=self.gamma,
            previous=image,
            change=torch.zeros_like(image),
            momentum=image.new_zeros(len(image), image.shape[1] if is_alike else 1, 1, 1),
            blur=blur,
            support=support,
            visible=visible,
            noise=noise_level(self.stop, problem, data + shift_of(problem), self.sigma),
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: RichardsonLucyState) -> RichardsonLucyState:
        """One multiplicative update; its loss is the divergence at the point where it is computed."""
        point = torch.addcmul(state.image, state.image - state.previous, state.momentum).clamp_(min=0)
        error, loss, excess = self._error(problem, state, point)
        divisor = torch.maximum(state.support + regularizer_gradient(problem, point), MIN_DIVISOR_SHARE * state.support)
        factor = (state.support + self._back_projected(state, point, error)).clamp_(min=0) / divisor
        image = torch.where(state.visible, point * factor, point)
        if self.stop != "never":
            explained = excess <= 0
            image = torch.where(explained[:, None, None, None], point, image)
            state.converged = bool(explained.all())
        change, earlier = image - point, state.change
        if self.acceleration and not terms_on_image(problem):
            state.momentum = agreement(change, earlier, like=state.momentum)
        state.previous, state.image, state.change = state.image, image, change
        state.losses.append(loss)
        return state

    def _error(self, problem: Problem, state: RichardsonLucyState, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The error ``(y / R(K x) - 1) R'(K x)``, (B, C, H', W'), and two discrepancies.

        The first is the divergence of the batch, the second that of each image beyond what the noise explains, (B,).
        """
        shift, slope = shift_of(problem), None
        blurred = state.blur.forward(point).clamp_(min=KullbackLeibler.MIN_LIGHT)
        data = problem.data.clamp(min=0) ** self.gamma
        if self.saturation is not None:
            level = self.saturation**self.gamma
            blurred, slope = sensor_response(blurred, level)
            data = data.clamp(max=level)
        data, blurred = problem.observed(blurred, data) + shift, blurred + shift
        error = (data / blurred).sub_(1)
        apart = problem.weighted(divergence(data, blurred)).mean((1, 2, 3))
        residual = problem.weighted((blurred - data).square()).mean((1, 2, 3)) if self.stop == "gaussian" else apart
        excess = residual - expected_discrepancy(self.stop, state.noise, blurred, problem.weights)
        return error if slope is None else error.mul_(slope), apart.sum(), excess

    def _back_projected(self, state: RichardsonLucyState, point: Tensor, error: Tensor) -> Tensor:
        """``K^T`` of the error; for pixels that are not bright, of the error where no bright pixel contributes."""
        every = state.blur.adjoint(error)
        if self.saturation is None:
            return every
        bright = dilated_by_disk((point >= BRIGHT_SHARE * self.saturation**self.gamma).to(point.dtype))
        if not bool(bright.any()):
            return every
        assert isinstance(state.blur, MaskedBlur)  # as `check` says
        reached = state.blur.by(footprint(state.kernel)).forward(bright) > 0.5
        safe = state.blur.adjoint(error.masked_fill(reached, 0))
        return torch.lerp(safe, every, blending_weights(bright))


def blur_of(problem: Problem, kernel: Tensor) -> MaskedBlur | KnownOperator:
    """Return the operator of a problem with a known parameter; a blur by Fourier transforms that are prepared once."""
    return (MaskedBlur if isinstance(problem.operator, Blur) else KnownOperator).of(problem, kernel)


def visible_share(problem: Problem, blur: MaskedBlur | KnownOperator, support: Tensor) -> Tensor:
    """The share of each pixel's light that reaches known data, whatever their weights, (B, C, H, W).

    Args:
        problem: gives the weights.
        blur: of the problem.
        support: ``K^T w``.
    """
    if not problem.is_graded:
        return support
    known = problem.masked(torch.ones_like(problem.data))
    return replace(blur, weights=None).adjoint(known)


def shift_of(problem: Problem) -> float:
    """Return what the fidelity adds to data and prediction."""
    assert isinstance(problem.fidelity, KullbackLeibler)  # as `needs` says
    return problem.fidelity.shift


def sensor_response(light: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the response of a sensor that saturates smoothly at ``level``, and its derivative (Whyte et al. 2014)."""
    excess = RESPONSE_SHARPNESS * (light - level)
    response = (light - F.softplus(excess) / RESPONSE_SHARPNESS).clamp_(min=KullbackLeibler.MIN_LIGHT)
    return response, torch.sigmoid(-excess)


def regularizer_gradient(problem: Problem, image: Tensor) -> Tensor:
    """Gradient of the terms on the image, in units in which the data term is the sum over the data's values."""
    terms = terms_on_image(problem)
    if not terms:
        return image.new_zeros(())
    with torch.enable_grad():
        free = image.detach().requires_grad_()
        total = torch.stack([term.weight * term.regularizer(free).sum() for term in terms]).sum()
    (gradient,) = torch.autograd.grad(total, free)
    return gradient * problem.data[0].numel()


def terms_on_image(problem: Problem) -> list[Term]:
    """Return the terms on the image with a weight above zero."""
    return [term for term in problem.regularizers if term.target == "image" and term.weight > 0]


def agreement(change: Tensor, earlier: Tensor, like: Tensor) -> Tensor:
    """Projection of the last change on the previous one, in [0, 1]; zero after the first step.

    Args:
        change: (B, C, H, W).
        earlier: (B, C, H, W).
        like: gives the shape of the result, (B, C, 1, 1) for each channel or (B, 1, 1, 1) for all together.
    """
    along = (change * earlier).sum_to_size(like.shape)
    size = earlier.square().sum_to_size(like.shape)
    return torch.where(size > 0, along / size.clamp(min=torch.finfo(size.dtype).tiny), 0).clamp_(0, 1)


def dilated_by_disk(mask: Tensor) -> Tensor:
    """Dilate a mask of zeros and ones by the disk of radius 3, the union of these three boxes."""
    boxes = ((7, 1), (5, 5), (1, 7))
    pooled = [F.max_pool2d(mask, box, stride=1, padding=(box[0] // 2, box[1] // 2)) for box in boxes]
    return torch.stack(pooled).amax(0)


def blending_weights(mask: Tensor) -> Tensor:
    """Blur a mask (B, C, H, W) by a Gaussian; its edge pixels are repeated beyond the border."""
    offsets = torch.arange(-BLENDING_RADIUS, BLENDING_RADIUS + 1, dtype=mask.dtype, device=mask.device)
    taps = torch.softmax(-offsets.square() / (2 * BLENDING_SIGMA**2), 0)
    planes = F.pad(mask.flatten(0, 1)[:, None], (BLENDING_RADIUS,) * 4, mode="replicate")
    rows = F.conv2d(planes, taps.view(1, 1, -1, 1))
    return F.conv2d(rows, taps.view(1, 1, 1, -1)).view_as(mask)


def footprint(kernel: Tensor) -> Tensor:
    """One where a kernel (B, 1, h, w) is above `MIN_KERNEL_SHARE` of its largest value, else zero."""
    return (kernel > MIN_KERNEL_SHARE * kernel.amax((-2, -1), keepdim=True)).to(kernel.dtype)

"""Richardson-Lucy deconvolution: Poisson noise, unknown borders, acceleration, saturated pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, ImagePrior, OperatorParameterPrior
from ..core.parameters import PositiveInt, validated
from ..core.problem import Problem, Term
from ..core.solver import Solver
from .masked_blur import MaskedBlur
from .pixel_state import PixelState, check_padding, image_prior_of, starting_point

__all__ = ["RichardsonLucy", "RichardsonLucyState"]

DARKEST = 1e-3  # of a starting image: what is zero stays zero for ever
POSITIVE = 1e-6  # of what is divided by; the darkest grey of 8 bits, made linear, is five times as much
SEEN = 1e-2  # share of a pixel's light that must reach the data, for these to say anything of it
SLOWEST = 0.1  # no regularizer makes the divisor less than this share of its value without

SHARPNESS = 50.0  # a of the saturating response R (Whyte et al. 2014, Sec. 4)
BRIGHT = 0.9  # phi: share of the saturation level from which a latent pixel counts as badly known (Sec. 5)
SMOOTHING, REACH = 3.0, 9  # std and reach of the Gaussian, pixels, by which the two updates are blended
FAINTEST = 1e-2  # share of a kernel's largest value below which it spreads no errors


@dataclass(kw_only=True)
class RichardsonLucyState(PixelState):
    """The latent image in linear light, with what acceleration keeps.

    Attributes:
        gamma: of the data; the estimate is ``image ** (1 / gamma)``.
        before: the image one step ago, (B, C, H, W).
        change: what the last step added to the point it was taken from, (B, C, H, W).
        momentum: how far to go on along ``image - before``, in [0, 1], (B, C, 1, 1).
        blur: K.
        support: ``K^T 1``, how much of each pixel's light reaches the data, (B, 1, H, W).
    """

    gamma: float
    before: Tensor
    change: Tensor
    momentum: Tensor
    blur: MaskedBlur
    support: Tensor

    def estimate(self) -> tuple[Tensor, Tensor]:
        """The image, with its gamma and clamped to [0, 1], and the kernel."""
        return self.image.clamp(0, 1) ** (1 / self.gamma), self.kernel

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """A prior that gives the estimate, and the kernel's prior as it is."""
        return image_prior_of(problem.image_prior, self.estimate()[0]), problem.kernel_prior

    def state_dict(self) -> dict[str, Any]:
        """A copy; what depends on data and kernel only is computed anew."""
        own = {"before": self.before, "change": self.change, "momentum": self.momentum}
        return super().state_dict() | {name: tensor.clone() for name, tensor in own.items()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.before = saved["before"].to(self.image)
        self.change = saved["change"].to(self.image)
        self.momentum = saved["momentum"].to(self.image)


class RichardsonLucy(Solver[RichardsonLucyState]):
    """Richardson-Lucy deconvolution (Richardson 1972; Lucy 1974): the most likely image under Poisson noise.

    ``x <- x * K^T(y / K x) / K^T 1`` lowers the Kullback-Leibler divergence of ``K x`` from the data, whatever the
    problem's fidelity, and keeps x non-negative. Noise grows with the iterations: these are what regularizes.

    - Borders (Bertero & Boccacci 2005): with a "valid" operator the image sticks out of the data, and ``K^T 1`` is how
      much of a pixel is seen; pixels of which next to nothing is seen stay as they are.
    - Regularizers, if the problem has any, by Green's one-step-late rule (1990; with total variation Dey et al. 2006):
      their gradient at the present image is added to ``K^T 1``. They are applied to the linear image.
    - Acceleration (Biggs & Andrews 1997): each step is taken from a point extrapolated along the last two images, as
      far as the last two changes are alike. The loss is then not monotonic. With regularizers there is none: the
      one-step-late rule does not bear it.
    - Saturation (Whyte, Sivic, Zisserman 2014): the data are ``R(K x)``, with the smooth clipping
      ``R(v) = v - log(1 + exp(a (v - level))) / a``, and the image may exceed white. So that the badly known bright
      pixels do not make the others ring, these are updated from such data alone as no bright pixel reaches.
    - Gamma: a photograph's values are about the 1/2.2th power of the light, and it is light that is blurred.

    Args:
        iterations: steps.
        acceleration: extrapolate, where the problem has no regularizers.
        saturation: value of the data, with their gamma, from which pixels are saturated; None: there are none.
        gamma: exponent that makes the data linear.
    """

    needs: ClassVar = {"operator": Blur, "image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        iterations: Annotated[PositiveInt, Field(description="steps; noise grows with them")] = 50,
        acceleration: Annotated[
            bool, Field(description="extrapolate: as good as three to five times the steps")
        ] = True,
        saturation: Annotated[
            float | None, Field(gt=0, le=1, description="value of the data from which they are clipped; none: nowhere")
        ] = None,
        gamma: Annotated[
            float, Field(gt=0, le=5, description="exponent that makes the data linear; photographs: 2.2")
        ] = 1.0,
    ) -> None:
        self.iterations = iterations
        self.acceleration = acceleration
        self.saturation = saturation
        self.gamma = gamma

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "richardson-lucy")

    @torch.no_grad()
    def start(self, problem: Problem) -> RichardsonLucyState:
        """The image as the prior gives it, made linear."""
        given, kernel = starting_point(problem)
        image, blur = given.clamp(min=DARKEST) ** self.gamma, MaskedBlur.of(problem, kernel)
        return RichardsonLucyState(
            image=image,
            kernel=kernel,
            gamma=self.gamma,
            before=image,
            change=torch.zeros_like(image),
            momentum=image.new_zeros(*image.shape[:2], 1, 1),
            blur=blur,
            support=blur.adjoint(torch.ones_like(problem.data[:, :1])),
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: RichardsonLucyState) -> RichardsonLucyState:
        """One multiplicative update; its loss is the divergence at the point where it is taken."""
        point = torch.addcmul(state.image, state.image - state.before, state.momentum).clamp_(min=0)
        error, loss = self._error(problem, state, point)
        divisor = torch.maximum(state.support + prior_slope(problem, point), SLOWEST * state.support)
        factor = (state.support + self._spread(state, point, error)).clamp_(min=0) / divisor
        image = torch.where(state.support > SEEN, point * factor, point)
        change, earlier = image - point, state.change
        if self.acceleration and not terms_on_image(problem):
            state.momentum = alike(change, earlier)
        state.before, state.image, state.change = state.image, image, change
        state.losses.append(loss)
        return state

    def _error(self, problem: Problem, state: RichardsonLucyState, point: Tensor) -> tuple[Tensor, Tensor]:
        """``(y / R(K x) - 1) R'(K x)``, (B, C, H', W'), and the divergence, summed over the batch."""
        blurred = state.blur.forward(point).clamp_(min=POSITIVE)
        data = problem.data.clamp(min=0) ** self.gamma
        if self.saturation is None:
            return (data / blurred).sub_(1), divergence(data, blurred)
        level = self.saturation**self.gamma
        clipped, slope = response(blurred, level)
        data = data.clamp(max=level)
        return (data / clipped).sub_(1).mul_(slope), divergence(data, clipped)

    def _spread(self, state: RichardsonLucyState, point: Tensor, error: Tensor) -> Tensor:
        """``K^T`` of the error; for pixels that are not bright, of the error where bright ones have no part in it."""
        every = state.blur.adjoint(error)
        if self.saturation is None:
            return every
        bright = dilated((point >= BRIGHT * self.saturation**self.gamma).to(point.dtype))
        if not bool(bright.any()):
            return every
        reached = state.blur.by(footprint(state.kernel)).forward(bright) > 0.5
        safe = state.blur.adjoint(error.masked_fill(reached, 0))
        return torch.lerp(safe, every, smoothed(bright))


def divergence(data: Tensor, predicted: Tensor) -> Tensor:
    """Kullback-Leibler divergence, the mean over each image's values, summed over the batch; no dimension."""
    return (torch.xlogy(data, data / predicted) - data + predicted).mean((1, 2, 3)).sum()


def response(light: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """What a sensor makes of light that it clips at ``level``, smoothly, and its derivative (Whyte et al. 2014)."""
    excess = SHARPNESS * (light - level)
    return (light - F.softplus(excess) / SHARPNESS).clamp_(min=POSITIVE), torch.sigmoid(-excess)


def prior_slope(problem: Problem, image: Tensor) -> Tensor:
    """Gradient of the terms on the image, in units in which the data term is the sum over the data's values."""
    terms = terms_on_image(problem)
    if not terms:
        return image.new_zeros(())
    with torch.enable_grad():
        free = image.detach().requires_grad_()
        total = torch.stack([term.weight * term.regularizer(free).sum() for term in terms]).sum()
    (slope,) = torch.autograd.grad(total, free)
    return slope * problem.data[0].numel()


def terms_on_image(problem: Problem) -> list[Term]:
    """The terms that make a difference to the image."""
    return [term for term in problem.regularizers if term.target == "image" and term.weight > 0]


def alike(change: Tensor, earlier: Tensor) -> Tensor:
    """The share of the last change that was in the one before, in [0, 1], (B, C, 1, 1); zero after the first."""
    along = (change * earlier).sum((-2, -1), keepdim=True)
    size = earlier.square().sum((-2, -1), keepdim=True)
    return torch.where(size > 0, along / size.clamp(min=torch.finfo(size.dtype).tiny), 0).clamp_(0, 1)


def dilated(mask: Tensor) -> Tensor:
    """A mask of zeros and ones dilated by the disk of radius 3, the union of these three boxes."""
    boxes = ((7, 1), (5, 5), (1, 7))
    pooled = [F.max_pool2d(mask, box, stride=1, padding=(box[0] // 2, box[1] // 2)) for box in boxes]
    return torch.stack(pooled).amax(0)


def smoothed(mask: Tensor) -> Tensor:
    """A mask (B, C, H, W) blurred by a Gaussian, its edge pixels repeated beyond the border."""
    offsets = torch.arange(-REACH, REACH + 1, dtype=mask.dtype, device=mask.device)
    taps = torch.softmax(-offsets.square() / (2 * SMOOTHING**2), 0)
    planes = F.pad(mask.flatten(0, 1)[:, None], (REACH, REACH, REACH, REACH), mode="replicate")
    rows = F.conv2d(planes, taps.view(1, 1, -1, 1))
    return F.conv2d(rows, taps.view(1, 1, 1, -1)).view_as(mask)


def footprint(kernel: Tensor) -> Tensor:
    """One where a kernel spreads anything worth mentioning, else zero; (B, 1, h, w)."""
    return (kernel > FAINTEST * kernel.amax((-2, -1), keepdim=True)).to(kernel.dtype)

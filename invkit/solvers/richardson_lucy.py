"""Richardson-Lucy deconvolution: Poisson noise, unknown boundaries, acceleration, saturated pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError, DataWeightsError
from ..core.fidelity_abilities import KullbackLeibler, divergence
from ..core.interfaces import Assignable, Blur, ImagePrior, LinearOperator, OperatorParameterPrior
from ..core.memory import StatesMemory
from ..core.operator_parameters import LinearMap, Prepared
from ..core.parameters import Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem, Term, WeightedData
from ..core.ranges import AnyRange, NonNegative, ValueRange
from ..core.solver import Solver
from .discrepancy import StopRule, expected_discrepancy, noise_level
from .masked_blur import MaskedBlur
from .pixel_state import PixelState, check_padding, check_terms, image_prior_of, starting_point
from .saturated_light import blending_weights, dilated_by_disk, footprint, sensor_response
from .stack_blocks import Block, assembled, blocks_of, mean_of

__all__ = ["RichardsonLucy", "RichardsonLucyState"]

MIN_STARTING_VALUE = 1e-3  # a pixel that starts at zero stays zero
MIN_SUPPORT = 1e-6  # of the largest weight that reaches a pixel; less is lost in the rounding of transforms
MIN_VISIBLE_SHARE = 1e-2  # share of a pixel's light that must reach the data before the pixel is updated
MIN_DIVISOR_SHARE = 0.1  # regularizers never reduce the divisor below this share of its value without them

BRIGHT_SHARE = 0.9  # phi: share of the saturation level from which a latent pixel is poorly estimated (Sec. 5)
NUMBERS_PER_VOXEL = 6  # that a solve keeps: image, earlier image, change, support, the prior's image, the next image
NUMBERS_OF_TERMS = 30  # that regularizers and their gradients need besides
NUMBERS_PER_READ = 16  # that a step needs besides for each voxel of the image that it reads at once


@dataclass(kw_only=True)
class RichardsonLucyState(PixelState):
    """The latent image in linear light, and the variables of the acceleration.

    Attributes:
        gamma: of the data; the estimate is ``image ** (1 / gamma)``.
        previous: the image one step ago, (B, C, H, W). A step writes the next image in the memory of ``change``, and
            the next change in that of ``previous``.
        change: difference of the last update and the point at which it was computed, (B, C, H, W).
        momentum: length of the extrapolation along ``image - previous``, in [0, 1], (B, C or 1, 1, 1).
        blocks: the parts of the image that a step updates one after the other; mostly one, the whole.
        blur: K, the operator with the known parameter, from the image to the data of a block.
        support: ``K^T w`` for the weights w of the data, 1 by default, (B, C, H, W).
        visible: which pixels are updated: those of whose light enough reaches known data, bool, (B, C, H, W).
        noise: `discrepancy.noise_level` of each image, by which it is no longer updated at some discrepancy, (B,).
    """

    gamma: float
    previous: Tensor
    change: Tensor
    momentum: Tensor
    blocks: list[Block]
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
    """A linear operator with a known parameter, and its adjoint.

    Attributes:
        forward: ``A x``: (B, C, H, W) -> (B, C', H', W').
        adjoint: ``A^T y``.
    """

    forward: LinearMap
    adjoint: LinearMap

    @classmethod
    def of(cls, problem: Problem, kernel: Tensor, block: Block) -> KnownOperator:
        """Return the operator of a problem from the image to the data of a block, prepared if it can be."""
        operator = problem.operator
        assert isinstance(operator, LinearOperator)  # as `NonNegative` says
        if isinstance(operator, Prepared):
            return cls(*operator.prepared(kernel, block.image_shape(problem.image_prior.shape)))
        return cls(partial(operator, kernel=kernel), partial(operator.adjoint, kernel=kernel))


class RichardsonLucy(Solver[RichardsonLucyState], WeightedData, AnyRange, StatesMemory):
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
    - Stacks that are large are updated block by block (`stack_blocks`), which takes less memory. Stop and acceleration
      are decided for the whole stack, so its image has no seams: only rounding differs. A regularizer, and
      "circular" padding, still take the memory of the whole.

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
        block_voxels: number of a stack's voxels that are read at once. Fewer take less memory and more time, since each
            block reads the voxels around it too, twice the kernel's size less one along each side.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = RichardsonLucy(iterations=5)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    memory_remedy = "set a smaller solver.block_voxels (of a stack)"
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
        block_voxels: PositiveInt = 2**24,
    ) -> None:
        self.iterations = iterations
        self.stop, self.sigma = stop, sigma
        self.acceleration = acceleration
        self.saturation = saturation
        self.gamma = gamma
        self.block_voxels = block_voxels

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
        if self.gamma != 1 and problem.is_graded:
            raise DataWeightsError(
                "with a gamma, richardson-lucy compares linear light, and the variances are those of the data; set "
                "solver.gamma=1"
            )

    def memory_needed(self, problem: Problem) -> int:
        """Return about how many bytes a solve takes besides the problem itself."""
        blocks, voxels = blocks_of(problem, self.block_voxels), math.prod(problem.image_prior.shape)
        read = math.prod(blocks[0].image_shape(problem.image_prior.shape))
        numbers = NUMBERS_PER_VOXEL + (NUMBERS_OF_TERMS if terms_on_image(problem) else 0)
        return problem.data.element_size() * (numbers * voxels + NUMBERS_PER_READ * read)

    @torch.no_grad()
    def start(self, problem: Problem) -> RichardsonLucyState:
        """Take the image that the prior gives, made linear, or, to stop at the noise, ``K^T y / K^T 1``."""
        given, kernel = starting_point(problem)
        image, blocks = given.clamp(min=MIN_STARTING_VALUE).pow_(self.gamma), blocks_of(problem, self.block_voxels)
        blur, is_alike = blur_of(problem, kernel, blocks[0]), isinstance(problem.operator, Blur)
        light = problem.data.clamp(min=0).pow_(self.gamma)

        def reached(weights: Tensor | None, block: Block) -> Tensor:
            data = block.data_of(light)
            ones = torch.ones_like(data[:, :1] if is_alike and weights is None else data)
            return blur.adjoint(block.weighted(ones, weights))

        def smooth(block: Block) -> Tensor:
            share, is_visible = block.image_of(support), block.image_of(visible)
            found = blur.adjoint(block.weighted(block.data_of(light), problem.weights)) / share.where(is_visible, 1)
            found = torch.where(is_visible, found, block.image_of(image))
            return found.clamp_(min=MIN_STARTING_VALUE**self.gamma)

        support = assembled(blocks, image, partial(reached, problem.weights))
        known = assembled(blocks, image, partial(reached, problem.known)) if problem.is_graded else support
        visible = (known > MIN_VISIBLE_SHARE) & (support > MIN_SUPPORT * support.amax())
        if self.stop != "never":  # the first iterate from a constant image; the data would bring in their noise
            image = assembled(blocks, image, smooth)
        return RichardsonLucyState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            gamma=self.gamma,
            previous=image.clone(),
            change=torch.zeros_like(image),
            momentum=image.new_zeros(len(image), image.shape[1] if is_alike else 1, 1, 1),
            blocks=blocks,
            blur=blur,
            support=support,
            visible=visible,
            noise=noise_level(self.stop, problem, light.add_(shift_of(problem)), self.sigma),
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: RichardsonLucyState) -> RichardsonLucyState:
        """One multiplicative update; its loss is the divergence at the point where it is computed."""
        torch.sub(state.image, state.previous, out=state.previous)
        point = torch.addcmul(state.image, state.previous, state.momentum, out=state.previous).clamp_(min=0)
        slope, image = regularizer_gradient(problem, point), state.change
        found = [self._update(problem, state, block, point, slope) for block in state.blocks]
        loss, excess, along, size = (torch.stack(one).sum(0) for one in zip(*found, strict=True))
        if self.stop != "never":
            explained = (excess <= 0)[:, None, None, None]
            state.converged = bool(explained.all())
            if state.converged or len(explained) > 1:
                torch.where(explained, point, image, out=image)
            along = torch.where(explained, 0, along)
        if self.acceleration and not terms_on_image(problem):
            state.momentum = ratio(along, size)
        state.previous, state.image, state.change = state.image, image, torch.sub(image, point, out=point)
        state.losses.append(loss)
        return state

    def _update(
        self, problem: Problem, state: RichardsonLucyState, block: Block, point: Tensor, slope: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Write the new image of a block over ``state.change``.

        Returns:
            The block's shares of the divergence of the batch, of each image's discrepancy beyond the expected one,
            (B,), and of the two products in `agreement`.
        """
        seen, here, earlier = block.image_of(point), block.core_of(point), block.core_of(state.change)
        error, loss, excess = self._error(problem, state, block, seen)
        support = block.core_of(state.support)
        divisor = torch.maximum(support + slope_of(block, slope), MIN_DIVISOR_SHARE * support)
        factor = (support + block.core_within(self._back_projected(state, seen, error))).clamp_(min=0) / divisor
        new = torch.where(block.core_of(state.visible), here * factor, here)
        along, size = products(new - here, earlier, like=state.momentum)
        earlier.copy_(new)
        return loss, excess, along, size

    def _error(
        self, problem: Problem, state: RichardsonLucyState, block: Block, seen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The error ``w (y / R(K x) - 1) R'(K x)`` of data that a block reads, (B, C, H', W'), and two discrepancies.

        The first is the divergence of the batch, the second that of each image beyond what the noise explains, (B,);
        both of the data that the block counts, as shares of those of all.
        """
        shift, slope = shift_of(problem), None
        blurred = state.blur.forward(seen).clamp_(min=KullbackLeibler.MIN_LIGHT)
        data = block.data_of(problem.data).clamp(min=0).pow_(self.gamma)
        if self.saturation is not None:
            level = self.saturation**self.gamma
            blurred, slope = sensor_response(blurred, level)
            data = data.clamp(max=level)
        weights = None if problem.weights is None else block.data_of(problem.weights)
        data = data if weights is None else torch.where(weights > 0, data, blurred)
        data, blurred = data.add_(shift), blurred.add_(shift)
        error = block.weighted((data / blurred).sub_(1), problem.weights)
        share, counts, light = block.share(problem.data), block.counted_within(data), block.counted_within(blurred)
        weights = None if weights is None else block.counted_within(weights)
        apart = mean_of(divergence(counts, light), weights) * share
        residual = mean_of((light - counts).square(), weights) * share if self.stop == "gaussian" else apart
        excess = residual - expected_discrepancy(self.stop, state.noise, light, weights) * share
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


def blur_of(problem: Problem, kernel: Tensor, block: Block) -> MaskedBlur | KnownOperator:
    """Return the operator of a block with a known parameter; a blur by Fourier transforms that are prepared once.

    Its adjoint leaves the weights of the data to the caller.
    """
    if isinstance(problem.operator, Blur):
        return replace(MaskedBlur.of(problem, kernel), weights=None)
    return KnownOperator.of(problem, kernel, block)


def shift_of(problem: Problem) -> float:
    """Return what the fidelity adds to data and prediction."""
    assert isinstance(problem.fidelity, KullbackLeibler)  # as `needs` says
    return problem.fidelity.shift


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


def slope_of(block: Block, slope: Tensor) -> Tensor:
    """Return the part of the regularizers' gradient that belongs to a block; a single zero as it is."""
    return block.core_of(slope) if slope.ndim else slope


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
    return ratio(*products(change, earlier, like))


def products(change: Tensor, earlier: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The products of an earlier change with the last one and with itself; arguments as `agreement`."""
    return (change * earlier).sum_to_size(like.shape), earlier.square().sum_to_size(like.shape)


def ratio(along: Tensor, size: Tensor) -> Tensor:
    """The quotient of two products, in [0, 1]; zero where the second is."""
    return torch.where(size > 0, along / size.clamp(min=torch.finfo(size.dtype).tiny), 0).clamp_(0, 1)

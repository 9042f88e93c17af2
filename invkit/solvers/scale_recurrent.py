"""Deblurring by a trained network, which needs no kernel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import InputError, NotApplicableError
from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Assignable, Blur
from ..core.parameters import validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..networks.scale_recurrent import ScaleRecurrentNetwork, read_network
from ..numerics.geometry import margins, size_of
from .pixel_state import PixelState, check_padding, check_terms, starting_point

__all__ = ["SMALL_NETWORK", "ScaleRecurrent"]

SMALL_NETWORK = "scale_recurrent_small.npz"
MIN_PICTURE_SIDE = 32  # pixels; smaller pictures have nothing in common with those of the training
GREY = torch.tensor([0.299, 0.587, 0.114])  # of red, green and blue


class ScaleRecurrent(Solver[PixelState]):
    """A scale-recurrent network restores the picture in one step: Tao, Gao, Shen, Wang, Jia, CVPR 2018.

    The network has been trained on pairs of blurry and sharp pictures, and knows neither a kernel nor a model of the
    blur: what it has not been trained on, it cannot restore. The problem's kernel stays as it is. As the ``latent``
    solver of ``alternating-map``, it lets the kernel be fitted to what the network has made of the picture.

    The network that comes with invkit is a small one, trained for minutes on a single kernel
    (`benchmarks/train_scale_recurrent.py`). It is there so that everything runs. If you have weights of the authors,
    `benchmarks/convert_scale_recurrent.py` converts them.

    A grey picture goes through a colour network as three equal channels, whose luma is the result. A colour picture
    goes through a grey network channel by channel. Beyond the data the image repeats their border.

    Args:
        weights: path of an ``.npz`` file that one of these two scripts has written; None for the small network.
    """

    iterations = 1
    needs: ClassVar = {"operator": Blur, "image_prior": Assignable, "fidelity": LeastSquares}

    @validated
    def __init__(self, *, weights: Annotated[str, Field(min_length=1)] | None = None) -> None:
        self.weights = weights

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem whose border the image cannot fit, or with a regularizer."""
        super().check(problem)
        check_padding(problem, "scale-recurrent")
        check_terms(problem, "scale-recurrent", ("image", "kernel"))

    def start(self, problem: Problem) -> PixelState:
        """Take image and kernel that the priors give."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    @torch.no_grad()
    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """Apply the network; there is no other step.

        Raises:
            NotApplicableError: the picture is smaller than 32 pixels.
            InputError: the file of weights is not there, or is none.
        """
        if min(size_of(problem.data)) < MIN_PICTURE_SIDE:
            raise NotApplicableError(
                f"the network needs pictures of at least {MIN_PICTURE_SIDE} x {MIN_PICTURE_SIDE} pixels"
            )
        restored = restored_by(self._network().to(problem.data), problem.data)
        if size_of(state.image) != size_of(restored):
            (top, bottom), (left, right) = margins(size_of(state.kernel))
            restored = F.pad(restored, (left, right, top, bottom), mode="replicate")
        state.image = restored
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).sum())
        state.converged = True
        return state

    def _network(self) -> ScaleRecurrentNetwork:
        """Read the network anew: it is needed once in a solve."""
        try:
            return read_network(files(__package__) / SMALL_NETWORK if self.weights is None else Path(self.weights))
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot read weights of a scale-recurrent network from {self.weights}: {error}; give an .npz file "
                "of benchmarks/train_scale_recurrent.py or benchmarks/convert_scale_recurrent.py"
            ) from error


def restored_by(network: ScaleRecurrentNetwork, picture: Tensor) -> Tensor:
    """A picture of any size and number of channels, restored.

    Args:
        network: for colour or grey pictures.
        picture: (B, C, H, W) in [0, 1].

    Returns:
        The same shape, in [0, 1].
    """
    (height, width), step = size_of(picture), network.settings.multiple
    padded = F.pad(picture, (0, -width % step, 0, -height % step), mode="replicate")
    channels, wanted = picture.shape[1], network.settings.image_channels
    if channels == wanted:
        found = network(padded)[-1]
    elif channels == 1:
        grey = GREY.to(picture).view(1, 3, 1, 1)
        found = (network(padded.expand(-1, wanted, -1, -1))[-1] * grey).sum(1, keepdim=True)
    else:
        each = padded.flatten(0, 1)[:, None].expand(-1, wanted, -1, -1)
        found = network(each)[-1].mean(1).view(padded.shape)
    inside: Tensor = found[..., :height, :width].clamp(0, 1)
    return inside

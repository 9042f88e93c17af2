"""LPIPS, by weights that must be there."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.files import sha256_of
from ..core.parameters import validated
from ..numerics.registration import Aligned, Floats
from .search import AlignedMetric, Border, MaxShift, Step

__all__ = ["LPIPS"]

Network: TypeAlias = Literal["alex", "vgg", "squeeze"]

BACKBONES: dict[str, tuple[str, str]] = {
    "alex": ("alexnet", "AlexNet_Weights"),
    "vgg": ("vgg16", "VGG16_Weights"),
    "squeeze": ("squeezenet1_1", "SqueezeNet1_1_Weights"),
}
"""Of each network, torchvision's names of the model and of its weights."""

LEAST_SIDE = 64  # pixels: below about that, the deepest layers of these networks have nothing to look at


class LPIPS(AlignedMetric):
    """Learned perceptual distance (LPIPS) at the shift of least squared error (Zhang, Isola et al., CVPR 2018).

    0 where the two are equal. deepinv's, in full-range colour; grey images are shown to the network as red, green and
    blue alike. The network's weights are torchvision's for ImageNet, and are never downloaded from here: what lacks is
    said when the metric is built.

    Args:
        network: "alex" (what is mostly published), "vgg" or "squeeze".
        border: see `AlignedMetric`.
        max_shift: see `AlignedMetric`; 0 compares pixel against pixel.
        step: see `AlignedMetric`.

    Raises:
        InputError: the weights are not there, or not whole; says where they belong and how to get them.
    """

    unit = ""
    better = "lower"

    @validated
    def __init__(
        self,
        *,
        network: Annotated[Network, Field(description="the network whose features are compared")] = "alex",
        border: Border = 15,
        max_shift: MaxShift = 5.0,
        step: Step = 0.25,
    ) -> None:
        super().__init__(border=border, max_shift=max_shift, step=step)
        self.network: Network = network
        check_weights(network)

    def score(self, crops: Aligned) -> float:
        """LPIPS of two crops (C, h, w), at least 64 pixels wide and high; else raises `InputError`."""
        if min(crops.truth.shape[1:]) < LEAST_SIDE:
            raise InputError(
                f"LPIPS compares at least {LEAST_SIDE} x {LEAST_SIDE} pixels, but {crops.truth.shape[1:]} are left; "
                "give larger images or a smaller border"
            )
        with torch.no_grad():
            return float(loaded(self.network)(as_colour(crops.estimate), as_colour(crops.truth)))


def as_colour(image: Floats) -> Tensor:
    """An image (C, h, w) as a tensor (1, 3, h, w) in [0, 1]."""
    tensor = torch.from_numpy(image).to(torch.float32).clamp(0, 1)
    return tensor.expand(3, -1, -1)[None]


def weights_of(network: Network) -> Path:
    """Where torch keeps the weights of a network; loads nothing."""
    weights = getattr(import_module("torchvision.models"), BACKBONES[network][1]).DEFAULT
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def check_weights(network: Network) -> None:
    """Raises `InputError` where the weights of a network are not there or not whole."""
    path = weights_of(network)
    model = BACKBONES[network][0]
    remedy = (
        f"get them once by: python -c \"from torchvision.models import {model}; {model}(weights='DEFAULT')\" "
        "(TORCH_HOME says where they are kept), or leave lpips out of the metrics"
    )
    if not path.is_file():
        raise InputError(f"LPIPS needs the weights {path}, which are not there; {remedy}")
    if not digest(path, path.stat().st_mtime_ns).startswith(path.stem.rpartition("-")[2]):  # as torchvision names them
        raise InputError(f"the weights {path} are not whole or not torchvision's; delete them, then {remedy}")


@lru_cache(maxsize=3)
def digest(path: Path, modified: int) -> str:
    """The SHA-256 of a file last modified at a time, in hexadecimal digits; read once a process."""
    return sha256_of(path)


@lru_cache(maxsize=1)
def loaded(network: Network) -> Any:
    """LPIPS of deepinv with its network; the random numbers it starts from are nobody else's."""
    from deepinv.loss import metric

    check_weights(network)  # they may be gone, or this be another machine
    with torch.random.fork_rng(devices=[]):
        return metric.LPIPS(net_type=network, device="cpu")

"""LPIPS. The weights of its network must be present; they are never downloaded here."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.files import sha256_of
from ..core.parameters import NonNegative, NonNegativeInt, Positive, validated
from ..core.runtime.weights import weights_only
from ..numerics.registration import Aligned
from ..numerics.similarity import Floats
from .aligned import AlignedMetric

__all__ = ["LPIPS"]

Network: TypeAlias = Literal["alex", "vgg", "squeeze"]

BACKBONES: dict[str, tuple[str, str]] = {
    "alex": ("alexnet", "AlexNet_Weights"),
    "vgg": ("vgg16", "VGG16_Weights"),
    "squeeze": ("squeezenet1_1", "SqueezeNet1_1_Weights"),
}
"""For each network, torchvision's names of the model and of its weights."""

MIN_LPIPS_SIDE = 64  # pixels: below this size, little or nothing reaches the deepest layers of the networks


class LPIPS(AlignedMetric):
    """Learned perceptual distance (LPIPS) at the shift of least squared error (Zhang, Isola et al., CVPR 2018).

    It is 0 if the images are equal. deepinv computes it, in full-range colour; a grey image is repeated as red, green
    and blue. The network has torchvision's weights for ImageNet. They are never downloaded here.

    Args:
        network: network whose features are compared: "alex" (used by most publications), "vgg" or "squeeze".

    The other arguments are those of `AlignedMetric`.

    Raises:
        InputError: the weights are missing or incomplete; the message says where they belong and how to get them.
    """

    unit = ""
    better = "lower"

    @validated
    def __init__(
        self,
        *,
        network: Network = "alex",
        border: NonNegativeInt = 15,
        max_shift: NonNegative = 5.0,
        step: Positive = 0.25,
    ) -> None:
        super().__init__(border=border, max_shift=max_shift, step=step)
        self.network: Network = network
        check_network_weights(network)

    def score(self, crops: Aligned) -> float:
        """LPIPS of two crops (C, h, w); raises `InputError` if a side has less than 64 pixels."""
        size = crops.truth.shape[1:]
        if min(size) < MIN_LPIPS_SIDE:
            raise InputError(
                f"LPIPS needs crops of at least {MIN_LPIPS_SIDE} x {MIN_LPIPS_SIDE} pixels, but these have {size}; "
                "give larger images or a smaller border"
            )
        with torch.no_grad():
            return float(load_lpips(self.network)(as_colour(crops.estimate), as_colour(crops.truth)))


def as_colour(image: Floats) -> Tensor:
    """An image (C, h, w) as a tensor (1, 3, h, w) in [0, 1]."""
    tensor = torch.from_numpy(image).to(torch.float32).clamp(0, 1)
    return tensor.expand(3, -1, -1)[None]


def weights_path(network: Network) -> Path:
    """The file in which torch keeps the weights of a network; nothing is loaded."""
    weights = getattr(import_module("torchvision.models"), BACKBONES[network][1]).DEFAULT
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def check_network_weights(network: Network) -> None:
    """Raises `InputError` if the weights of a network are missing or incomplete."""
    path = weights_path(network)
    model = BACKBONES[network][0]
    remedy = (
        f"get them once by: python -c \"from torchvision.models import {model}; {model}(weights='DEFAULT')\" "
        "(TORCH_HOME names their folder), or remove lpips from the metrics"
    )
    if not path.is_file():
        raise InputError(f"LPIPS needs the weights {path}, which do not exist; {remedy}")
    expected = path.stem.rpartition("-")[2]  # torchvision names the file after its digest
    if not weights_digest(path, path.stat().st_mtime_ns).startswith(expected):
        raise InputError(f"the weights {path} are incomplete or not torchvision's; delete them, then {remedy}")


@lru_cache(maxsize=3)
def weights_digest(path: Path, modified: int) -> str:
    """The SHA-256 of a file that was last modified at a certain time; computed once in a process."""
    return sha256_of(path)


@lru_cache(maxsize=1)
def load_lpips(network: Network) -> Any:
    """Deepinv's LPIPS with a network; the global random state stays as it is."""
    from deepinv.loss import metric

    check_network_weights(network)  # after pickling, the weights may be missing on another machine
    with torch.random.fork_rng(devices=[]), weights_only():
        return metric.LPIPS(net_type=network, device="cpu")

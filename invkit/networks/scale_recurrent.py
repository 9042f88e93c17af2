"""The scale-recurrent network, and its settings."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["ScaleRecurrentNetwork", "ScaleRecurrentSettings", "read_network", "save_network"]

SIDE = 5  # pixels of every convolution but the transposed ones and the recurrent one
FORGET_BIAS = 1.0  # added to the forget gate, so that an untrained cell keeps its memory

SETTINGS_ENTRY = "settings"  # the entry of a file of weights that holds the settings, as JSON

Grid = Literal["tensorflow", "centred"]
Memory = tuple[Tensor, Tensor]
"""Cell and output of the recurrent layer, each (B, channels, h, w)."""


class ScaleRecurrentSettings(BaseModel):
    """Settings of a scale-recurrent network; the defaults are those of the paper.

    Args:
        image_channels: of the picture: 3 for colour, 1 for grey.
        channels: features at the full, the half and the quarter size of each scale.
        blocks: residual blocks at each of these sizes, in the encoder and in the decoder.
        scales: how many sizes of the picture are restored, each half as large as the next.
        recurrent: whether a convolutional LSTM carries features from scale to scale.
        grid: how strided convolutions and resizing are aligned. "tensorflow": as in TensorFlow 1, in which the authors
            trained: a strided convolution is padded less at the top and left of even sides, and resizing keeps the
            first pixel in place. "centred": both are symmetric.
        residual: whether the blurry picture is added to the output, so that the network learns the difference alone.
            The paper's network learns the picture; a short training gets farther with the difference.

    Example:
        >>> ScaleRecurrentSettings(channels=(8, 16, 32)).multiple
        16
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_channels: Literal[1, 3] = 3
    channels: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = (
        32,
        64,
        128,
    )
    blocks: NonNegativeInt = 3
    scales: Annotated[int, Field(gt=0, le=6)] = 3
    recurrent: bool = True
    grid: Grid = "tensorflow"
    residual: bool = False

    @property
    def multiple(self) -> int:
        """Sides of the input must be multiples of this number: each scale halves them, and each encoder twice."""
        return int(4 * 2 ** (self.scales - 1))


class ScaleRecurrentNetwork(nn.Module):
    """The scale-recurrent network of Tao, Gao, Shen, Wang, Jia, CVPR 2018: blurry pictures to sharp ones, kernel-free.

    The same encoder and decoder restore the picture at every scale, from the coarsest on. Its input is the blurry
    picture at that scale, and beside it the restoration of the scale before, enlarged; at the coarsest scale the blurry
    picture stands in for it. A recurrent layer between encoder and decoder carries features to the next scale.

    Layers are named as in the authors' code: ``enc1_1`` to ``enc3_4``, ``dec3_3`` to ``dec1_0``.

    Args:
        settings: of the network.
    """

    def __init__(self, settings: ScaleRecurrentSettings) -> None:
        super().__init__()
        self.settings = settings
        first, second, third = settings.channels
        self.layers = nn.ModuleDict()
        inputs = 2 * settings.image_channels
        for stage, channels in enumerate(settings.channels, 1):
            self.layers[f"enc{stage}_1"] = nn.Conv2d(inputs, channels, SIDE, stride=1 if stage == 1 else 2)
            for block in range(settings.blocks):
                self.layers[f"enc{stage}_{block + 2}"] = ResidualBlock(channels)
            inputs = channels
        if settings.recurrent:
            self.layers["convLSTM"] = nn.Conv2d(2 * third, 4 * third, 3, padding=1)
        for stage, channels in ((3, third), (2, second), (1, first)):
            if stage < 3:
                last = f"dec{stage}_{settings.blocks + 1}"
                self.layers[last] = nn.ConvTranspose2d(settings.channels[stage], channels, 4, stride=2, padding=1)
            for block in range(settings.blocks, 0, -1):
                self.layers[f"dec{stage}_{block}"] = ResidualBlock(channels)
        self.layers["dec1_0"] = nn.Conv2d(first, settings.image_channels, SIDE, padding=SIDE // 2)

    def forward(self, blurry: Tensor) -> list[Tensor]:
        """Restore a picture.

        Args:
            blurry: (B, C, H, W) in [0, 1]; H and W are multiples of ``settings.multiple``.

        Returns:
            The restoration at each scale, from the coarsest to the full size.
        """
        sizes = [self.resized(blurry, 0.5**power) for power in range(self.settings.scales - 1, -1, -1)]
        restored, memory, found = sizes[0], None, []
        for index, picture in enumerate(sizes):
            if index > 0:
                restored = self.resized(restored, 2.0)
                memory = memory and (self.resized(memory[0], 2.0), self.resized(memory[1], 2.0))
            restored, memory = self.at_scale(picture, restored, memory)
            found.append(restored)
        return found

    def at_scale(self, picture: Tensor, guess: Tensor, memory: Memory | None) -> tuple[Tensor, Memory | None]:
        """Restore one scale.

        Args:
            picture: the blurry one, (B, C, h, w).
            guess: the restoration of the coarser scale, enlarged, of the same shape.
            memory: of the coarser scale, enlarged; None at the coarsest.

        Returns:
            The restoration (B, C, h, w) and the memory.
        """
        features, skipped = torch.cat([picture, guess], 1), []
        for stage in (1, 2, 3):
            features = F.relu(self.encoded(f"enc{stage}_1", features, stride=1 if stage == 1 else 2))
            for block in range(self.settings.blocks):
                features = self.layers[f"enc{stage}_{block + 2}"](features)
            skipped.append(features)
        if self.settings.recurrent:
            memory = self.remembered(features, memory)
            features = memory[1]
        for stage in (3, 2, 1):
            if stage < 3:
                features = F.relu(self.layers[f"dec{stage}_{self.settings.blocks + 1}"](features)) + skipped[stage - 1]
            for block in range(self.settings.blocks, 0, -1):
                features = self.layers[f"dec{stage}_{block}"](features)
        restored = self.layers["dec1_0"](features)
        return (restored + picture if self.settings.residual else restored), memory

    def encoded(self, name: str, features: Tensor, stride: int) -> Tensor:
        """A convolution of 5x5 whose output is ``stride`` times smaller; the border is padded with zeros."""
        before = (SIDE - stride) // 2 if self.settings.grid == "tensorflow" else SIDE // 2
        after = SIDE - stride - before if self.settings.grid == "tensorflow" else SIDE // 2
        padded: Tensor = self.layers[name](F.pad(features, (before, after, before, after)))
        return padded

    def remembered(self, features: Tensor, memory: Memory | None) -> Memory:
        """A step of the convolutional LSTM (Shi et al., NIPS 2015, without peepholes); zeros before the first one."""
        cell, output = memory or (torch.zeros_like(features), torch.zeros_like(features))
        gates = self.layers["convLSTM"](torch.cat([features, output], 1))
        enters, new, forgets, leaves = gates.chunk(4, 1)
        cell = cell * torch.sigmoid(forgets + FORGET_BIAS) + torch.sigmoid(enters) * torch.tanh(new)
        return cell, torch.tanh(cell) * torch.sigmoid(leaves)

    def resized(self, picture: Tensor, factor: float) -> Tensor:
        """A picture (B, C, h, w) at 2, 1, 1/2, 1/4, ... of its size, bilinear."""
        if factor == 1:
            return picture
        if self.settings.grid == "centred":
            return F.interpolate(picture, scale_factor=factor, mode="bilinear", align_corners=False)
        if factor < 1:
            step = round(1 / factor)
            return picture[..., ::step, ::step]
        return with_means_between(with_means_between(picture, 2), 3)


def with_means_between(picture: Tensor, dim: int) -> Tensor:
    """Twice as many rows or columns: each, and its mean with the next one; the last is repeated.

    Example:
        >>> with_means_between(torch.tensor([[[[0.0, 1.0]]]]), 3).tolist()
        [[[[0.0, 0.5, 1.0, 1.0]]]]
    """
    following = torch.cat([picture.narrow(dim, 1, picture.shape[dim] - 1), picture.narrow(dim, -1, 1)], dim)
    return torch.stack([picture, (picture + following) / 2], dim + 1).flatten(dim, dim + 1)


class ResidualBlock(nn.Module):
    """Two convolutions of 5x5 with a ReLU between them, and the input added: (B, C, h, w) -> the same shape.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, SIDE, padding=SIDE // 2)
        self.conv2 = nn.Conv2d(channels, channels, SIDE, padding=SIDE // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, h, w) to the same shape."""
        changed: Tensor = self.conv2(F.relu(self.conv1(features)))
        return features + changed


def save_network(network: ScaleRecurrentNetwork, file: Path) -> None:
    """Save settings and weights, in their precision, in an ``.npz`` file that `read_network` reads."""
    weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    arrays: dict[str, Any] = {SETTINGS_ENTRY: np.array(network.settings.model_dump_json()), **weights}
    np.savez_compressed(file, **arrays)


def read_network(file: Path | Traversable) -> ScaleRecurrentNetwork:
    """The network of a file of `save_network`, float32, without gradients; no code of the file is run.

    Args:
        file: a path, or a file of a package.

    Raises:
        ValueError: the file is no ``.npz`` file, or its arrays are not those of a network with its settings.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            raise ValueError("it is no .npz file")
        with np.load(opened, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    if SETTINGS_ENTRY not in found:
        raise ValueError(f"it has no entry '{SETTINGS_ENTRY}'")
    settings = str(found.pop(SETTINGS_ENTRY))
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in found.items()}
    try:
        network = ScaleRecurrentNetwork(ScaleRecurrentSettings.model_validate_json(settings))
        network.load_state_dict(weights)
    except (ValidationError, RuntimeError) as error:
        raise ValueError(f"its settings and weights do not fit together: {error}") from error
    return network.eval().requires_grad_(False)

"""SelfDeblur as one would first write it in PyTorch: what invkit's iteration is compared with.

The same mathematics as the recipe ``selfdeblur`` (Ren et al., CVPR 2020): the same layers, objective, perturbation and
optimiser, with nothing done for speed. Padding is a layer of its own, the blur is a direct convolution, tensors have
the default layout, and the C library's allocator is as the system sets it. It shares no code with the rest of invkit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PlainSelfDeblur"]


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """Reflection padding, then a convolution."""
    return nn.Sequential(nn.ReflectionPad2d(size // 2), nn.Conv2d(inputs, outputs, size, stride))


def block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution, batch norm and leaky ReLU."""
    return nn.Sequential(
        convolution(inputs, outputs, size, stride),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2),
    )


class Scale(nn.Module):
    """One scale of the encoder-decoder and all below it."""

    def __init__(self, inputs: int, channels: int, skip: int, below: nn.Module) -> None:
        super().__init__()
        self.skip = block(inputs, skip, 1)
        self.deeper = nn.Sequential(
            block(inputs, channels, 3, stride=2),
            block(channels, channels, 3),
            below,
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        self.join = nn.Sequential(
            nn.BatchNorm2d(skip + channels),
            block(skip + channels, channels, 3),
            block(channels, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (1, inputs, H, W) -> (1, channels, H, W)."""
        height, width = features.shape[2:]
        deeper = self.deeper(features)[:, :, :height, :width]
        joined: Tensor = self.join(torch.cat([self.skip(features), deeper], dim=1))
        return joined


def image_network(channels: int, skip: int = 16, scales: int = 5) -> nn.Sequential:
    """The skip network: (1, 8, H, W) -> (1, 1, H, W) in [0, 1]."""
    network: nn.Module = nn.Sequential()
    for scale in reversed(range(scales)):
        network = Scale(8 if scale == 0 else channels, channels, skip, network)
    return nn.Sequential(network, nn.Conv2d(channels, 1, 1), nn.Sigmoid())


def kernel_network(height: int, width: int) -> nn.Sequential:
    """The fully connected network: (1, 200) -> (1, height * width), summing to one."""
    return nn.Sequential(nn.Linear(200, 1000), nn.ReLU6(), nn.Linear(1000, height * width), nn.Softmax(dim=1))


def total_variation(image: Tensor) -> Tensor:
    """Isotropic, smoothed: the mean of the gradient's length."""
    across = F.pad(image, (0, 1, 0, 0), mode="replicate").diff(dim=3)
    down = F.pad(image, (0, 0, 0, 1), mode="replicate").diff(dim=2)
    return torch.sqrt(across**2 + down**2 + 1e-6).mean()


class PlainSelfDeblur:
    """Both networks in training on one grey image.

    Args:
        data: blurry image (1, 1, H, W) in [0, 1], on the device to work on.
        kernel_size: (h, w), odd.
        channels: of the image network.
        tv: weight of the total variation.
    """

    def __init__(self, data: Tensor, kernel_size: tuple[int, int], *, channels: int, tv: float) -> None:
        (height, width), device = kernel_size, data.device
        self.data, self.kernel_size, self.tv = data, kernel_size, tv
        self.image_net = image_network(channels).to(device)
        self.kernel_net = kernel_network(height, width).to(device)
        self.image_latent = torch.rand(1, 8, data.shape[2] + height - 1, data.shape[3] + width - 1, device=device)
        self.kernel_latent = torch.rand(1, 200, device=device)
        self.optimizer = torch.optim.Adam(
            [
                {"params": self.image_net.parameters(), "lr": 1e-2},
                {"params": self.kernel_net.parameters(), "lr": 1e-4},
            ]
        )

    def step(self) -> float:
        """One iteration; the loss."""
        self.optimizer.zero_grad()
        image = self.image_net(self.image_latent + 1e-3 * torch.randn_like(self.image_latent))
        kernel = self.kernel_net(self.kernel_latent).view(1, 1, *self.kernel_size)
        blurred = F.conv2d(image, kernel.flip(2, 3))
        loss = F.mse_loss(blurred, self.data) + self.tv * total_variation(image)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

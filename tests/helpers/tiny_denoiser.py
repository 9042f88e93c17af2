"""A tiny network that removes noise of any level from pictures of blocks, trained in seconds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 32  # of the pictures of the training


class TinyDenoiser(nn.Module):
    """Convolutions of a picture, at a quarter of its pixels, and its noise level."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(8, channels, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(),
            *(part for _ in range(3) for part in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())),
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, images: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, 1, H, W) of even sides, with noise of ``sigma``, a number or (B, 1, 1, 1)."""
        level = torch.as_tensor(sigma, dtype=images.dtype, device=images.device).expand_as(images)
        size = (1 + level.square()).sqrt()  # so that the network sees numbers of the order of one
        found: Tensor = images / size.square() + level / size * self.layers(torch.cat([images / size, level.log()], 1))
        return found


def block_pictures(count: int, generator: torch.Generator, side: int = SIDE) -> Tensor:
    """Pictures (count, 1, side, side) of blocks of 8 pixels, displaced, in [0.1, 0.9]."""
    coarse = 0.1 + 0.8 * torch.rand(count, 1, side // 8 + 1, side // 8 + 1, generator=generator)
    fine = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)
    down, right = (int(torch.randint(8, (), generator=generator)) for _ in range(2))
    return fine[..., down : down + side, right : right + side]


def trained(steps: int = 400, seed: int = 0) -> TinyDenoiser:
    """A denoiser after some steps of Adam on fresh pictures."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TinyDenoiser()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        sharp = block_pictures(16, generator)
        sigma = 10 ** (-2 + 2 * torch.rand(16, 1, 1, 1, generator=generator))
        noisy = sharp + sigma * torch.randn(sharp.shape, generator=generator)
        loss = ((network(noisy, sigma) - sharp).square() / (sigma.square() + 0.01)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()

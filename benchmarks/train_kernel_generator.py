"""Train the generator of the kernel prior ``generative``, and say how near it comes to kernels that it has not seen.

    python benchmarks/train_kernel_generator.py [--steps 20000] [--seed 0] [--output FILE]
    python benchmarks/train_kernel_generator.py --check [FILE]

A variational autoencoder (Kingma, Welling, ICLR 2014) of deepinv's random motion kernels: each batch is encoded,
decoded, and compared by cross-entropy. The decoder alone is kept, as float16; by default it goes into the package,
whose licence it has. Runs of the same seed give the same file on the same machine; the default takes about ten
minutes of one core with bfloat16 arithmetic.

The check fits latents to 100 kernels of another seed by Adam from several starts, and reports the mean kernel
similarity (greatest normalised cross-correlation) of the best; beside it that of the same network untrained, and of
the trained one without a fit. The prior ``simplex``, of free pixels, can give every kernel: 1.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invkit.kernel_priors import generative
from invkit.kernel_priors.generative import GENERATOR_SIDE, GENERATOR_STAGES, LATENT_SIZE, SEED_MAP, generated_logits
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.networks.random import seeded

OUTPUT = Path(generative.__file__).parent / generative.GENERATOR_WEIGHTS
LENGTHS = (0.15, 0.8)  # of the Gaussian process, in deepinv's unit of time: wriggling to nearly straight
SPREADS = (0.12, 0.45)  # its standard deviation, half the frame being one: small to as large as the frame
TIMES = 4000  # of a path; with fewer the pixels of a kernel are noisy
SAME = 10  # kernels drawn with one length and one spread
POOL = 24_000
BATCH = 64
RATE = 2e-3
DIVERGENCE = 1 / 400  # of the latents' divergence beside the cross-entropy: as if a kernel were 400 photons
REPORTED = 500  # steps between two lines
UNSEEN = 100
FIT_STEPS = 300
STARTS = 4

Weights = Mapping[str, Tensor]


def kernels(count: int, seed: int) -> Tensor:
    """Random motion kernels (count, 1, 33, 33), each summing to one."""
    from deepinv.physics.generator import MotionBlurGenerator

    rng = torch.Generator().manual_seed(seed)
    draw = MotionBlurGenerator((GENERATOR_SIDE, GENERATOR_SIDE), rng=rng, n_steps=TIMES)
    found = []
    for _ in range(math.ceil(count / SAME)):
        length, spread = (low + (high - low) * float(torch.rand((), generator=rng)) for low, high in (LENGTHS, SPREADS))
        found.append(draw.step(SAME, sigma=spread, l=length)["filter"])
    pool = torch.cat(found)[:count]
    return pool / pool.sum((1, 2, 3), keepdim=True)


def new_weights() -> dict[str, Tensor]:
    """An untrained generator, drawn from the global generator of random numbers."""
    layers: list[tuple[str, nn.Linear | nn.Conv2d]] = [
        ("linear", nn.Linear(LATENT_SIZE, SEED_MAP[0] * SEED_MAP[1] ** 2))
    ]
    channels = SEED_MAP[0]
    for stage, (_, outputs) in enumerate(GENERATOR_STAGES):
        layers.append((f"conv{stage}", nn.Conv2d(channels, outputs, 3)))
        channels = outputs
    tensors = {f"{name}_{part}": getattr(layer, part).detach() for name, layer in layers for part in ("weight", "bias")}
    return {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in tensors.items()
    }


def new_encoder() -> nn.Module:
    """Kernels (B, 1, 33, 33) -> mean and logarithm of the variance of their latents, (B, 64)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(64 * 5 * 5, 2 * LATENT_SIZE),
    )


def cross_entropy(logits: Tensor, kernel: Tensor) -> Tensor:
    """In nats, less the entropy of the kernel: the Kullback-Leibler divergence of the generator's from it."""
    exact = torch.special.xlogy(kernel, kernel) - kernel * F.log_softmax(logits.flatten(1), 1).view(kernel.shape)
    return torch.mean(exact.sum((1, 2, 3)))


def turned(batch: Tensor, rng: torch.Generator) -> Tensor:
    """A batch mirrored or turned, all alike, at random."""
    flips, transposed = torch.rand(2, generator=rng) < 0.5, bool(torch.rand((), generator=rng) < 0.5)
    batch = batch.flip([dim for dim, flip in zip((2, 3), flips, strict=True) if flip])
    return batch.mT.contiguous() if transposed else batch


def train(seed: int, steps: int) -> dict[str, Tensor]:
    """The weights after ``steps`` batches."""
    rng, began = torch.Generator().manual_seed(seed), time.process_time()
    pool = kernels(POOL, seed)
    with seeded(seed):
        weights, encoder = {name: value.requires_grad_() for name, value in new_weights().items()}, new_encoder()
    optimizer = torch.optim.Adam([*weights.values(), *encoder.parameters()], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.03)
    means = torch.zeros(2)
    for step in range(steps):
        kernel = turned(pool[torch.randint(POOL, (BATCH,), generator=rng)], rng)
        fit, divergence = losses(weights, encoder, kernel, rng)
        optimizer.zero_grad()
        (fit + DIVERGENCE * divergence).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        means += (torch.stack([fit, divergence]).detach() - means) / min(step + 1, REPORTED)
        if (step + 1) % REPORTED == 0:
            spent = time.process_time() - began
            print(f"{step + 1:6d} {spent:5.0f} s  fit {means[0]:.3f}  latent {means[1]:.1f} nats", flush=True)
    return {name: value.detach().contiguous() for name, value in weights.items()}


def losses(weights: Weights, encoder: nn.Module, kernel: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cross-entropy of what is decoded, and the divergence of the latents from the standard normal distribution."""
    seen = (kernel / kernel.amax((2, 3), keepdim=True)).sqrt()
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = encoder(seen.contiguous(memory_format=torch.channels_last)).float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-12, 4)
    latent = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
    with torch.autocast("cpu", torch.bfloat16):
        logits = generated_logits(weights, latent)
    return cross_entropy(logits.float(), kernel), divergence


def best_fits(weights: Weights, kernel: Tensor, seed: int) -> Tensor:
    """The kernels (N, 1, 33, 33) that the generator gives for the best of several fits of latents to each one."""
    count = len(kernel)
    start = torch.randn(STARTS, count, LATENT_SIZE, generator=torch.Generator().manual_seed(seed))
    start[0] = 0
    free = start.mul_(0.5).flatten(0, 1).requires_grad_()
    many = kernel.repeat(STARTS, 1, 1, 1)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(FIT_STEPS):
        optimizer.zero_grad()
        (cross_entropy(decoded_logits(weights, free), many) * len(many)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        logits = decoded_logits(weights, free)
        found = torch.softmax(logits.flatten(1), 1).view(STARTS, count, 1, GENERATOR_SIDE, GENERATOR_SIDE)
        losses = -(kernel * F.log_softmax(logits.flatten(1), 1).view(found.shape)).sum((2, 3, 4))
        return found[losses.argmin(0), torch.arange(count)]


def decoded_logits(weights: Weights, free: Tensor) -> Tensor:
    """What the prior gives for its unknowns, at the size that the generator was trained on."""
    farthest = generative.MAX_LATENT
    return generated_logits(weights, farthest * torch.tanh(free / farthest))


def similarities(estimates: Tensor, truths: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(
        [kernel_similarity(e, t) for e, t in zip(estimates[:, 0].numpy(), truths[:, 0].numpy(), strict=True)]
    )


def check(weights: Weights, seed: int) -> None:
    """Print the figures on kernels that training has not seen."""
    unseen = kernels(UNSEEN, seed + 1)
    with seeded(seed):
        untrained = new_weights()
        middle = torch.softmax(generated_logits(weights, torch.zeros(1, LATENT_SIZE)).flatten(1), 1).view(
            1, 1, GENERATOR_SIDE, GENERATOR_SIDE
        )
    ways: dict[str, Callable[[], Tensor]] = {
        "trained, best fit": lambda: best_fits(weights, unseen, seed),
        "untrained, best fit": lambda: best_fits(untrained, unseen, seed),
        "trained, latent zero": lambda: middle.expand(UNSEEN, -1, -1, -1),
    }
    print(f"kernel similarity to {UNSEEN} unseen kernels: mean, median, tenth percentile, least")
    for way, estimate in ways.items():
        found = similarities(estimate(), unseen)
        figures = found.mean(), np.median(found), np.percentile(found, 10), found.min()
        print(f"{way:22s}" + "".join(f"{figure:7.3f}" for figure in figures), flush=True)


def save(weights: Weights, file: Path) -> None:
    arrays: dict[str, Any] = {name: value.half().numpy() for name, value in weights.items()}
    np.savez_compressed(file, **arrays)
    print(f"{sum(w.numel() for w in weights.values())} weights, {file.stat().st_size / 1e3:.0f} kB: {file}")


def read(file: Path) -> dict[str, Tensor]:
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train or check the generator of motion kernels.")
    parser.add_argument("--seed", type=int, default=0, help="of every random number")
    parser.add_argument("--steps", type=int, default=20_000, help="batches of training")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file of weights (.npz)")
    parser.add_argument(
        "--check", type=Path, nargs="?", const=OUTPUT, help="print the figures of a file, train nothing"
    )
    given = parser.parse_args()
    if given.check is None:
        save(train(given.seed, given.steps), given.output)
    check(read(given.check or given.output), given.seed)


if __name__ == "__main__":
    main()

"""Train a scale-recurrent network on blurred photographs, and say how many dB it gains on pictures it has not seen.

    python benchmarks/train_scale_recurrent.py [--steps 1000] [--preset small|paper] [--output FILE]
    python benchmarks/train_scale_recurrent.py --check [FILE]

Pairs are made as they are needed: a crop of a photograph is blurred by a random camera shake of up to ``--max-kernel``
pixels, and noise is added. Photographs are those of the calibration set's split ``choose``; every fifth is kept out.
The check blurs these by the kernels of the training, and by as many of another seed. The small preset has one kernel: a
training of minutes learns to remove this blur, but not to tell several blurs apart (with eight kernels and 3000 steps
it gains 0.2 dB). The loss is the paper's: the sum over scales of the mean squared error (Tao, Gao, Shen, Wang, Jia,
CVPR 2018), minimised by Adam with a rate that falls to zero with the power 0.3. ``--preset paper`` has the paper's
network and crops of 256 pixels; it is for a GPU.

Runs of the same seed give the same weights on the same machine. Figures go to ``--results``, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.signal import fftconvolve
from torch import Tensor

import invkit
from invkit.networks.random import seeded
from invkit.networks.scale_recurrent import ScaleRecurrentNetwork, ScaleRecurrentSettings, read_network, save_network
from invkit.solvers import scale_recurrent
from invkit.solvers.scale_recurrent import SMALL_NETWORK, restored_by

sys.path.insert(0, str(Path(__file__).parent / "calibration"))
from blur_kernels import centred, shake
from photographs import Photograph, table

OUTPUT = Path(scale_recurrent.__file__).parent / SMALL_NETWORK
RESULTS = Path(__file__).parent / "results" / "scale_recurrent.json"
PHOTOGRAPHS = Path("benchmarked/photographs")
KEPT_OUT = 5  # one of so many photographs is not used for training
MIN_KERNEL = 3  # pixels
NOISE = (0.0, 0.01)  # standard deviation
DECAY_POWER = 0.3
CHECKED_SIDE = 256  # pixels of the pictures that the check restores
REPORTED = 250  # steps between two lines

Floats = npt.NDArray[np.float32]
Lines = list[dict[str, float]]


@dataclass(frozen=True)
class Preset:
    """A network and the size of its training; ``kernels`` is the number of different ones."""

    settings: ScaleRecurrentSettings
    crop: int
    batch: int
    steps: int
    rate: float
    kernels: int


SMALL = ScaleRecurrentSettings(channels=(16, 32, 64), blocks=1, recurrent=False, grid="centred", residual=True)
PRESETS = {
    "small": Preset(SMALL, crop=96, batch=4, steps=1000, rate=1e-3, kernels=1),
    "paper": Preset(ScaleRecurrentSettings(), crop=256, batch=16, steps=500_000, rate=1e-4, kernels=10_000),
}


def photographs(folder: Path) -> tuple[list[Floats], list[Floats]]:
    """Pictures (H, W, 3) to train on, and those that are kept out."""
    chosen = [one for one in table() if one.split == "choose"]
    read = [pixels(one, folder) for one in chosen]
    return [p for i, p in enumerate(read) if i % KEPT_OUT], read[::KEPT_OUT]


def pixels(photograph: Photograph, folder: Path) -> Floats:
    return photograph.read(folder).astype(np.float32)


def kernels(count: int, largest: int, seed: int) -> list[Floats]:
    """Random camera shakes about their centres of mass, each summing to one."""
    rng = np.random.default_rng(seed)
    return [centred(shake(rng, int(rng.integers(MIN_KERNEL, largest + 1)))).astype(np.float32) for _ in range(count)]


def pair(picture: Floats, kernel: Floats, side: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A blurry crop and the sharp one, each (3, side, side)."""
    (h, w), (height, width) = kernel.shape, picture.shape[:2]
    top, left = int(rng.integers(0, height - side - h + 2)), int(rng.integers(0, width - side - w + 2))
    piece = picture[top : top + side + h - 1, left : left + side + w - 1].transpose(2, 0, 1)
    if rng.random() < 0.5:
        piece = piece[..., ::-1]
    blurred = fftconvolve(piece, kernel[None], mode="valid", axes=(1, 2))
    row, column = h - 1 - (h - 1) // 2, w - 1 - (w - 1) // 2
    sharp = piece[:, row : row + side, column : column + side]
    noisy = blurred + rng.uniform(*NOISE) * rng.standard_normal(blurred.shape)
    return noisy.clip(0, 1).astype(np.float32), sharp.astype(np.float32)


def batch(
    pictures: Sequence[Floats], pool: Sequence[Floats], preset: Preset, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blurry and sharp crops, each (B, C, side, side)."""
    found = [
        pair(pictures[int(rng.integers(len(pictures)))], pool[int(rng.integers(len(pool)))], preset.crop, rng)
        for _ in range(preset.batch)
    ]
    blurry, sharp = (torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True))
    return blurry, sharp


def loss_of(network: ScaleRecurrentNetwork, blurry: Tensor, sharp: Tensor) -> Tensor:
    """The sum over scales of the mean squared error."""
    total = blurry.new_zeros(())
    for restored in network(blurry):
        truth = network.resized(sharp, restored.shape[-1] / sharp.shape[-1])
        total = total + F.mse_loss(restored, truth)
    return total


def train(
    preset: Preset, pictures: Sequence[Floats], steps: int, largest: int, seed: int
) -> tuple[ScaleRecurrentNetwork, Lines]:
    """The network after training, and the loss on the way.

    Args:
        preset: network and training.
        pictures: to train on, (H, W, 3).
        steps: batches.
        largest: side of the largest kernels, pixels.
        seed: of every random number.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool, rng = kernels(preset.kernels, largest, seed), np.random.default_rng(seed)
    with seeded(seed):
        network = ScaleRecurrentNetwork(preset.settings).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=preset.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(1 - step / steps, 0) ** DECAY_POWER)
    began, mean = time.process_time(), 0.0
    lines: Lines = []
    for step in range(steps):
        blurry, sharp = (part.to(device) for part in batch(pictures, pool, preset, rng))
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(network, blurry, sharp)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        mean += (float(loss.detach()) - mean) / min(step + 1, REPORTED)
        if (step + 1) % REPORTED == 0:
            lines.append({"step": step + 1, "loss": round(mean, 5), "core_seconds": round(time.process_time() - began)})
            print(f"{step + 1:7d}  loss {mean:.5f}  {time.process_time() - began:6.0f} core-s", flush=True)
    return network.cpu(), lines


def psnr(picture: Tensor, sharp: Tensor) -> float:
    return float(-10 * torch.log10((picture - sharp).square().mean()))


def check(
    network: ScaleRecurrentNetwork, pictures: Sequence[Floats], pool: Sequence[Floats], seed: int
) -> dict[str, float]:
    """Mean PSNR of pictures after a blur, and restored.

    Args:
        network: to check.
        pictures: that were kept out of the training, (H, W, 3).
        pool: kernels; each picture has one of them.
        seed: of crops and noise.
    """
    rng = np.random.default_rng(seed + 1)
    before, after = [], []
    for number, picture in enumerate(pictures):
        kernel = pool[number % len(pool)]
        side = min(CHECKED_SIDE, *(extent - max(kernel.shape) for extent in picture.shape[:2]))
        blurry, sharp = (torch.from_numpy(part.copy())[None] for part in pair(picture, kernel, side, rng))
        with torch.no_grad():
            restored = restored_by(network, blurry)
        before.append(psnr(blurry, sharp))
        after.append(psnr(restored, sharp))
    gains = np.subtract(after, before)
    return {
        "pictures": len(pictures),
        "blurry": round(float(np.mean(before)), 2),
        "restored": round(float(np.mean(after)), 2),
        "least_gain": round(float(gains.min()), 2),
    }


def main() -> None:
    """Train and check, or check only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, help="where they are, or are downloaded to")
    parser.add_argument("--preset", choices=PRESETS, default="small", help="network and size of the training")
    parser.add_argument("--steps", type=int, help="batches; those of the preset by default")
    parser.add_argument("--max-kernel", type=int, default=9, help="pixels")
    parser.add_argument("--seed", type=int, default=0, help="of every random number")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file of weights (.npz)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file of figures (.json)")
    parser.add_argument("--check", type=Path, nargs="?", const=OUTPUT, help="only check a file of weights")
    given = parser.parse_args()
    preset = PRESETS[given.preset]
    to_train_on, kept_out = photographs(given.photographs)
    lines: Lines = []
    if given.check is None:
        steps = given.steps or preset.steps
        network, lines = train(preset, to_train_on, steps, given.max_kernel, given.seed)
        save_network(network.half() if given.preset == "small" else network, given.output)
    network = read_network(given.check or given.output)
    pools = {"kernels of the training": given.seed, "other kernels": given.seed + 1}
    found = {
        name: check(network, kept_out, kernels(preset.kernels, given.max_kernel, seed), given.seed)
        for name, seed in pools.items()
    }
    for name, figures in found.items():
        print(f"{name:25s}" + "  ".join(f"{figure} {value}" for figure, value in figures.items()))
    if given.check is None:
        facts = {"command": f"python {' '.join(sys.argv)}", "version": invkit.__version__, "torch": torch.__version__}
        text = json.dumps({**facts, "held_out_photographs": found, "training": lines}, indent=1)
        given.results.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

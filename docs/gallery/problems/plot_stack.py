"""
A stack of planes
=================

A microscope records planes at several depths, and light of each plane blurs into the others. The
point-spread function has three dimensions. The counts of photons are restored by Richardson-Lucy;
nothing is assumed beyond the border of the stack.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import invkit
from invkit.media.layouts import projections
from invkit.operators import StackConvolution

# %%
# Rods in the dark, and a kernel that is three times as long in depth as in the plane.

draw = np.random.default_rng(0)
truth = np.zeros((24, 48, 48))
for plane, row, column in draw.integers((4, 6, 6), (20, 30, 42), (12, 3)):
    truth[plane : plane + 2, row : row + 10, column : column + 2] = draw.uniform(200, 800)

depth, side = np.arange(-6.0, 7.0), np.arange(-4.0, 5.0)
kernel = np.exp(-((depth / 3.6) ** 2))[:, None, None] * np.exp(-((side / 1.2) ** 2))[:, None]
kernel = kernel * np.exp(-((side / 1.2) ** 2))
kernel /= kernel.sum()

# %%
# The image is larger than the data by the kernel's size minus one. Here it is dark there.

margins = [(taps // 2, taps // 2) for taps in kernel.shape]
scene = torch.as_tensor(np.pad(truth, margins))[None]
clean = StackConvolution()(scene, torch.as_tensor(kernel)[None])[0].numpy()
counts = draw.poisson(clean.clip(0))

result = invkit.deconvolve(counts, kernel, recipe="stack-richardson-lucy", progress=False)
print(result.details["notices"])

# %%
# The largest values along each axis: along z at the upper left, along x beside it, along y below.

figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for axis, (title, stack) in zip(
    axes, {"counts": counts, "restored": result.image, "truth": truth}.items(), strict=True
):
    picture = projections(np.asarray(stack, dtype=float))
    axis.imshow(picture, cmap="gray", vmax=np.quantile(picture, 0.995))
    error = np.sqrt(np.mean((np.asarray(stack) - truth) ** 2))
    axis.set(title=f"{title}, RMS error {error:.0f}", xticks=[], yticks=[])

plt.show()

# %%
# Files work too: ``invkit deconvolve stack.tif --kernel psf.tif``.

"""
Parallel MRI, blind and not
===========================

Eight receive coils, each of which sees its own side best, measure a quarter of k-space. With the
coils' maps known this is SENSE; unknown, the maps are found with the image, from the few columns in
the middle of k-space that are complete.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.core.operator_parameters import CoilMapPrior
from invkit.metrics import psnr
from invkit.operators import MultiCoilMRI

truth = transform.resize(data.shepp_logan_phantom(), (96, 96), anti_aliasing=True)

# %%
# Made-up coils around the picture, their phases turning slowly. Maps are scaled so that in each
# pixel their squares sum to one; real parts come first, then imaginary ones.

down, right = np.mgrid[-1:1:96j, -1:1:96j]
angles = np.arange(8)[:, None, None] * np.pi / 4
distance = (down - 1.2 * np.sin(angles)) ** 2 + (right - 1.2 * np.cos(angles)) ** 2
complex_maps = np.exp(
    -distance / 1.6 + 1j * (np.cos(angles) * right + np.sin(angles) * down + angles)
)
maps = CoilMapPrior.allowed(
    torch.as_tensor(np.concatenate([complex_maps.real, complex_maps.imag]))[None]
)

operator = MultiCoilMRI(acceleration=4)
noise = 0.01 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))
k_space = operator(torch.as_tensor(truth)[None, None], maps) + noise * operator.columns(96, noise)

# %%
# What is unknown of the operator comes back as ``kernel``.

sense = invkit.restore(k_space[0].numpy(), "sense", kernel=maps.numpy(), progress=False)
blind = invkit.restore(k_space[0].numpy(), "blind-mri", progress=False)

pictures = {
    "zero-filled": blind.blurry,
    "maps known": sense.image,
    "maps found": blind.image,
    "truth": truth,
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

# %%
# How strongly each coil sees, true above and found below. Beyond the head there is nothing that
# would tell.

figure, rows = plt.subplots(2, 8, figsize=(13, 3.4), layout="constrained")
for row, values in zip(rows, (maps[0].numpy(), blind.kernel), strict=True):
    strength = np.hypot(*np.split(values, 2))
    for axis, one in zip(row, strength, strict=True):
        axis.imshow(one, vmin=0, vmax=strength.max())
        axis.set(xticks=[], yticks=[])
rows[0, 0].set_ylabel("true")
rows[1, 0].set_ylabel("found")

plt.show()

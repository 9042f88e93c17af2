"""
Parallel MRI, blind and non-blind
=================================

Eight receive coils, each with its own sensitivity map, measure a quarter of k-space. With known
coil maps, this problem is SENSE. If the maps are unknown, they are estimated together with the
image, from the few columns in the middle of k-space that are complete.
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
# Synthetic coils around the image, with slowly varying phases. The maps are scaled so that their
# squares sum to one in each pixel. Real parts come first, then imaginary parts.

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
# The estimated parameter of the operator is ``kernel`` of the result.

sense = invkit.restore(k_space[0].numpy(), "sense", kernel=maps.numpy(), progress=False)
blind = invkit.restore(k_space[0].numpy(), "blind-mri", progress=False)

pictures = {
    "zero-filled": blind.blurry,
    "maps known": sense.image,
    "maps estimated": blind.image,
    "truth": truth,
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

# %%
# The sensitivity of each coil: true maps in the first row, estimates in the second. Outside the
# head, the data contain no information about the maps.

figure, rows = plt.subplots(2, 8, figsize=(13, 3.4), layout="constrained")
for row, values in zip(rows, (maps[0].numpy(), blind.kernel), strict=True):
    strength = np.hypot(*np.split(values, 2))
    for axis, one in zip(row, strength, strict=True):
        axis.imshow(one, vmin=0, vmax=strength.max())
        axis.set(xticks=[], yticks=[])
rows[0, 0].set_ylabel("true")
rows[1, 0].set_ylabel("estimated")

plt.show()

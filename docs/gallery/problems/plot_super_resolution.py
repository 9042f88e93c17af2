"""
Super-resolution, blind and non-blind
=====================================

The data have half as many pixels along each side, and noise. The blur before the sampling is known
in one recipe. The other recipe estimates the kernel together with the image.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.datasets.synthetic import random_kernel
from invkit.metrics import aligned_psnr
from invkit.operators import Downsampling

truth = transform.rescale(data.coins()[:300, 20:320] / 255, 0.5, anti_aliasing=True)
true_kernel = random_kernel("gaussian", 12, [3])

# %%
# The operator itself makes the data. Operators take tensors (batch, channels, height, width).

image, kernel = (torch.as_tensor(array)[None, None] for array in (truth, true_kernel))
small = (
    np.random.default_rng(0).normal(Downsampling(factor=2)(image, kernel)[0, 0], 0.005).clip(0, 1)
)

known = invkit.restore(small, "super-resolution", kernel=true_kernel, progress=False)
blind = invkit.restore(small, "blind-super-resolution", kernel_size=12, progress=False)

# %%
# ``blurry`` of a result is the image before the solve, here a bicubic interpolation. The insets
# show the kernels, true or estimated.

pictures = {
    "bicubic": (blind.blurry, None),
    "kernel known": (known.image, true_kernel),
    "kernel estimated": (blind.image, blind.kernel),
    "truth": (truth, None),
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {aligned_psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])
    if kernel is not None:
        inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])

plt.show()

# %%
# Try a kernel of a known shape, ``overrides=["kernel_prior=gaussian"]``, or another factor, which
# is set in the recipe and in its next stage: ``operator.factor=3``, ``next.operator.factor=3``.

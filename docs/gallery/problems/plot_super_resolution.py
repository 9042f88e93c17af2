"""
Super-resolution, blind and not
===============================

A picture of half as many pixels along each side, and noise. How the large image was blurred before
it was sampled is known in one recipe and unknown in the other, which finds the kernel with the
image.
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
# The data come from the operator itself; operators take tensors, (batch, channels, height, width).

image, kernel = (torch.as_tensor(array)[None, None] for array in (truth, true_kernel))
small = (
    np.random.default_rng(0).normal(Downsampling(factor=2)(image, kernel)[0, 0], 0.005).clip(0, 1)
)

known = invkit.restore(small, "super-resolution", kernel=true_kernel, progress=False)
blind = invkit.restore(small, "blind-super-resolution", kernel_size=12, progress=False)

# %%
# ``blurry`` of a result is what there was to see before; here it is bicubic interpolation. Kernels
# top left, the true one where it is known.

pictures = {
    "bicubic": (blind.blurry, None),
    "kernel known": (known.image, true_kernel),
    "kernel found": (blind.image, blind.kernel),
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
# To try next: a kernel of a known shape, ``overrides=["kernel_prior=gaussian"]``, or another
# factor, which is set in the recipe and in the one that it goes on with:
# ``operator.params.factor=3``, ``next.operator.params.factor=3``.

"""
A batch of images
=================

Several photographs of one size are restored together, each with its own kernel. The input is a list
or a tensor. The result contains a stack of images, channels first, and a stack of kernels.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr

truths = [
    picture[:200, 80:280] / 255
    for picture in (data.astronaut(), data.chelsea(), data.coffee()[90:, 120:])
]
true_kernels = [random_kernel("motion", 21, [seed]) for seed in (8, 4, 10)]
noise = np.random.default_rng(0)
blurry = [
    noise.normal(blur_image(truth, kernel), 0.005).clip(0, 1)
    for truth, kernel in zip(truths, true_kernels, strict=True)
]

# %%
# Recipes with a selection, as ``fast`` and ``best``, restore one photograph at a time.
# ``fast-map`` and most other recipes restore any number.

result = invkit.deblur(blurry, recipe="fast-map", kernel_size=21, progress=False)
print(result.image.shape, result.kernel.shape)

# %%
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
rows = {
    "blurry": (blurry, true_kernels),
    "restored": (np.moveaxis(result.image, 1, -1), result.kernel),
}
for row, (name, (pictures, kernels)) in zip(axes, rows.items(), strict=True):
    for axis, picture, kernel, truth in zip(row, pictures, kernels, truths, strict=True):
        quality = aligned_psnr(picture.mean(axis=-1), truth.mean(axis=-1))
        axis.imshow(picture)
        axis.set(title=f"{name}, {quality:.1f} dB", xticks=[], yticks=[])
        inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])

plt.show()

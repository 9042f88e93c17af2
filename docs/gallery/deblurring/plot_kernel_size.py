"""
Unknown kernel size
===================

The size of the blur is usually unknown. The option ``kernel_size`` is the side of the square that
has to contain the kernel. A square that is too small cannot contain it. A square that is too large
costs time and little else. The default ``"auto"`` is an eighth of the image's shorter side.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr

truth = color.rgb2gray(data.coffee())[100:330, 130:360]
true_kernel = random_kernel("motion", 31, [10])
blurry = np.random.default_rng(0).normal(blur_image(truth, true_kernel), 0.005).clip(0, 1)

# %%
# The true kernel is about 15 pixels wide, in a square of 31.

sizes = [7, 15, 45, "auto"]
results = {
    size: invkit.deblur(blurry, recipe="fast-map", kernel_size=size, progress=False)
    for size in sizes
}

# %%
# Each inset shows a kernel in its square.

pictures = {"truth": (truth[15:-15, 15:-15], true_kernel), "blurry": (blurry, true_kernel)}
pictures |= {f"size {size}": (result.image, result.kernel) for size, result in results.items()}
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if title == "truth" else f", {aligned_psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])
    inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
    inset.imshow(kernel, cmap="gray")
    inset.set(xticks=[], yticks=[])

plt.show()

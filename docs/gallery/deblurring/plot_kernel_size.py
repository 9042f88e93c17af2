"""
Unknown kernel size
===================

How large the blur is, nobody knows either. The size that is given is that of the square in which
the kernel is looked for: one that is too small cannot hold it, one that is too large costs time and
little else. ``"auto"``, the default, takes an eighth of the picture's shorter side.
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
# The true kernel takes about 15 pixels of its 31.

sizes = [7, 15, 45, "auto"]
results = {
    size: invkit.deblur(blurry, recipe="fast-map", kernel_size=size, progress=False)
    for size in sizes
}

# %%
# Each inset is a kernel, in the square it was looked for in.

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

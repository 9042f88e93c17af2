"""
Colour
======

The kernel of a colour photograph is estimated from its luma. With this kernel, either the luma is
restored and the blurry chroma is kept, or all three channels are restored.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr

truth = data.astronaut()[120:340, 40:260] / 255
true_kernel = random_kernel("motion", 21, [4])
blurry = np.random.default_rng(0).normal(blur_image(truth, true_kernel), 0.005).clip(0, 1)

results = {
    color: invkit.deblur(blurry, recipe="fast-map", kernel_size=21, color=color, progress=False)
    for color in ("luma", "rgb")
}

# %%
# The PSNR is that of all three channels. A sharp luma with a blurry chroma looks sharp, except
# where two colours of the same brightness meet.


def psnr(picture):
    return aligned_psnr(np.moveaxis(picture, -1, 0), np.moveaxis(truth, -1, 0))


pictures = {"truth": (truth[10:-10, 10:-10], true_kernel), "blurry": (blurry, true_kernel)}
pictures |= {name: (result.image, result.kernel) for name, result in results.items()}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if title == "truth" else f", {psnr(picture):.1f} dB"
    axis.imshow(picture)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])
    inset = axis.inset_axes([0, 0.78, 0.22, 0.22])
    inset.imshow(kernel, cmap="gray")
    inset.set(xticks=[], yticks=[])

plt.show()

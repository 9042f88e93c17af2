"""
Colour
======

The kernel of a colour photograph is found from its luma. What then is restored is a choice: the
luma alone, while the chroma stays as blurry as it was, or all three channels with the one kernel.
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
# The figures are over all three channels. To the eye, sharp luma over blurry chroma passes for a
# sharp picture, but where two colours of one brightness meet.


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

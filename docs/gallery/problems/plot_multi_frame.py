"""
Several frames of one scene
===========================

A burst contains three frames of one scene, each with a different camera shake. One image and three
kernels are unknown. Details that are lost in one frame may be visible in another. All frames
together therefore give a better image than the best single frame.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

import invkit
from invkit.datasets.synthetic import random_kernel
from invkit.metrics import aligned_psnr
from invkit.operators import Frames

truth = data.camera()[70:250, 130:310] / 255
true_kernels = np.stack([random_kernel("motion", 17, [seed]) for seed in (4, 5, 8)])
clean = Frames()(torch.as_tensor(truth)[None, None], torch.as_tensor(true_kernels)[:, None])[:, 0]
frames = list(np.random.default_rng(0).normal(clean, 0.02).clip(0, 1))

# %%
# The frames are given in a list. Frames that are displaced by a few pixels need no alignment: their
# kernels are displaced instead.

together = invkit.restore(frames, "multi-frame", kernel_size=17, progress=False)
alone = [
    invkit.deblur(frame, recipe="fast-map", kernel_size=17, progress=False) for frame in frames
]
best = max(alone, key=lambda result: aligned_psnr(result.image, truth))

# %%
# First row: the frames with their true kernels. Second row: the best result of a single frame, the
# result of all frames with the three estimated kernels, and the truth.

found = np.hstack(together.kernel)
pictures = {
    f"frame {number}": (frame, true_kernels[number - 1])
    for number, frame in enumerate(frames, start=1)
}
pictures |= {
    "best frame alone": (best.image, best.kernel),
    "together": (together.image, found),
    "truth": (truth, None),
}
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {aligned_psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])
    if kernel is not None:
        inset = axis.inset_axes([0, 0.75, 0.25 * kernel.shape[1] / kernel.shape[0], 0.25])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])

plt.show()

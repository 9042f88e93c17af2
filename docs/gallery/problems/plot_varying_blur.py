"""
Blur that varies over the picture
=================================

A camera that turns while it shakes blurs each part of the picture in its own way, so that no one
kernel explains all of it. Unknown are the image and nine kernels on a grid, which are interpolated
in between.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, transform

import invkit
from invkit.metrics import aligned_psnr


def shaken(picture):
    """What a camera sees that walks by a few pixels and turns by three degrees."""
    times, middle = np.linspace(-1, 1, 30), np.array(picture.shape[::-1]) / 2
    to_middle = transform.EuclideanTransform(translation=-middle)
    poses = [
        transform.EuclideanTransform(rotation=np.deg2rad(1.5 * t), translation=[2 * t, 3 * t**2])
        for t in times
    ]
    return np.mean(
        [
            transform.warp(picture, to_middle + pose + to_middle.inverse, mode="reflect")
            for pose in poses
        ],
        0,
    )


scene = transform.resize(color.rgb2gray(data.astronaut()), (208, 208), anti_aliasing=True)
inner = slice(14, -14)
truth = scene[inner, inner]
blurry = np.random.default_rng(0).normal(shaken(scene)[inner, inner], 0.005).clip(0, 1)

# %%
# The best of one kernel for all, against nine.

uniform = invkit.deblur(blurry, recipe="fast", kernel_size=15, progress=False)
varying = invkit.restore(blurry, "varying-blur", kernel_size=15, progress=False)

pictures = {
    "blurry": blurry,
    "one kernel": uniform.image,
    "nine kernels": varying.image,
    "truth": truth,
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {aligned_psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

# %%
# The kernels, in their places. What they should be is told by points that are shaken in the same
# way.

points = np.zeros_like(scene)
places = np.linspace(14, len(scene) - 15, 3).round().astype(int)
points[np.ix_(places, places)] = 1
seen = shaken(points)
true = [seen[y - 7 : y + 8, x - 7 : x + 8] for y in places for x in places]

figure, halves = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
for half, (title, kernels) in zip(
    halves, {"true": true, "found": varying.kernel}.items(), strict=True
):
    scaled = [kernel / kernel.max() for kernel in kernels]
    half.imshow(np.block([scaled[:3], scaled[3:6], scaled[6:]]), cmap="gray")
    half.set(
        title=f"kernels, {title}",
        xticks=[14.5, 29.5],
        yticks=[14.5, 29.5],
        xticklabels=[],
        yticklabels=[],
    )
    half.grid(color="0.4")

plt.show()

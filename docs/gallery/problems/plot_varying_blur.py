"""
Spatially varying blur
======================

If a camera rotates while it shakes, each part of the image has a different blur, and no single
kernel explains all of it. The image and nine kernels on a grid are unknown; between the grid points
the kernels are interpolated.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, transform

import invkit
from invkit.metrics import aligned_psnr


def shaken(picture):
    """The image of a camera that moves by a few pixels and rotates by three degrees."""
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
# One kernel for the whole image, compared with nine kernels.

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
# The kernels at their positions. The image of points under the same camera motion shows the true
# kernels.

points = np.zeros_like(scene)
places = np.linspace(14, len(scene) - 15, 3).round().astype(int)
points[np.ix_(places, places)] = 1
shaken_points = shaken(points)
true = [shaken_points[y - 7 : y + 8, x - 7 : x + 8] for y in places for x in places]

figure, halves = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
for half, (title, kernels) in zip(
    halves, {"true": true, "estimated": varying.kernel}.items(), strict=True
):
    scaled = [kernel / kernel.max() for kernel in kernels]
    half.imshow(np.block([scaled[:3], scaled[3:6], scaled[6:]]), cmap="gray")
    half.set(
        title=f"{title} kernels",
        xticks=[14.5, 29.5],
        yticks=[14.5, 29.5],
        xticklabels=[],
        yticklabels=[],
    )
    half.grid(color="0.4")

plt.show()

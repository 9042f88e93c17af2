"""
Classical and neural methods
============================

The same blurry image, restored by a classical method and by neural networks. ``fast-map`` estimates
the kernel from the salient edges of a latent image, from coarse to fine. ``selfdeblur-small`` is
SelfDeblur with a small network: one network gives the image, another one the kernel. Both start
from random weights and are trained on this one image. Only the blurry image and the kernel size are
known.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr

truth = color.rgb2gray(data.astronaut())[40:164, 150:274]
true_kernel = random_kernel("motion", 15, [4])
blurry = np.random.default_rng(0).normal(blur_image(truth, true_kernel), 0.005).clip(0, 1)

# %%
# The networks have 200 iterations here, instead of 800 in the recipe and 5000 in the paper.
# Learning rates and milestones are adapted. The third result is a deconvolution with the kernel of
# the networks.

fewer_iterations = [
    "solver.iterations=200",
    "solver.milestones=[120, 160, 180]",
    "solver.kernel_lr=2e-3",
]
results = {}
for name, recipe, overrides in [
    ("classical", "fast-map", []),
    ("networks", "selfdeblur-small", fewer_iterations),
]:
    started = time.perf_counter()
    results[name] = invkit.deblur(
        blurry, recipe=recipe, kernel_size=15, overrides=overrides, progress=False
    )
    print(f"{name}: {time.perf_counter() - started:.1f} s")
results["networks' kernel"] = invkit.deconvolve(blurry, results["networks"].kernel, progress=False)

# %%
pictures = {"blurry": (blurry, true_kernel)} | {
    name: (result.image, result.kernel) for name, result in results.items()
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}, {aligned_psnr(picture, truth):.1f} dB", xticks=[], yticks=[])
    inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
    inset.imshow(kernel, cmap="gray")
    inset.set(xticks=[], yticks=[])

plt.show()

# %%
# The insets show the true kernel in the blurry image, and the estimated kernels. The networks need
# neither edge selection nor a pyramid. :doc:`/generated/measured` shows their results with all
# iterations. Try the whole recipe on a GPU, ``recipe="selfdeblur"``, or another component in it,
# ``overrides=["kernel_prior=generative"]``.

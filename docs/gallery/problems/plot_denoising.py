"""
Denoising
=========

The operator is the identity, and only the image is unknown. What distinguishes the methods is the
prior of the image: sparse derivatives, a denoiser of another library, or a network that was trained
on no other image. The noise level is estimated. scikit-image's non-local means, which are given the
noise level, are shown for comparison.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, restoration, transform

import invkit
from invkit.metrics import psnr

truth = transform.rescale(data.camera()[30:330, 70:370] / 255, 1 / 3, anti_aliasing=True)
noisy = np.random.default_rng(0).normal(truth, 0.1).clip(0, 1)

# %%
# In the second variant, deepinv's total variation is an example of a denoiser that takes an image
# and a noise level. The network is smaller and has fewer iterations than in its recipe.

variants = {
    "sparse derivatives": ("denoise-sparse", []),
    "plug and play": (
        "denoise-tv",
        ["regularizers=[{name='plug-and-play', weight=0.02}]", "solver.iterations=5"],
    ),
    "deep image prior": (
        "denoise-dip",
        [
            "image_prior.channels=16",
            "solver.iterations=300",
            "solver.ema=0.95",
        ],
    ),
}
pictures = {
    "truth": truth,
    "noisy": noisy,
    "non-local means": restoration.denoise_nl_means(noisy, h=0.08, sigma=0.1, fast_mode=False),
}
for name, (recipe, overrides) in variants.items():
    pictures[name] = invkit.restore(noisy, recipe, overrides=overrides, progress=False).image

# %%
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is truth else f", {psnr(picture, truth):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

plt.show()

# %%
# Try another denoiser of deepinv in ``plug-and-play`` (``invkit describe regularizers
# plug-and-play``), or all 32 channels and 800 iterations of the network's recipe.

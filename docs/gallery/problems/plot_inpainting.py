"""
Inpainting
==========

Some pixels are missing, and their positions are known: the mask is given in place of a kernel. Only
the image is unknown, so its prior decides the result. scikit-image's biharmonic inpainting is shown
for comparison.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, restoration, transform

import invkit
from invkit.metrics import psnr

truth = transform.rescale(
    data.chelsea()[26:266, 110:350] / 255, 0.45, channel_axis=-1, anti_aliasing=True
)
mask = (np.random.default_rng(0).random(truth.shape[:2]) < 0.3).astype(float)
measured = mask[..., None] * truth

# %%
# Three pixels of ten are left. Total variation turns each of them into a small plateau. Sparse
# second derivatives continue slopes into the holes. The network is smaller and has fewer iterations
# than in its recipe.

variants = {
    "total variation": ("inpaint-tv", []),
    "sparse derivatives": ("inpaint-sparse", []),
    "deep image prior": (
        "inpaint-dip",
        [
            "image_prior.channels=16",
            "solver.iterations=250",
            "solver.milestones=[180]",
        ],
    ),
}
pictures = {
    "truth": truth,
    "measured": measured,
    "biharmonic": restoration.inpaint_biharmonic(measured, mask == 0, channel_axis=-1),
}
for name, (recipe, overrides) in variants.items():
    pictures[name] = invkit.restore(
        measured, recipe, kernel=mask, overrides=overrides, progress=False
    ).image

# %%
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = (
        ""
        if picture is truth
        else f", {psnr(np.moveaxis(picture, -1, 0), np.moveaxis(truth, -1, 0)):.1f} dB"
    )
    axis.imshow(picture.clip(0, 1))
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

plt.show()

# %%
# Try a mask of scratches or of letters, as a picture that is white where the image is known, or all
# 1500 iterations of the network's recipe.

"""
Inpainting
==========

Pixels are missing, and it is known which: the mask is given where a kernel is given elsewhere.
Unknown is the image alone, so that all depends on its prior. Beside them stands scikit-image's
biharmonic inpainting.
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
seen = mask[..., None] * truth

# %%
# Of ten pixels three are left. Total variation makes of each a small plateau, sparse second
# derivatives continue slopes into the holes. The network is smaller and has fewer iterations than
# in its recipe.

variants = {
    "total variation": ("inpaint-tv", []),
    "sparse derivatives": ("inpaint-sparse", []),
    "deep image prior": (
        "inpaint-dip",
        [
            "image_prior.params.channels=16",
            "solver.params.iterations=250",
            "solver.params.milestones=[180]",
        ],
    ),
}
pictures = {
    "truth": truth,
    "seen": seen,
    "biharmonic": restoration.inpaint_biharmonic(seen, mask == 0, channel_axis=-1),
}
for name, (recipe, overrides) in variants.items():
    pictures[name] = invkit.restore(
        seen, recipe, kernel=mask, overrides=overrides, progress=False
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
# To try next: a mask of scratches or of letters, as a picture that is white where the image was
# seen; the whole of the network's recipe, of 1500 iterations.

"""
Deblur a photograph
===================

A blurry photograph goes in; the sharp image and the kernel that blurred it come out. Known is the
photograph alone: the image, the kernel, its size and the noise level are not. The photograph is the
one that comes with invkit, and its truth is there only to measure how far we get.
"""

import matplotlib.pyplot as plt
import numpy as np

import invkit
from invkit.datasets.samples import sample_path
from invkit.metrics import aligned_psnr

blurry, sharp = (plt.imread(sample_path(name)) for name in ("coffee", "coffee-sharp"))
true_kernel = np.load(sample_path("coffee-kernel"))

# %%
# The recipe ``fast`` begins twice, refines both kernels and judges their restorations without the
# truth. ``best``, which is taken where none is named, begins nine times and takes four times as
# long. The kernel is given a rough size; too large is safer than too small.

result = invkit.deblur(blurry, recipe="fast", kernel_size=31, progress=False)

# %%
# A blind method knows the image only up to a shift, so that PSNR is taken at the shift that fits
# best. Top left: the true kernel, and the one that was found. Below, a part of each, seen closely.

pictures = {
    "blurry": (blurry, true_kernel),
    "restored": (result.image, result.kernel),
    "truth": (sharp, None),
}
figure, axes = plt.subplots(2, 3, figsize=(12, 5.8), layout="constrained")
for (whole, part), (title, (picture, kernel)) in zip(axes.T, pictures.items(), strict=True):
    quality = (
        ""
        if picture is sharp
        else f", {aligned_psnr(picture.mean(axis=-1), sharp.mean(axis=-1)):.1f} dB"
    )
    whole.imshow(picture)
    whole.set(title=f"{title}{quality}", xticks=[], yticks=[])
    part.imshow(picture[116:206, 145:280])
    part.set(xticks=[], yticks=[])
    if kernel is not None:
        inset = whole.inset_axes([0, 0.7, 0.2, 0.3])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])

plt.show()

# %%
# ``result.save("deblurred")`` writes image, kernel and all settings; ``invkit deblur photo.jpg``
# does the same from a shell. To try next: your own photograph, ``recipe="best"``, or another method
# in :doc:`/generated/recipes`.

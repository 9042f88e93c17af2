"""
Deblur a photograph
===================

A blurry photograph goes in. The sharp image and the blur kernel come out. Only the photograph is
known: neither the image, nor the kernel, nor its size, nor the noise level. The photograph comes
with invkit, and its true image only measures the quality of the result.
"""

import matplotlib.pyplot as plt
import numpy as np

import invkit
from invkit.datasets.samples import sample_path
from invkit.metrics import aligned_psnr

blurry, sharp = (plt.imread(sample_path(name)) for name in ("coffee", "coffee-sharp"))
true_kernel = np.load(sample_path("coffee-kernel"))

# %%
# The recipe ``fast`` has three candidates. It refines their kernels and selects one without the
# true image. The default recipe ``best`` has nine candidates and takes three times as long. The
# kernel size is given roughly; too large is safer than too small.

result = invkit.deblur(blurry, recipe="fast", kernel_size=31, progress=False)

# %%
# A blind method knows the image only up to a shift, so the PSNR is that of the best shift. The
# insets show the true and the estimated kernel. The second row shows a detail of each image.

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
# ``result.save("deblurred")`` writes image, kernel and all settings. ``invkit deblur photo.jpg``
# does the same on the command line. Try your own photograph, ``recipe="best"``, or another recipe
# of :doc:`/generated/recipes`.

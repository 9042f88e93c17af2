"""
Noise
=====

The noise level of a photograph is usually unknown. It is estimated from the image, and the weights
of the final deconvolution are proportional to it: the noisier the data, the smoother the image.
Image, kernel and noise level are unknown here.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr

truth = data.camera()[60:280, 110:330] / 255
true_kernel = random_kernel("motion", 21, [10])
clean = blur_image(truth, true_kernel)

# %%
# Three noise levels, in units of the range from black to white. The details of the result contain
# the estimate.

results = {}
for sigma in (0.002, 0.01, 0.03):
    noisy = np.random.default_rng(0).normal(clean, sigma).clip(0, 1)
    results[sigma] = invkit.deblur(noisy, recipe="fast", kernel_size=21, progress=False)
    print(f"noise of {sigma}: estimated as {results[sigma].details['noise_sigma']:.4f}")

# %%
# First row: the data, with the true kernel. Second row: the results, with the estimated kernels.

figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for column, (sigma, result) in zip(axes.T, results.items(), strict=True):
    rows = {
        f"noise of {sigma}": (result.blurry, true_kernel),
        "restored": (result.image, result.kernel),
    }
    for axis, (title, (picture, kernel)) in zip(column, rows.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set(title=f"{title}, {aligned_psnr(picture, truth):.1f} dB", xticks=[], yticks=[])
        inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])

plt.show()

# %%
# Try a noise level of your own, ``sigma=0.02``, instead of the estimate, or a smoother final
# deconvolution, ``overrides=["next.next.regularizers.0.weight=0.2"]``.

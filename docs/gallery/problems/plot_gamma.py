"""
Blur of light, seen through a gamma curve
=========================================

A sensor adds light while the camera moves. A photograph's values are about the 1/2.2th power of
this light. The blurred values are therefore no convolution of the sharp values: at the edges of
bright areas they differ most. The operator ``gamma-blur`` models both steps. It is not linear in
the image, so that solvers for linear operators refuse it; ``proximal-gradient`` needs its
derivative only.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.metrics import psnr
from invkit.operators import GammaBlur

truth = transform.resize(data.camera()[:400, 60:460] / 255, (140, 140), anti_aliasing=True)
kernel = np.zeros((11, 11))
kernel[np.arange(1, 10), np.arange(1, 10)] = 1  # a straight shake
kernel[5, 1:10] += 1
kernel /= kernel.sum()

blurred = GammaBlur(gamma=2.2)(
    torch.as_tensor(truth)[None, None], torch.as_tensor(kernel)[None, None]
)
blurry = np.random.default_rng(0).normal(blurred[0, 0], 0.005).clip(0, 1)

# %%
# The same method and the same weight, with and without the curve.

ignored = invkit.deconvolve(
    blurry,
    kernel,
    recipe="gamma-deconvolution",
    overrides=["operator=convolution"],
    progress=False,
)
modelled = invkit.deconvolve(blurry, kernel, recipe="gamma-deconvolution", progress=False)

inner = truth[5:-5, 5:-5]  # the part that the photograph shows
pictures = {
    "truth": inner,
    "blurry": blurry,
    "curve ignored": ignored.image,
    "curve modelled": modelled.image,
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = "" if picture is inner else f", {psnr(picture, inner):.1f} dB"
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

plt.show()

# %%
# Try another camera, ``overrides=["operator.gamma=1.8"]``, or a solver that refuses:
# ``overrides=["solver=linear-admm"]``.

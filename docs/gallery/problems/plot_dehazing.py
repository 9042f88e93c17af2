"""
Dehazing
========

A hazy photograph is a mixture of two layers, the scene and the airlight, with a mask that gives the
share of the scene in each pixel. All three are unknown. The operator ``haze`` initialises them from
the data, by the dark channel prior. Each layer has its own image prior, and the mask has a prior
too.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, transform

import invkit
from invkit.metrics import psnr

truth = transform.resize(data.astronaut(), (160, 160, 3), anti_aliasing=True)
down, along = np.mgrid[:160, :160] / 160
distance = 1.4 - down + 0.25 * np.sin(5 * along + 1)
transmission = np.exp(-1.6 * (0.1 + (distance - distance.min()) / np.ptp(distance)))[..., None]
airlight = np.array([0.80, 0.84, 0.88])
hazy = transmission * truth + (1 - transmission) * airlight

# %%
# The result contains both layers, the scene first, and the mask in place of a kernel.

result = invkit.restore(hazy, "dehaze", progress=False)
scene, estimated_airlight = np.moveaxis(result.image, 1, -1)
print("estimated airlight:", estimated_airlight[0, 0].round(2), "true:", airlight)

# %%
quality = [
    f"{psnr(np.moveaxis(picture, -1, 0), np.moveaxis(truth, -1, 0)):.1f} dB"
    for picture in (hazy, scene)
]
pictures = {
    "truth": truth,
    f"hazy, {quality[0]}": hazy,
    f"scene, {quality[1]}": scene,
    "true transmission": transmission[..., 0],
    "estimated transmission": result.kernel[0],
    "estimated airlight": estimated_airlight,
}
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])

plt.show()

# %%
# Try networks for scene and mask, as in Double-DIP,
# ``overrides=["image_prior.first=dip-skip", "kernel_prior.prior=dip-skip"]``, or an airlight that
# is estimated too, ``overrides=["image_prior.second.fixed=false"]``.

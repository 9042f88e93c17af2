"""
Dehazing
========

A photograph through haze is a mixture of two layers, the scene and the airlight, under a mask that
says how much of the scene comes through. All three are unknown. The operator `haze` tells from the
data, by the dark channel prior, what to start from; each layer has an image prior of its own, and
so has the mask.
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
# The result holds both layers, the scene first, and the mask where a kernel is elsewhere.

result = invkit.restore(hazy, "dehaze", progress=False)
scene, behind = np.moveaxis(result.image, 1, -1)
print("airlight found:", behind[0, 0].round(2), "true:", airlight)

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
    "transmission found": result.kernel[0],
    "airlight found": behind,
}
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])

plt.show()

# %%
# To try next: networks for scene and mask, as in Double-DIP,
# ``overrides=["image_prior.params.first=dip-skip", "kernel_prior.params.prior=dip-skip"]``; an
# airlight that is an unknown too, ``image_prior.params.second=constant``.

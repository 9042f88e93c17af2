"""
Tomography with an unknown axis
===============================

Projections were taken from 45 sides while the object turned, but not about the middle of the
detector: the axis is a few pixels off, and nobody has written down how many. Taken for the middle,
it doubles every edge. Unknown are the image and the axis.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.metrics import psnr
from invkit.operators import Tomography

truth = np.pad(transform.resize(data.shepp_logan_phantom(), (64, 64), anti_aliasing=True), 8)
axis_at, sides = 4.3, 45

# %%
# The geometry of a scan is, for each projection, by how many pixels the axis lies right of the
# middle, and by how many degrees its angle is off.

geometry = np.zeros((1, 2, sides))
geometry[0, 0] = axis_at
clean = Tomography()(torch.as_tensor(truth)[None, None], torch.as_tensor(geometry)[None])[0]
projections = np.random.default_rng(0).normal(clean, 0.002)

results = {
    "axis in the middle": invkit.restore(projections, "tomography", progress=False),
    "axis found": invkit.restore(projections, "blind-tomography", progress=False),
    "axis known": invkit.restore(projections, "tomography", kernel=geometry, progress=False),
}
found = results["axis found"].kernel[0, 0].mean()
print(f"the axis is {axis_at} pixels off, and {found:.2f} were found")

# %%
pictures = {"projections": projections[0] / projections.max(), "truth": truth}
back_projection = np.squeeze(results["axis in the middle"].blurry)
pictures |= {"back projection": back_projection / back_projection.max()}
pictures |= {name: np.squeeze(result.image) for name, result in results.items()}
figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = f", {psnr(picture, truth):.1f} dB" if title in results else ""
    axis.imshow(
        picture, cmap="gray", vmin=0, vmax=1, aspect="auto" if title == "projections" else "equal"
    )
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

plt.show()

# %%
# To try next: a stage that wobbles, ``overrides=["kernel_prior.params.displacements=true"]``.

"""
Tomography with an unknown axis
===============================

An object was rotated, and 45 projections were taken. The rotation axis is a few pixels off the
centre of the detector, and this distance is unknown. If the axis is assumed in the centre, every
edge appears twice. Image and axis are unknown.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.metrics import psnr
from invkit.operators import Tomography

truth = np.pad(transform.resize(data.shepp_logan_phantom(), (64, 64), anti_aliasing=True), 8)
axis_offset, projection_count = 4.3, 45

# %%
# The geometry of a scan has two numbers for each projection: the distance of the axis to the right
# of the centre, in pixels, and the error of the angle, in degrees.

geometry = np.zeros((1, 2, projection_count))
geometry[0, 0] = axis_offset
clean = Tomography()(torch.as_tensor(truth)[None, None], torch.as_tensor(geometry)[None])[0]
projections = np.random.default_rng(0).normal(clean, 0.002)

results = {
    "axis in the centre": invkit.restore(projections, "tomography", progress=False),
    "axis estimated": invkit.restore(projections, "blind-tomography", progress=False),
    "axis known": invkit.restore(projections, "tomography", kernel=geometry, progress=False),
}
estimate = results["axis estimated"].kernel[0, 0].mean()
print(f"true offset of the axis: {axis_offset} pixels, estimate: {estimate:.2f} pixels")

# %%
pictures = {"projections": projections[0] / projections.max(), "truth": truth}
back_projection = np.squeeze(results["axis in the centre"].blurry)
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
# Try a stage that wobbles: ``overrides=["kernel_prior.displacements=true"]``.

"""
Phase retrieval
===============

A detector measures how much light arrives, and not the phase of its wave. Here the wave of an image
passes a mask that shifts its phase in each pixel, and the detector records the magnitudes of the
Fourier transform. Three patterns by three random masks determine the image, although the phase of
every number is lost.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data, transform

import invkit
from invkit.metrics import psnr
from invkit.operators import PhaseRetrieval

truth = transform.resize(data.camera()[:400, 60:460] / 255, (64, 64), anti_aliasing=True)
operator = PhaseRetrieval()

# %%
# The masks are part of the experiment: phases in radians, (1, M, H, W). These are random ones. The
# numbers of a detector have any units.

masks = operator.drawn_masks((1, 3, 64, 64))
clean = operator(torch.as_tensor(truth)[None, None], masks.double())[0].numpy()
patterns = 1000 * np.random.default_rng(0).normal(clean, 0.01).clip(0)

# %%
# The given masks stand in the place of the kernel. A single pattern has no more numbers than the
# image has pixels. It may be enough for an image that is not negative, or fail; a warning says so.

results = {
    "one mask": invkit.restore(
        patterns[:1], "phase-retrieval", kernel=masks[:, :1].numpy(), progress=False
    ),
    "three masks": invkit.restore(
        patterns, "phase-retrieval", kernel=masks.numpy(), progress=False
    ),
}
print(results["one mask"].details["warnings"][0])

pictures = {"truth": truth, "first pattern, its root": np.sqrt(patterns[0] / patterns.max())}
pictures |= {title: result.image / 1000 for title, result in results.items()}
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    quality = f", {psnr(picture, truth):.1f} dB" if title in results else ""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{title}{quality}", xticks=[], yticks=[])

plt.show()

# %%
# Try intensities, as detectors give them: ``PhaseRetrieval(measured="intensities")``, and
# ``overrides=["operator.measured=intensities"]``. The image is then proportional to the root of the
# data.

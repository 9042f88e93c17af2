"""
Swap the priors
===============

A method is a sentence, and each of its components can be exchanged. This recipe states such a
sentence: the image is free pixels with few edges, the kernel is any point of the simplex, and the
solver alternates between both, from coarse to fine. One loop then exchanges the kernel prior, and
another one the regularizer. Everything else stays the same.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

import invkit
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.metrics import aligned_psnr
from invkit.recipes.model import parse_recipe

truth = color.rgb2gray(data.astronaut())[40:200, 125:285]
true_kernel = random_kernel("motion", 21, [4])
blurry = np.random.default_rng(0).normal(blur_image(truth, true_kernel), 0.005).clip(0, 1)

# %%
# ``next`` is the same final deconvolution for all variants.

recipe = parse_recipe("""
name = "mine"
operator = {name = "convolution", params = {padding = "valid"}}
image_prior = "pixels"
kernel_prior = "simplex"
regularizers = [{name = "l0-gradient", weight = 1e-3, params = {smoothing = 0.0}}]
next = "sparse-admm"

[solver]
name = "pyramid"

[solver.params.inner]
name = "alternating-admm"

[solver.params.inner.params]
iterations = 20
penalty = 50.0
parameter_steps = 6
parameter_lr = 0.1
warmup_iterations = 3
initial_weight_factor = 10.0
""")


def restored(settings):
    return invkit.deblur(blurry, recipe=recipe, kernel_size=21, overrides=settings, progress=False)


def show(results):
    _, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
    pictures = {"truth": (truth[10:-10, 10:-10], true_kernel), "blurry": (blurry, true_kernel)}
    pictures |= {name: (result.image, result.kernel) for name, result in results.items()}
    for axis, (title, (picture, kernel)) in zip(axes.flat, pictures.items(), strict=True):
        quality = "" if title == "truth" else f", {aligned_psnr(picture, truth):.1f} dB"
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set(title=f"{title}{quality}", xticks=[], yticks=[])
        inset = axis.inset_axes([0, 0.75, 0.25, 0.25])
        inset.imshow(kernel, cmap="gray")
        inset.set(xticks=[], yticks=[])


# %%
# **The kernel prior.** The simplex prefers no kernel. The network of SelfDeblur, the path of a
# camera, and a generator trained on camera shake know more about kernels. Each has its own kind of
# unknowns, and therefore its own learning rate. The insets show the kernels; those of the truth and
# of the blurry image show the true kernel.

rate = "solver.inner.parameter_lr"
priors = {"simplex": 0.1, "softmax-fcn": 1e-3, "motion-path": 0.2, "generative": 0.05}
by_kernel_prior = {
    name: restored([f"kernel_prior={name}", f"{rate}={value}"]) for name, value in priors.items()
}
show(by_kernel_prior)

# %%
# **The regularizer** of the image, while the kernel is estimated. It matters more than the kernel
# prior. With total variation and hyper-Laplacian gradients, the kernel shrinks to a point, because
# the blurry image itself has the lowest penalty (Levin et al., CVPR 2009). An image with an L0
# penalty has few edges, and these are sharp.

regularizers = {"tv": 1e-3, "hyper-laplacian": 1e-3, "dark-channel": 4e-3}
by_regularizer = {
    name: restored([f"regularizers.0.name={name}", f"regularizers.0.weight={weight}"])
    for name, weight in regularizers.items()
}
show({"l0-gradient": by_kernel_prior["simplex"]} | by_regularizer)
plt.show()

# %%
# ``invkit list`` lists all components. A component of your own has ten lines: :doc:`/howto/plugin`.
# This is one image only; a benchmark shows which prior is better: :doc:`/howto/classics`.

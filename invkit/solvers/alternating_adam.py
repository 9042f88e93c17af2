"""Kernel and image in turn."""

from __future__ import annotations

from typing import final

from ..core.problem import Problem
from .adam import AdamSolver, AdamState, Outcome, trainable

__all__ = ["AlternatingAdam"]


@final
class AlternatingAdam(AdamSolver):
    """An Adam step on the kernel, then one on the image: SelfDeblur with alternating optimisation.

    Ren, Zhang, Wang, Hu, Zuo, "Neural Blind Deconvolution Using Deep Priors", CVPR 2020, Algorithm 1. Both steps of an
    iteration see the same perturbed latent; a prior without unknowns is passed over.
    """

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Algorithm 1 of Ren et al. 2020: kernel with the image fixed, then image with the new kernel fixed.

        The losses are those of the image's step, or of the kernel's where the image has no unknowns.
        """
        image = self.image(state)
        if trainable(state.kernel_prior):
            losses = problem.objective(image.detach(), state.kernel_prior(), state.iteration)
            self.descend(state, losses)
        kernel = state.kernel_prior().detach()
        if trainable(state.image_prior):
            losses = problem.objective(image, kernel, state.iteration)
            self.descend(state, losses)
        return image, kernel, losses

"""Image and kernel together."""

from __future__ import annotations

from typing import final

from ..core.problem import Problem
from .adam import AdamSolver, AdamState, Outcome

__all__ = ["JointAdam"]


@final
class JointAdam(AdamSolver):
    """One Adam step on both priors at a time: SelfDeblur with joint optimisation.

    Ren, Zhang, Wang, Hu, Zuo, "Neural Blind Deconvolution Using Deep Priors", CVPR 2020, Algorithm 2.
    """

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Algorithm 2 of Ren et al. 2020: the gradient of Eq. 6 in both networks, then Adam on both."""
        image = self.image(state)
        kernel = state.kernel_prior()
        losses = problem.objective(image, kernel, state.iteration)
        self.descend(state, losses)
        return image, kernel, losses

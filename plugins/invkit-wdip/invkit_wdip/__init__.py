"""W-DIP for invkit: blind deconvolution by deep priors that a Wiener filter guides."""

from .solver import WienerGuidedAdam

__all__ = ["WienerGuidedAdam"]

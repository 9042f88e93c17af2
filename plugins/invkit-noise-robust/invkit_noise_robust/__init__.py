"""Blind deconvolution with noise-robust kernel estimation, for invkit: a network of images alone."""

from .fidelity import RootMSE
from .image_prior import Branched, BranchedSkipImage
from .kernel_function import estimated_kernels
from .solver import KernelFunctionAdam

__all__ = ["Branched", "BranchedSkipImage", "KernelFunctionAdam", "RootMSE", "estimated_kernels"]

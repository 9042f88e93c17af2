"""An observer for invkit that writes losses, images and kernels for TensorBoard."""

from .observer import TensorBoard

__all__ = ["TensorBoard"]

"""Watch a solve of invkit in TensorBoard."""

from .observer import TensorBoard

__all__ = ["TensorBoard"]

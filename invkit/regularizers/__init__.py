"""Regularizers, the penalties on an image or a kernel; a problem gives each its weight."""

from ..core.lazy import lazy_attributes, lazy_names

__getattr__ = lazy_attributes(__name__)
__dir__ = lazy_names(__name__)

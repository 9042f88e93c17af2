"""Datasets of blurry images, on which recipes are tried."""

from ..core.lazy import lazy_attributes, lazy_names

__getattr__ = lazy_attributes(__name__)
__dir__ = lazy_names(__name__)

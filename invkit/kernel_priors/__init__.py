"""Priors of the kernel, or of another operator parameter: each gives allowed values by construction."""

from ..core.lazy import lazy_attributes, lazy_names

__getattr__ = lazy_attributes(__name__)
__dir__ = lazy_names(__name__)

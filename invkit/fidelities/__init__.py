"""Fidelities, which compare predicted data with measured data; each is a mean over the values of an image."""

from ..core.lazy import lazy_attributes, lazy_names

__getattr__ = lazy_attributes(__name__)
__dir__ = lazy_names(__name__)

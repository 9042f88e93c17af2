"""Solvers, which minimise the objective of a problem, and the methods that they consist of."""

from ..core.lazy import lazy_attributes, lazy_names

__getattr__ = lazy_attributes(__name__)
__dir__ = lazy_names(__name__)

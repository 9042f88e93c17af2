"""What is read off the data before a solve."""

from __future__ import annotations

from .noise import estimate_sigma

__all__ = ["estimate_sigma"]

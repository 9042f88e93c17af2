"""Comparison of restorations without the truth."""

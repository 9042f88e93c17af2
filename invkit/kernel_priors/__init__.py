"""Priors of the kernel, or of another operator parameter: each gives allowed values by construction."""

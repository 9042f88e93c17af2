"""Penalties on an image or a kernel; a problem gives each its weight."""

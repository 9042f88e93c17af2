"""Blurry images to try recipes on."""

"""Threads, memory and worker processes."""

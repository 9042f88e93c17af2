"""Seconds of the stages of a restoration on this machine, and how near they come to what it can do."""

"""Runs and benchmarks as one self-contained HTML page; `writing.report` writes it."""

"""The option of test_scaling.py."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Three small sizes, to check that the benchmark works."""
    parser.addoption("--quick", action="store_true", help="three sizes of photographs and of kernels only")

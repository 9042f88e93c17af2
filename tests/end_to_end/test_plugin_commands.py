"""The commands that ``invkit plugin new`` prints work as they stand, for each family that has a template."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from clean_environment import make_environment

from invkit.apps.scaffold import TEMPLATE_FAMILIES
from invkit.media.images import encode_png

FIGURE = r"^ *mything +\d"  # a recipe without a figure has a dash
NAME = "mything"  # without a hyphen, so that folder and package have one name


@pytest.mark.slow
@pytest.mark.parametrize("family", TEMPLATE_FAMILIES)
def test_the_printed_commands_work(family: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    (tmp_path / "photo.jpg").write_bytes(encode_png(picture))
    environment = make_environment(tmp_path / "environment")
    _, *printed = environment.succeed(f"invkit plugin new {NAME} --family {family}", tmp_path).splitlines()
    outputs = {command.strip(): environment.succeed(command.strip(), tmp_path) for command in printed}
    assert len(outputs) == 5
    (table,) = [output for command, output in outputs.items() if command.startswith("invkit bench table")]
    assert re.search(FIGURE, table, flags=re.MULTILINE), table
    assert (tmp_path / "deblurred" / "image.png").exists()
    assert "2 passed" in environment.succeed(f"python -m pytest {NAME}", tmp_path)  # imports from this folder first

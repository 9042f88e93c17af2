"""The script that runs SelfDeblur at its full size, here with a few iterations of a small network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import invkit

SCRIPT = Path(invkit.__file__).parent.parent / "benchmarks" / "full_size.py"


@pytest.mark.slow
def test_a_run_is_measured_beside_the_published_image_and_not_made_twice(data_root: Path, tmp_path: Path) -> None:
    output, runs = tmp_path / "full_size.json", tmp_path / "runs"
    words = ["3,5", "--recipe", "selfdeblur-small", "--iterations", "3", "--runs", str(runs), "--output", str(output)]
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, SCRIPT, *words], check=True, env={**os.environ, "INVKIT_DATA": str(data_root)})
        made.append((runs / "selfdeblur-small-im3_kernel5" / "result.json").stat().st_mtime_ns)
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["image"], row["iterations"], row["published image"]) == ("im3_kernel5", 3, 37.48)
    assert row["psnr"] < row["input"] == 27.03
    assert made[0] == made[1]

"""The code and the commands of the how-to on stacks run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import invkit
from invkit.apps.cli.main import main

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "stacks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
COMMANDS = [block.replace("\\\n", "") for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    stack, psf = draw.poisson(50, (6, 16, 18)).astype(np.float32), np.full((3, 3, 3), 1 / 27, np.float32)
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "psf.npy", psf)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "psf.tif", psf, photometric="minisblack")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("data")
def test_the_example_runs() -> None:
    names: dict[str, Any] = {"np": np, "invkit": invkit}
    for block in BLOCKS:
        exec(block, names)
    assert names["result"].image.shape == names["stack"].shape
    assert BLOCKS


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--output", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert (tmp_path / "out" / "image.tif").is_file()

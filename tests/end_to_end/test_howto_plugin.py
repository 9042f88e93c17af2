"""The page on writing a prior: its commands run, and it shows their output."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from clean_environment import make_environment
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.apps.scaffold import plugin_files, plugin_names
from invkit.datasets.synthetic import Synthetic
from invkit.media.images import encode_png
from invkit.numerics.registration import aligned_psnr

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "plugin.md").read_text(encoding="utf-8")
TRANSCRIPT = re.findall(r"```bash\n(.*?)\n```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL)
WRITTEN = plugin_files(plugin_names("straight-motion", "kernel_priors"))
MOST_COMMANDS = 5
PSNR_TOLERANCE = 0.5  # dB: processors round differently, and 200 iterations of Adam amplify it


def comparable(line: str) -> str:
    """A line without numbers and frames, which depend on the machine and the screen."""
    return " ".join(re.sub(r"[\d.:]+", "#", line).replace("=", " ").split())


def assert_shown(shown: str, output: str) -> None:
    """Every shown line is a line of the output or a part of one, in the same order."""
    lines = [comparable(line) for line in output.splitlines()]
    for line in filter(None, map(comparable, shown.splitlines())):
        found = next((i for i, other in enumerate(lines) if line in other), None)
        assert found is not None, f"{line!r} is missing, or out of order, in\n{output}"
        lines = lines[found + 1 :]


def figures(text: str) -> list[float]:
    """The PSNR of each row of the table."""
    return [float(row) for row in re.findall(r"^ *(?:straight-motion|fast-map) +([\d.]+)", text, flags=re.MULTILINE)]


@pytest.mark.slow
def test_five_commands_lead_to_a_row_in_a_table(tmp_path: Path) -> None:
    assert 0 < len(TRANSCRIPT) <= MOST_COMMANDS
    environment = make_environment(tmp_path / "environment")
    output = ""
    for command, shown in TRANSCRIPT:
        output = environment.succeed(command, tmp_path)
        if "--metrics" not in command:  # the layout of a table depends on the screen
            assert_shown(shown, output)
    assert figures(output) == pytest.approx(figures(TRANSCRIPT[-1][1]), abs=PSNR_TOLERANCE)
    assert len(figures(output)) == 2


def test_the_page_shows_the_files_that_the_command_writes() -> None:
    (prior, _), (recipe,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL) for kind in ("python", "toml"))
    assert prior == WRITTEN["src/straight_motion/straight_motion.py"]
    assert recipe == WRITTEN["src/straight_motion/straight-motion.toml"]
    (tree,) = [block for block in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL) if "entry points" in block]
    assert {line.split()[0] for line in tree.splitlines()[1:]} == WRITTEN.keys() - {"src/straight_motion/__init__.py"}


def test_the_blurry_pictures_are_as_blurry_as_the_page_says() -> None:
    dataset = Synthetic(None, number=2, size=15, color="luma")  # as the suite "quick"
    found = []
    for sample in map(dataset.sample, dataset.cases()):
        assert sample.truth is not None
        truth = torch.as_tensor(sample.truth[7:-7, 7:-7])
        found.append(float(aligned_psnr(torch.as_tensor(sample.image), truth)))
    assert f"have {np.mean(found):.1f} dB" in PAGE


def test_the_observers_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    (tmp_path / "photo.jpg").write_bytes(encode_png(picture))
    (command,) = [line for line in PAGE.splitlines() if line.startswith("invkit deblur photo.jpg --recipe pan-l0")]
    few = ["--kernel-size", "5"]
    outcome = CliRunner().invoke(app, [*shlex.split(command)[1:], *few], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert list((tmp_path / "deblurred" / "snapshots").glob("01-*-kernel.png"))
    exec(compile(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[1], "plugin.md", "exec"), {})
    assert list((tmp_path / "watched" / "snapshots").glob("01-*-kernel.png"))

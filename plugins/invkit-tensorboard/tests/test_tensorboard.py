"""The observer passes invkit's conformance checks, and TensorBoard can read the files that it writes."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import invkit
from invkit.apps.cli.main import main
from invkit.testing import check_component, conformance_cases

PRESENT = find_spec("tensorboard") is not None
needs_tensorboard = pytest.mark.skipif(not PRESENT, reason="tensorboard is not installed")

BLIND = """
name = "blind"
image_prior = "pixels"
kernel_prior = "simplex"
next = "wiener"
solver = { name = "joint-adam", params = { iterations = 12 } }
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "blind.toml").write_text(BLIND, encoding="utf-8")
    np.save(tmp_path / "photo.npy", np.random.default_rng(0).uniform(size=(24, 28, 3)).astype(np.float32))
    return tmp_path / "photo.npy"


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()


@needs_tensorboard
@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-tensorboard"))
def test_every_component_conforms(family: str, name: str) -> None:
    check_component(family, name)


@needs_tensorboard
def test_every_loss_is_written_and_every_stage_is_a_run(photo: Path, tmp_path: Path) -> None:
    from invkit_tensorboard import TensorBoard

    observer = TensorBoard(tmp_path, every=5, pictures=8)
    recipe = tmp_path / "blind.toml"
    result = invkit.deblur(photo, recipe=recipe, kernel_size=5, observers=[observer], progress=False)
    first, second = (events(tmp_path / "tensorboard" / run) for run in ("01", "02"))
    assert [(e.step, np.float32(e.value)) for e in first.Scalars("loss")] == [
        (i + 1, np.float32(loss)) for i, loss in enumerate(result.history[:12])
    ]
    assert [e.step for e in first.Images("image")] == [8, 12]
    assert [e.step for e in first.Images("kernel")] == [8, 12]
    assert [e.step for e in second.Images("image")] == [1]
    assert sorted(p.name for p in (tmp_path / "tensorboard").iterdir()) == ["01", "02"]


@needs_tensorboard
def test_the_command_line_takes_it_with_its_parameters(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["deblur", photo, "--recipe", tmp_path / "blind.toml", "--kernel-size", 5, "-o", tmp_path / "out"]
    words += ["--observe", "tensorboard:every=4,pictures=6"]
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert [e.step for e in events(tmp_path / "out" / "tensorboard" / "01").Images("kernel")] == [6, 12]


@pytest.mark.skipif(PRESENT, reason="tensorboard is installed")
def test_without_tensorboard_no_solve_starts(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["deblur", photo, "-o", tmp_path / "out", "--observe", "tensorboard"]
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "No module named 'tensorboard'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

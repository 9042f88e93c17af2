"""``invkit deblur`` on a small image: it writes all files, the loss falls, and a killed run can be resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SMALL = [
    "--recipe",
    "selfdeblur-small",
    "--set",
    "image_prior.channels=8",
    "--set",
    "image_prior.scales=2",
    "--set",
    "kernel_prior.hidden=32",
]
KERNEL = 7


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small colour image with edges and texture, blurred along a diagonal, as an 8-bit PNG."""
    rng = np.random.default_rng(0)
    sharp = np.kron(rng.uniform(0.1, 0.9, (9, 10, 3)), np.ones((6, 6, 1)))
    blurred = np.mean([np.roll(sharp, (i, i), (0, 1)) for i in range(KERNEL)], axis=0)[KERNEL:, KERNEL:]
    path = tmp_path / "photo.png"
    Image.fromarray(np.round(255 * blurred).astype(np.uint8)).save(path)
    return path


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from invkit.apps.cli.main import main; main()", *map(str, arguments)]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, **options
    )
    return done


def summary(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return facts


def test_deblur_lowers_the_loss_and_writes_everything(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = run(
        "deblur", photo, "--kernel-size", KERNEL, "--output", folder, "--truth", photo, *SMALL,
        "--set", "solver.iterations=40", "--set", "fidelity=mse",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in folder.iterdir()) == [
        "image.png",
        "kernel.npy",
        "kernel.png",
        "overview.png",
        "result.json",
    ]
    restored, given = np.asarray(Image.open(folder / "image.png")), np.asarray(Image.open(photo))
    assert restored.shape == given.shape
    assert restored.dtype == given.dtype
    kernel = np.load(folder / "kernel.npy")
    assert kernel.shape == (KERNEL, KERNEL)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    facts = summary(folder)
    history = facts["loss_history"]
    assert len(history) == facts["iterations"] == 40
    assert np.median(history[-5:]) < 0.5 * np.median(history[:5])
    assert facts["stopped"] == "finished"
    assert facts["seed"] == 0
    assert facts["recipe"]["kernel_prior"]["params"]["hidden"] == 32
    assert {"before", "after"} == set(facts["psnr"])


def test_a_killed_run_continues_to_the_same_bits(photo: Path, tmp_path: Path) -> None:
    settings = [*SMALL, "--kernel-size", KERNEL, "--set", "solver.iterations=150", "--checkpoint-every", 0]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("deblur", photo, "--output", whole, *settings).returncode == 0
    command = [
        sys.executable,
        "-c",
        "from invkit.apps.cli.main import main; main()",
        "deblur",
        photo,
        "--output",
        killed,
    ]
    process = subprocess.Popen([*map(str, command), *map(str, settings)], stderr=subprocess.DEVNULL)
    try:
        wait_for(killed / "checkpoint.pt", process)
        time.sleep(np.random.default_rng().uniform(0, 0.5))  # each run of the test kills at a different iteration
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not (killed / "result.json").exists(), "the run ended before it was killed: give it more iterations"
    resumed = run("deblur", photo, "--output", killed, *settings, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert summary(killed)["loss_history"] == summary(whole)["loss_history"]
    for name in ("image.png", "kernel.npy"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not (killed / "checkpoint.pt").exists()


def wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "the run ended without a checkpoint"
        assert time.monotonic() < deadline, "no checkpoint after two minutes"
        time.sleep(0.02)


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_keeps_what_was_done_and_resume_continues(
    photo: Path, tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    folder = tmp_path / "out"
    settings = [*SMALL, "--kernel-size", KERNEL, "--checkpoint-every", 0, "--set", "solver.iterations=100000"]
    command = [
        sys.executable,
        "-c",
        "from invkit.apps.cli.main import main; main()",
        "deblur",
        photo,
        "--output",
        folder,
    ]
    process = subprocess.Popen(
        [*map(str, command), *map(str, settings)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(folder / "checkpoint.pt", process)
        process.send_signal(sent)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == exit_code, errors
    assert "interrupted" in output
    facts = summary(folder)
    assert facts["stopped"] == "interrupted"
    assert 0 < facts["iterations"] < 100000
    assert (folder / "checkpoint.pt").exists(), "an interrupted run can be continued"
    more = run("deblur", photo, "--output", folder, *settings, "--resume", "--time-limit", 0.5)
    assert more.returncode == 0, more.stderr
    assert summary(folder)["stopped"] == "time limit"
    assert summary(folder)["iterations"] > facts["iterations"]


def test_a_finished_run_is_extended_to_the_bits_of_a_longer_one(photo: Path, tmp_path: Path) -> None:
    def deblurred(folder: str, iterations: int, *options: str) -> subprocess.CompletedProcess[str]:
        settings = [*SMALL, "--kernel-size", KERNEL, "--set", f"solver.iterations={iterations}", *options]
        return run("deblur", photo, "--output", tmp_path / folder, *settings)

    assert deblurred("extended", 4, "--extendable").returncode == 0
    assert (tmp_path / "extended" / "checkpoint.pt").exists()
    fewer = deblurred("extended", 3, "--resume")
    assert fewer.returncode == 2
    assert "solver.iterations=4, now 3" in " ".join(fewer.stderr.split())
    assert deblurred("extended", 9, "--resume").returncode == 0
    assert not (tmp_path / "extended" / "checkpoint.pt").exists()
    assert deblurred("whole", 9).returncode == 0
    assert summary(tmp_path / "extended")["iterations"] == 9
    files = [(tmp_path / folder / "kernel.npy").read_bytes() for folder in ("extended", "whole")]
    assert files[0] == files[1]
    nothing = deblurred("whole", 12, "--resume")
    assert "one that was started with --extendable, and ended" in " ".join(nothing.stderr.split())

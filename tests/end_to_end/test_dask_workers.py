"""The workers of ``bench run``: they run no file of the current folder, and what they print is kept apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="Dask is not installed; get it with pip install 'invkit[cluster]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always looks into the current folder"),
    pytest.mark.skipif(sys.platform == "win32", reason="the programs of SLURM are scripts of the shell here"),
]

TOYS = Path(__file__).parents[1] / "helpers"
SHADOWS = ("random", "signal", "torch", "numpy", "threading", "typing", "site", "click", "tornado", "distributed")
SUITE = 'title = "Toys"\ndatasets = ["toy"]\nrecipes = ["wiener"]\nmetrics = ["toy-error"]\n'
ENTRIES = "[invkit.datasets]\ntoy = toy_benchmark:Toy\n[invkit.metrics]\ntoy-error = toy_benchmark:MeanSquare\n"
SBATCH = """#!/bin/sh
# The job's number is the process, and %J in the names of its files stands for it, as in SLURM.
for script; do :; done
name() { sed -n "s/^#SBATCH -$1 //p" "$script" | sed "s/%J/$$/"; }
copy="$script.$$"
cp "$script" "$copy"  # the other one is removed at once
sh "$copy" > "$(name o)" 2> "$(name e)" < /dev/null &
echo $! > "$copy.pid"
echo "Submitted batch job $$"
"""
SCANCEL = "#!/bin/sh\nexit 0\n"  # the worker ends with its scheduler


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder whose files have the names of modules. Beside it: the suite, the program, the toys' entry points."""
    folder, program, info = tmp_path / "photographs", tmp_path / "program", tmp_path / "toy_benchmark-1.0.dist-info"
    for one in (folder, program, info):
        one.mkdir()
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was run')")
    (tmp_path / "suite.toml").write_text(SUITE)
    (program / "invkit_here.py").write_text(
        "from invkit.apps.cli.main import main\nif __name__ == '__main__':\n    main()\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-benchmark\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    for name, content in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (program / name).write_text(content)
        (program / name).chmod(0o755)
    return folder


def bench(photographs: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of a case, whose job prints a line, from the folder of photographs."""
    root = photographs.parent
    paths = [str(root), str(TOYS), *(path for path in sys.path if path)]
    own = {
        **{"PYTHONPATH": os.pathsep.join(paths), "PATH": os.pathsep.join([str(root / "program"), os.environ["PATH"]])},
        **{"TOY_PRINTS": "case0", "COLUMNS": "150", "OMP_NUM_THREADS": "1"},
    }
    environment = {name: value for name, value in os.environ.items() if name not in ("INVKIT_DATA", "PYTHONSAFEPATH")}
    words = ["bench", "run", str(root / "suite.toml"), "--limit", "1", "--output", str(root / "output"), *options]
    return subprocess.run(
        [sys.executable, str(root / "program" / "invkit_here.py"), *words],
        cwd=photographs,
        env={**environment, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def assert_done(ended: subprocess.CompletedProcess[str], output: Path) -> None:
    """One job was done, and the output holds the table alone."""
    assert ended.returncode == 0, ended.stderr
    records = [json.loads(path.read_text()) for path in (output / "jobs").glob("*/result.json")]
    assert [record["status"] for record in records] == ["done"]
    assert "1 of 1 jobs done" in ended.stdout
    assert "a job prints" not in ended.stdout
    assert "of the user" not in ended.stdout + ended.stderr


def test_workers_of_this_machine(photographs: Path) -> None:
    ended = bench(photographs, "--workers", "1")
    assert_done(ended, photographs.parent / "output")
    assert "a job prints" in ended.stderr


def test_workers_from_slurm(photographs: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    ended = bench(photographs, "--slurm", "cores=1,memory=1GB")
    output = photographs.parent / "output"
    logs = "".join(path.read_text() for path in (output / "slurm").iterdir())
    assert "of the user" not in logs
    assert_done(ended, output)
    assert "a job prints" in logs
    assert "a job prints" not in ended.stderr

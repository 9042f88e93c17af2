"""The command works wherever it is started: with any file names, encodings, notebook variables and files beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invkit.datasets.synthetic import blur_image

COMMAND = "from invkit.apps.cli.main import main; main()"
MISSING_BACKENDS = ("module://matplotlib_inline.backend_inline", "module://not_installed", "no backend at all")
ENCODINGS = ("cp1252", "cp437", "ascii")
pytestmark = pytest.mark.slow

NAME = "Übung 東京 📷"
BYTES = b"\xdcbung \xff"  # Latin-1, as old cameras and archives have it
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SHADOWS = ("random", "signal", "torch", "numpy", "threading", "typing", "site", "loky")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a blurry image and its kernel."""
    kernel = np.ones((3, 3)) / 9
    sharp = np.kron(np.random.default_rng(3).uniform(size=(13, 13)), np.ones((4, 4)))
    Image.fromarray(np.uint8(np.rint(255 * blur_image(sharp[..., None], kernel)[..., 0]))).save(tmp_path / "b.png")
    np.save(tmp_path / "k.npy", kernel)
    return tmp_path


def run(place: Path, *words: str | bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A command, started in a folder as the installed program is: without that folder in the module path."""
    program = (sys.executable, "-c", f"import sys; sys.path.remove(''); {COMMAND}")
    return subprocess.run(
        [*program, *words], cwd=place, env={**os.environ, **variables}, capture_output=True, check=False, timeout=300
    )


def succeed(place: Path, *words: str | bytes, **variables: str) -> bytes:
    """The standard output of a command that succeeds without a traceback or a warning."""
    done = run(place, *words, **variables)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"warning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("encoding", ["cp437"])
def test_names_that_the_terminal_cannot_show(place: Path, encoding: str) -> None:
    (place / "b.png").rename(place / f"{NAME}.png")
    words = ["deconvolve", f"{NAME}.png", "--kernel", "k.npy", "--output", f"to {NAME}"]
    said = succeed(place, *words, PYTHONIOENCODING=encoding).decode(encoding)
    assert "see to Übung \\u6771\\u4eac \\U0001f4f7" in said
    facts = json.loads(succeed(place, *words, "--overwrite", "--json", PYTHONIOENCODING=encoding))
    assert facts["image"]["file"] == f"{NAME}.png"
    assert facts == json.loads((place / f"to {NAME}" / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("words", [("--help",), ("deblur", "--help"), ("recipe", "show", "selfdeblur")], ids=" ".join)
def test_texts_that_the_terminal_cannot_show(tmp_path: Path, encoding: str, words: tuple[str, ...]) -> None:
    assert succeed(tmp_path, *words, PYTHONIOENCODING=encoding).decode(encoding)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not Unicode")
def test_a_name_that_is_not_unicode_keeps_its_bytes(place: Path) -> None:
    os.rename(place / "b.png", os.fsencode(place) + b"/" + BYTES + b".png")  # noqa: PTH104  pathlib knows no bytes
    words = [b"deconvolve", BYTES + b".png", b"--kernel", b"k.npy", b"--observe", b"snapshots:every=2", b"-o", BYTES]
    succeed(place, *words)
    folder = place / os.fsdecode(BYTES)
    assert json.loads((folder / "result.json").read_bytes())["image"]["file"] == os.fsdecode(BYTES + b".png")
    succeed(place, b"rerun", BYTES + b"/result.json", b"--output", b"again")
    assert (place / "again" / "image.png").read_bytes() == (folder / "image.png").read_bytes()
    succeed(place, b"report", BYTES, b"--output", BYTES + b".html")
    assert (place / os.fsdecode(BYTES + b".html")).read_bytes().decode("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no ASCII locale")
def test_a_result_made_under_an_ascii_locale_is_made_again_under_another(place: Path) -> None:
    (place / "b.png").rename(place / f"{NAME}.png")
    words = ["deconvolve", f"{NAME}.png", "--kernel", "k.npy", "--output", f"to {NAME}"]
    succeed(place, *words, **ASCII_LOCALE)
    succeed(place, "rerun", f"to {NAME}/result.json", "--output", "again")
    assert (place / "again" / "image.png").read_bytes() == (place / f"to {NAME}" / "image.png").read_bytes()


def test_pictures_are_drawn_whatever_backend_a_notebook_has_set(place: Path) -> None:
    words = ["deconvolve", "b.png", "--kernel", "k.npy", "--output", "run", "--observe", "snapshots:every=2"]
    succeed(place, *words, MPLBACKEND=MISSING_BACKENDS[0])
    assert (place / "run" / "overview.png").exists()
    succeed(place, "report", "run", "--output", "page.html", MPLBACKEND=MISSING_BACKENDS[0])
    assert b"<svg" in (place / "page.html").read_bytes()
    succeed(place, "animate", "run", "--output", "moving.gif", MPLBACKEND=MISSING_BACKENDS[0])
    assert (place / "moving.gif").exists()


@pytest.mark.parametrize("backend", MISSING_BACKENDS)
def test_figures_of_benchmarks_are_drawn_whatever_backend_a_notebook_has_set(tmp_path: Path, backend: str) -> None:
    code = (
        "from pathlib import Path\nfrom invkit.benchmark.style import save_figure, styled\n"
        "with styled():\n    from matplotlib.figure import Figure\n    save_figure(Figure(), Path('figure'))"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "figure.png").exists()


def test_the_backend_of_a_program_remains_that_of_its_pyplot() -> None:
    code = (
        "from invkit.media.figures import load_matplotlib\nload_matplotlib()\n"
        "import matplotlib, os\nprint(matplotlib.get_backend(), os.environ['MPLBACKEND'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": "svg"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["svg", "svg"]


def test_workers_run_no_files_of_the_current_folder_and_print_nothing_on_the_output(tmp_path: Path) -> None:
    shadowed, script = tmp_path / "photographs", tmp_path / "program" / "asking.py"
    for folder in (shadowed, script.parent):
        folder.mkdir()
    for name in SHADOWS:
        (shadowed / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was run')")
    script.write_text(
        "import torch\n"
        "from invkit.core.runtime.workers import dismiss_workers, worker_pool\n"
        "torch.set_num_threads(2)\n"
        "with worker_pool(1, 'invkit.core.runtime.threads') as pool:\n"
        "    assert pool.number == 1\n"
        "    pool.ask(print, 'a worker prints')\n"
        "    pool.ask(eval, \"__import__('os').system('echo a library prints')\")\n"
        "dismiss_workers()\n"
        "print('{}')\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=shadowed, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr
    assert "of the user" not in done.stderr
    assert set(done.stderr.splitlines()) == {"a worker prints", "a library prints"}

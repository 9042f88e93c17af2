"""Invalid input is refused with one sentence before any compute, with exit code 2, and nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invkit.apps.cli.main import main
from invkit.core import registry


def good(folder: Path, side: int = 40) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    path = folder / "good.png"
    Image.fromarray(pixels).save(path)
    return path


def saved(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def array(folder: Path, values: np.ndarray) -> Path:
    path = folder / "array.npy"
    np.save(path, values)
    return path


def recipe(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def other_run(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "result.json").write_text("{}")
    return good(folder)


def file_in_place_of_output(folder: Path) -> Path:
    (folder / "out").write_text("a file")
    return good(folder)


RECIPE = 'name = "mine"\nimage_prior = "pixels"\nkernel_prior = "simplex"\nsolver = "joint-adam"\n'

Case = Callable[[Path], list[object]]
NETWORK = ("--recipe", "selfdeblur-small")

CASES: dict[str, tuple[Case, list[str]]] = {
    "missing file": (lambda t: [t / "nothing.png"], ["nothing.png"]),
    "a folder": (lambda t: [t], ["folder"]),
    "zero bytes": (lambda t: [saved(t, "empty.png", b"")], ["empty.png", "empty"]),
    "not an image": (lambda t: [saved(t, "words.png", b"these are words")], ["words.png"]),
    "truncated": (lambda t: [saved(t, "half.png", good(t).read_bytes()[:400])], ["half.png"]),
    "nan": (lambda t: [array(t, np.full((40, 40), np.nan))], ["NaN"]),
    "infinite": (lambda t: [array(t, np.full((40, 40), np.inf))], ["infinite"]),
    "constant": (lambda t: [array(t, np.full((40, 40), 0.5))], ["constant"]),
    "image smaller than the kernel": (lambda t: [good(t), "--kernel-size", "41"], ["41x41", "larger than the image"]),
    "kernel of no size": (lambda t: [good(t), "--kernel-size", "0"], ["positive"]),
    "kernel of negative size": (lambda t: [good(t), "--kernel-size", "7x-3"], ["positive"]),
    "kernel size that is no number": (lambda t: [good(t), "--kernel-size", "big"], ["big"]),
    "unknown recipe": (lambda t: [good(t), "--recipe", "selfdebur"], ["selfdebur", "did you mean", "selfdeblur"]),
    "unknown parameter": (
        lambda t: [good(t), *NETWORK, "--set", "kernel_prior.hiden=5"],
        ["kernel_prior.hiden", "did you mean 'kernel_prior.hidden'"],
    ),
    "parameter out of range": (
        lambda t: [good(t), *NETWORK, "--set", "solver.iterations=-1"],
        ["solver.iterations", "greater than"],
    ),
    "unknown component": (lambda t: [good(t), "--set", "image_prior=pixel"], ["'pixel'", "did you mean 'pixels'"]),
    "unknown place": (lambda t: [good(t), "--set", "kernel.params.hidden=5"], ["kernel"]),
    "setting without value": (lambda t: [good(t), "--set", "seed"], ["place=value"]),
    "recipe file missing": (lambda t: [good(t), "--recipe", t / "none.toml"], ["none.toml", "there is no file"]),
    "recipe not toml": (lambda t: [good(t), "--recipe", recipe(t, "name = ")], ["not valid TOML"]),
    "recipe of wrong type": (
        lambda t: [good(t), "--recipe", recipe(t, RECIPE + "[[regularizers]]\nname = 'tv'\nweight = 'much'\n")],
        ["regularizers.0.weight", "much"],
    ),
    "component of another family": (
        lambda t: [good(t), "--set", "kernel_prior=stray"],
        ["stray", "kernel_priors", "OperatorParameterPrior"],
    ),
    "plugin that fails to import": (
        lambda t: [good(t), "--set", "kernel_prior=broken"],
        ["broken", "brokendist", "cannot be loaded"],
    ),
    "known kernel without a kernel": (lambda t: [good(t), *NETWORK, "--set", "kernel_prior=known"], ["--kernel"]),
    "negative kernel": (
        lambda t: [good(t), "--kernel", array(t, np.array([[0.5, -0.5], [1, 0]]))],
        ["negative"],
    ),
    "no such device": (lambda t: [good(t), "--device", "cuda:77"], ["cuda:77", "--device cpu"]),
    "truth of another size": (lambda t: [array(t, np.eye(44)), "--truth", good(t)], ["truth", "same part"]),
    "output holds another run": (lambda t: [other_run(t)], ["--overwrite"]),
    "output is a file": (lambda t: [file_in_place_of_output(t)], ["out"]),
    "nothing to resume": (lambda t: [good(t), "--resume"], ["resume"]),
    "image too small for the network": (
        lambda t: [good(t, side=12), *NETWORK, "--kernel-size", "3"],
        ["at least", "scales"],
    ),
}


KERNELS: dict[str, tuple[Case, list[str]]] = {
    "no kernel": (lambda t: [good(t)], ["--kernel"]),
    "kernel file missing": (lambda t: [good(t), "--kernel", t / "k.npy"], ["k.npy", "there is no file"]),
    "all zero": (lambda t: [good(t), "--kernel", array(t, np.zeros((5, 5)))], ["zero everywhere"]),
    "nan kernel": (lambda t: [good(t), "--kernel", array(t, np.full((5, 5), np.nan))], ["NaN"]),
    "negative kernel": (lambda t: [good(t), "--kernel", array(t, np.eye(5) - 0.1)], ["negative", "clip"]),
    "larger than the image": (
        lambda t: [good(t), "--kernel", array(t, np.full((41, 3), 1 / 123))],
        ["41x3", "larger than the image"],
    ),
    "a picture in colour": (lambda t: [good(t), "--kernel", colourful(t)], ["colour", "grey"]),
    "four dimensions": (lambda t: [good(t), "--kernel", array(t, np.full((2, 1, 5, 5), 0.04))], ["(h, w)"]),
    "blind recipe": (
        lambda t: [good(t), "--kernel", array(t, np.full((5, 5), 0.04)), "--recipe", "selfdeblur"],
        ["selfdeblur is blind", "--set kernel_prior=known", "invkit deblur"],
    ),
}


def colourful(folder: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 5, 3), dtype=np.uint8)).save(folder / "k.png")
    return folder / "k.png"


@pytest.fixture(autouse=True)
def strange_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = dict(registry._installed())
    broken = registry.Entry("kernel_priors", "broken", "brokendist", "1.0", "no_such_module_at_all:Thing")
    stray = registry.Entry("kernel_priors", "stray", "straydist", "1.0", "invkit.regularizers.tv:TotalVariation")
    installed["kernel_priors"] = [*installed["kernel_priors"], broken, stray]
    monkeypatch.setattr(registry, "_installed", lambda: installed)


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse("deblur", *CASES[name], tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_refused_in_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse("deconvolve", *KERNELS[name], tmp_path, monkeypatch, capsys)


def refuse(
    command: str,
    case: Case,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = list(map(str, case(tmp_path)))
    before = snapshot(tmp_path)
    monkeypatch.setattr(sys, "argv", ["invkit", command, *arguments, "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        main()
    message = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert stop.value.code == 2
    for word in words:
        assert word in message
    assert "Traceback" not in message
    assert snapshot(tmp_path) == before, "nothing may be written"


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invkit.apps.cli.shared import Debugging
    from invkit.core.errors import InputError

    monkeypatch.setattr(Debugging, "on", False)
    monkeypatch.setattr(
        sys, "argv", ["invkit", "deblur", str(tmp_path / "no.png"), "-o", str(tmp_path / "out"), "--debug"]
    )
    with pytest.raises(InputError, match=r"no\.png"):
        main()

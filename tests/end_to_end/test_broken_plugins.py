"""Plugins that are broken in each possible way: each gives a clear message and breaks only its own use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from invkit.apps.cli.main import main

FAMILY = "kernel_priors"
MARK = "import pathlib\npathlib.Path(__file__).with_suffix('.imported').touch()\n"
SOUND = "from invkit.kernel_priors.gaussian import GaussianKernel\nclass Mine(GaussianKernel):\n    '''Sound.'''\n"
STRAY = "from invkit.regularizers.tv import TotalVariation as Mine\n"
SECONDS = 2.2  # a little more than the limit of the warning

# distribution -> the name of its component, its requirement on invkit, its module
PLUGINS = {
    "lacking": ("no-import", "", "import a_library_nobody_has\n"),
    "stray": ("wrong-class", "", STRAY),
    "twin-one": ("twin", "", SOUND),
    "twin-two": ("twin", "", SOUND),
    "old": ("outdated", "invkit<0.0.1", SOUND),
    "slow": ("sleepy", "", f"import time\ntime.sleep({SECONDS})\n{SOUND}"),
    "good": ("sound", "invkit>=0.0.1", SOUND),
}

MESSAGES = {
    "no-import": "'no-import' of lacking 1.2 cannot be loaded from lacking_module:Mine: ModuleNotFoundError: No module "
    "named 'a_library_nobody_has'",
    "wrong-class": "'wrong-class' of stray is registered in kernel_priors, but stray_module:Mine is not a subclass of "
    "invkit.core.interfaces.OperatorParameterPrior",
    "outdated": "'outdated' of old 1.2 is not loaded: it requires invkit<0.0.1, and 0.1.0 is installed; install a "
    "version",
}
TWINS = "two distributions offer the kernel_priors name 'twin'; write 'twin-one:twin' or 'twin-two:twin'"


@pytest.fixture
def site(install: Callable[..., Path]) -> Path:
    """The folder in which all plugins are installed."""
    for distribution, (name, asked, text) in PLUGINS.items():
        module = f"{distribution.replace('-', '_')}_module"
        put = install(distribution, f"[invkit.{FAMILY}]\n{name} = {module}:Mine\n", asked, **{module: MARK + text})
    return put


def invkit(site: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in another process."""
    code = "from invkit.apps.cli.main import main; main()"
    known = {**os.environ, "PYTHONPATH": str(site), **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=known, cwd=site
    )


def imported(site: Path) -> list[str]:
    """The modules of the plugins that have been imported."""
    return sorted(path.stem for path in site.glob("*.imported"))


def test_a_list_names_all_of_them_and_imports_none(site: Path) -> None:
    done = invkit(site, "list", FAMILY, "--json")
    assert done.returncode == 0, done.stderr
    listed = {(row["distribution"], row["name"]) for row in json.loads(done.stdout)}
    assert {(distribution, name) for distribution, (name, _, _) in PLUGINS.items()} <= listed
    assert ("invkit", "simplex") in listed
    assert imported(site) == []


def test_a_check_describes_the_problem_of_each_broken_plugin_only(site: Path) -> None:
    done = invkit(site, "list", FAMILY, "--check", "--json")
    assert done.returncode == 1
    problems = {row["name"]: row["problem"] for row in json.loads(done.stdout)}
    assert {name for name, problem in problems.items() if problem} == set(MESSAGES)
    for name, message in MESSAGES.items():
        assert message in problems[name]
    warnings = " ".join(done.stderr.split())
    assert warnings.count("warning: ") == 1
    assert "warning: importing 'sleepy' of slow took 2." in warnings
    assert "old_module" not in imported(site)


@pytest.mark.parametrize(("name", "expected"), [*MESSAGES.items(), ("twin", TWINS)], ids=[*MESSAGES, "twin"])
def test_the_use_of_a_broken_plugin_is_refused_in_one_sentence(
    site: Path,
    name: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert deblur(tmp_path, name, monkeypatch) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert expected in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sound", "twin-two:twin", "gaussian"])
def test_sound_components_work_beside_broken_plugins(
    site: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deblur(tmp_path, name, monkeypatch) == 0
    assert (tmp_path / "out" / "image.png").exists()


def deblur(folder: Path, kernel_prior: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a small restoration with a kernel prior."""
    np.save(folder / "photo.npy", np.random.default_rng(0).uniform(size=(20, 24)).astype(np.float32))
    words = ["deblur", folder / "photo.npy", "--recipe", "selfdeblur-small", "--kernel-size", 5, "-o", folder / "out"]
    settings = ("image_prior=pixels", "iterations=2", f"kernel_prior={kernel_prior}")
    words += [word for setting in settings for word in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_all_plugins_can_be_disabled(site: Path) -> None:
    done = invkit(site, "list", FAMILY, "--json", INVKIT_DISABLE_PLUGINS="1")
    assert {row["distribution"] for row in json.loads(done.stdout)} == {"invkit"}
    done = invkit(site, "describe", FAMILY, "sound", INVKIT_DISABLE_PLUGINS="1")
    assert done.returncode == 2
    assert "nothing named 'sound' in kernel_priors" in done.stderr
    assert imported(site) == []

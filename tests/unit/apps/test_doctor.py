"""``invkit doctor`` finds no fault in a sound installation; in others it finds the fault and names a remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from invkit.apps.cli import doctor
from invkit.apps.cli.doctor import CHECKS, Finding, examine
from invkit.apps.cli.main import app
from invkit.core import registry


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """The findings in this installation, without data."""
    sections: list[str] = []
    found = list(examine(tmp_path_factory.mktemp("data"), sections.append))
    assert sections == list(CHECKS)
    return found


def test_this_installation_works(findings: list[Finding]) -> None:
    assert [one for one in findings if one.state == "broken"] == []
    assert {one.section for one in findings} == set(CHECKS)
    assert all(one.remedy for one in findings if one.state != "ok")


def test_the_self_test_gains_what_it_should(findings: list[Finding]) -> None:
    (one,) = [one for one in findings if one.section == "self-test"]
    assert one.figures["gain_db"] > 3  # 3.5 dB on one machine; other libraries round differently


def test_absent_data_are_no_fault_and_it_says_how_to_get_them(findings: list[Finding]) -> None:
    levin = next(one for one in findings if one.name == "levin")
    assert (levin.state, levin.remedy) == ("note", "invkit data fetch levin")
    assert any(one.name == "synthetic" and one.figures["cases"] > 0 for one in findings)


def test_a_folder_that_is_not_there_yet_is_measured_where_it_would_be(tmp_path: Path) -> None:
    place = tmp_path / "not" / "yet"
    data = next(one for one in doctor.check_folders(place) if one.name == "data")
    assert data.figures["path"] == str(place)
    assert data.figures["exists"] is False
    assert data.figures["free_gb"] >= 0
    assert not place.exists()


@pytest.fixture
def only_observers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reduce the families to one, because loading all components takes seconds."""
    monkeypatch.setattr(registry, "FAMILIES", {"observers": registry.FAMILIES["observers"]})
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


def test_a_plugin_that_fails_is_named_with_the_reason(install: Callable[..., Path], only_observers: None) -> None:
    install(
        "broken-plugin",
        "[invkit.observers]\nodd = odd_module:Thing\n",
        odd_module="raise ZeroDivisionError('odd')",
    )
    found = list(doctor.check_plugins(None))
    assert any(one.name == "broken-plugin" and one.found == "1.2, 1 components" for one in found)
    (broken,) = [one for one in found if one.state == "broken"]
    assert broken.name == "broken-plugin: odd of observers"
    assert "ZeroDivisionError: odd" in broken.found
    assert "pip uninstall broken-plugin" in broken.remedy


def test_plugins_that_are_switched_off_are_mentioned(monkeypatch: pytest.MonkeyPatch, only_observers: None) -> None:
    monkeypatch.setenv("INVKIT_DISABLE_PLUGINS", "1")
    assert any(one.state == "note" for one in doctor.check_plugins(None))


def test_a_package_that_is_absent_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("invkit", "no-such-package"))
    states = {one.name: one.state for one in doctor.check_versions(None)}
    assert (states["invkit"], states["no-such-package"]) == ("ok", "broken")


def test_a_self_test_that_gains_too_little_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_GAIN", math.inf)
    (one,) = doctor.self_test(None)
    assert one.state == "broken"
    assert "please report" in one.remedy


def fine(data: Path | None) -> Iterator[Finding]:
    yield Finding("fine", "it", "[red]as it should be", figures={"number": 3})


def failing(data: Path | None) -> Iterator[Finding]:
    raise OSError("nothing can be read")
    yield


def test_what_fails_is_a_finding_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"fine": fine, "odd": failing})
    done = invoke()
    assert done.exit_code == 1
    assert "[red]as it should be" in done.output
    assert "OSError: nothing can be read" in done.output
    assert "1 broken" in done.output


def test_json_for_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"fine": fine})
    done = invoke("--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["works"] is True
    assert report["findings"][0]["figures"] == {"number": 3}
    monkeypatch.setattr(doctor, "CHECKS", {"odd": failing})
    done = invoke("--json")
    assert (done.exit_code, json.loads(done.stdout)["works"]) == (1, False)

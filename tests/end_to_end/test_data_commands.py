"""``invkit data`` from the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from invkit.apps.cli.main import app
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.datasets.folder import Folder
from invkit.datasets.lai import Lai
from invkit.datasets.levin import Levin
from invkit.datasets.synthetic import Synthetic


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    components = {"levin": Levin, "lai": Lai, "folder": Folder, "synthetic": Synthetic}
    for name, component in components.items():
        registry.register("datasets", name, component, replace=True)
    yield
    for name in components:
        registry.unregister("datasets", name)


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["data", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def rows(folder: Path) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(run("list", "--json", "--data", folder))}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def mirror(data_root: Path) -> Iterator[str]:
    """The files of the set that is here, from a server of this machine."""
    handler = partial(Quiet, directory=str(data_root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_levin_is_fetched_listed_and_found(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [replace(source, url=f"{mirror}/levin/{source.path}") for source in Levin.dataset_files()]
    monkeypatch.setattr(Levin, "dataset_files", classmethod(lambda cls: sources))
    assert rows(tmp_path)["levin"]["where"] == "absent: invkit data fetch levin"
    said = run("fetch", "levin", "--data", tmp_path)
    assert "204 files fetched" in said
    assert "Please cite: A. Levin" in said
    listed = rows(tmp_path)["levin"]
    assert (listed["cases"], listed["where"]) == (32, str(tmp_path / "levin"))
    assert run("where", "levin", "--data", tmp_path).strip() == str(tmp_path / "levin")
    assert "all 204 files are already present" in run("fetch", "levin", "--data", tmp_path)
    assert len(Levin(tmp_path).cases()) == 32


def test_lai_is_taken_from_ones_own_download_only(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"125 files of 'lai' cannot be fetched automatically\. .*OneDrive.*--from FOLDER"
    ):
        run("fetch", "lai", "--data", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "125 files fetched" in run("fetch", "lai", "--data", tmp_path, "--from", data_root)
    assert rows(tmp_path)["lai"]["cases"] == 100


def test_the_table_says_what_each_dataset_needs(tmp_path: Path) -> None:
    listed = rows(tmp_path)
    assert listed["folder"]["where"] == "set path"
    assert (listed["synthetic"]["cases"], listed["synthetic"]["where"]) == (4, "ready")
    assert all(row["licence"] for row in listed.values())
    table = run("list", "--data", tmp_path)
    assert "synthetic" in table
    assert "absent" in table


def test_a_dataset_that_cannot_be_loaded_does_not_spoil_the_table(tmp_path: Path) -> None:
    registry.register("datasets", "broken", int)
    try:
        assert "is not a subclass" in rows(tmp_path)["broken"]["title"]
    finally:
        registry.unregister("datasets", "broken")


def test_where_follows_the_option_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVKIT_DATA", str(tmp_path / "named"))
    assert run("where").strip() == str(tmp_path / "named")
    assert run("where", "--data", tmp_path).strip() == str(tmp_path)
    with pytest.raises(InputError, match="no files to fetch"):
        run("where", "synthetic")


def test_a_fetch_that_is_stopped_says_that_complete_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("invkit.datasets.fetching.fetch_in_parallel", interrupted)
    result = CliRunner().invoke(app, ["data", "fetch", "levin", "--data", str(tmp_path)])
    assert result.exit_code == 130
    assert "run the same command again" in result.output
    assert list(tmp_path.iterdir()) == []

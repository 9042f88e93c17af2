"""A run replaces another wholly or not at all, wherever the process is killed, and no two runs write to one folder."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from invkit.core.errors import InputError
from invkit.media.run_folder import (
    CHECKPOINT,
    RUN_FILES,
    SNAPSHOT_FOLDER,
    SUMMARY,
    is_settled,
    locked_folder,
    made_folder,
    replace_run,
    run_files,
    working_folder,
    write_results,
)

OLD = {"image.png": "old", "image-2.png": "old", "kernel.npy": "old", SUMMARY: "old"}
NEW = {"image.png": "new", "kernel.npy": "new", "photograph.png": "new", SUMMARY: "new"}
OLD_PICTURE, NEW_PICTURE = "01-00005-image.png", "01-00007-image.png"
CHANGES = ("replace", "unlink", "rmdir", "mkdir")  # all by which the code changes a folder


class Killed(BaseException):
    """The process was killed."""


def content(folder: Path) -> dict[str, str]:
    """The texts of all files in and below a folder, by their paths."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path) -> set[str]:
    """The names in a folder."""
    return {path.name for path in folder.iterdir()}


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    """Write a run."""
    with locked_folder(folder):
        write_results(folder, ((name, text.encode()) for name, text in texts.items()))


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], bool]:
    """From now on, change no folder after so many changes; the result tells whether it came to that."""
    steps = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def perform(self: Path, *args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > step:
                raise Killed
            return change(self, *args, **kwargs)

        return perform

    for name in CHANGES:
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # a killed process does not tidy up
    return lambda: steps > step


def test_a_run_killed_at_any_step_leaves_the_older_result_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = set()
    for step in range(200):
        folder = tmp_path / str(step)
        write_texts(folder, OLD)
        (folder / "notes.txt").write_text("mine")
        (folder / SNAPSHOT_FOLDER).mkdir()
        (folder / SNAPSHOT_FOLDER / OLD_PICTURE).write_text("old")
        with monkeypatch.context() as patch:
            was_killed = killed_at(patch, step)
            with suppress(Killed):
                replace(folder)
            killed = was_killed()
        if SUMMARY in (before := content(folder)):
            run = {name: text for name, text in before.items() if name in {*OLD, *NEW}}
            assert run in (OLD, NEW), "a folder with result.json holds a whole run"
        with locked_folder(folder):
            pass  # what the next command does
        assert is_settled(folder)
        after = content(folder)
        hidden = {name: after.pop(name) for name in list(after) if name.startswith(".")}
        assert all(name.startswith(".replacing/") for name in hidden), hidden
        old = OLD | {"notes.txt": "mine", f"{SNAPSHOT_FOLDER}/{OLD_PICTURE}": "old"}
        new = NEW | {"notes.txt": "mine", f"{SNAPSHOT_FOLDER}/{NEW_PICTURE}": "new"}
        after.pop(CHECKPOINT, None)
        assert after in (old, new)
        ends.add(after == new)
        if not killed:
            assert after == new
            assert not hidden
            break
    else:
        pytest.fail("the run never came to its end")
    assert ends == {False, True}
    assert step > 15


def replace(folder: Path) -> None:
    """What the command does with --overwrite."""
    with locked_folder(folder):
        working = working_folder(folder, overwrite=True, resume=False)
        assert working != folder
        with made_folder(working, resume=False):
            (working / SNAPSHOT_FOLDER / NEW_PICTURE).write_text("new")
            (working / CHECKPOINT).write_text("new")
            write_results(working, ((name, text.encode()) for name, text in NEW.items()))
            replace_run(folder, working)


def test_a_run_that_replaces_another_is_resumed_where_it_works(tmp_path: Path) -> None:
    write_texts(tmp_path, OLD)
    (tmp_path / CHECKPOINT).write_text("old")
    working = working_folder(tmp_path, overwrite=True, resume=False)
    with locked_folder(tmp_path), made_folder(working, resume=False):
        (working / CHECKPOINT).write_text("new")
    assert working_folder(tmp_path, overwrite=False, resume=True) == working
    assert content(tmp_path) == {**OLD, CHECKPOINT: "old", ".replacing/checkpoint.pt": "new"}
    with locked_folder(tmp_path), made_folder(working, resume=True):
        assert (working / CHECKPOINT).read_text() == "new"


def test_a_run_that_fails_leaves_the_older_run_alone(tmp_path: Path) -> None:
    write_texts(tmp_path, OLD)
    working = working_folder(tmp_path, overwrite=True, resume=False)
    with pytest.raises(FileNotFoundError), locked_folder(tmp_path), made_folder(working, resume=False):
        (working / "missing" / OLD_PICTURE).write_text("an observer fails")
    assert content(tmp_path) == OLD
    assert not working.exists()


def test_what_was_written_before_an_error_stays_where_no_older_result_is(tmp_path: Path) -> None:
    def contents() -> Any:
        yield "image.png", b"new"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"), locked_folder(tmp_path):
        write_results(tmp_path, contents())
    assert content(tmp_path) == {"image.png": "new"}


def test_a_second_process_is_locked_out_and_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from invkit.media.run_folder import locked_folder\n"
        "with locked_folder(Path(sys.argv[1])):\n    print('locked', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(InputError, match=r"another process is writing a run to .*wait for it, or choose another"),
            locked_folder(tmp_path),
        ):
            pytest.fail("two processes write to one folder")
    finally:
        process.kill()
        process.communicate()
    with locked_folder(tmp_path):
        assert names(tmp_path) == {".lock"}
    assert names(tmp_path) == set()


def test_a_new_folder_in_which_nothing_is_written_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked_folder(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert not (tmp_path / "a" / "b").exists()


def test_the_files_of_a_run_and_of_a_batch_are_known(tmp_path: Path) -> None:
    numbered = ("image-2.png", "image-10.npy", "kernel-3.png", "operator_parameter-2.png")
    others = ("image-1.png", "image-02.png", "kernel-2.npy", "overview-2.png", "result-2.json", "imageXpng", "a.png")
    for name in (*RUN_FILES, *numbered, *others):
        (tmp_path / name).touch()
    assert run_files(tmp_path) == sorted([*RUN_FILES, *numbered])

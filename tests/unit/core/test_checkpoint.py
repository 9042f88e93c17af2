"""A checkpoint continues its own run and no other, is whole or absent, and its failure costs no result."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from narrow import tensor

from invkit.core.errors import DivergedError, InputError, OutOfMemoryError
from invkit.core.files import write_atomically
from invkit.core.observers import checkpoint
from invkit.core.observers.checkpoint import Checkpointer, describe_run, load_checkpoint
from invkit.core.problem import Problem
from invkit.core.solver import Observer, State, StopReason
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import JointAdam
from invkit.testing.solvers import FailingSolver, TrialError

DATA = torch.rand(1, 1, 8, 9, generator=torch.Generator().manual_seed(0))
RECIPE = {
    "name": "mine",
    "title": "words",
    "image_prior": {"name": "pixels", "params": {"start": "data"}},
    "regularizers": [{"name": "tv", "weight": 1e-6, "params": {}}],
    "solver": {"name": "joint-adam", "params": {"iterations": 1000, "betas": (0.9, 0.99)}},
}
RUN = describe_run(RECIPE, DATA, None, {"seed": 0, "kernel_size": (3, 3), "sigma": None})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def problem() -> Problem:
    shape, kernel = (1, 1, 10, 11), (1, 1, 3, 3)
    return Problem(DATA, Convolution(), Pixels(shape, DATA), SimplexKernel(kernel), MSE())


def solver(iterations: int = 8) -> JointAdam:
    return JointAdam(iterations=iterations, milestones=())


class At(Observer):
    """Does something after one step."""

    def __init__(self, iteration: int, action: Callable[[State], object]) -> None:
        self.iteration, self.action = iteration, action

    def stepped(self, problem: Problem, state: State) -> None:
        if state.iteration == self.iteration:
            self.action(state)


def written(path: Path, run: Mapping[str, Any] = RUN, every: float = 0.0, iterations: int = 8) -> Any:
    """A file in which the state after every step was saved."""
    solver(iterations).solve(problem(), observers=[Checkpointer(path, run, every)])
    return torch.load(path, weights_only=True)


def rewritten(path: Path, **changes: Any) -> None:
    """The file with other parts; None takes one away."""
    saved = {**torch.load(path, weights_only=True), **changes}
    torch.save({part: value for part, value in saved.items() if value is not None}, path)


# When it is written


def test_a_state_that_was_saved_on_the_way_continues_to_the_same_bits(path: Path) -> None:
    kept: list[bytes] = []
    keep = At(3, lambda state: kept.append(path.read_bytes()))
    whole = solver().solve(problem(), observers=[Checkpointer(path, RUN, 0.0), keep])
    path.write_bytes(kept[0])
    state = load_checkpoint(path, RUN, "cpu")
    assert state["iteration"] == 3
    resumed = solver().solve(problem(), resume=state)
    assert resumed.history == whole.history
    assert torch.equal(tensor(resumed.image), tensor(whole.image))
    assert torch.equal(tensor(resumed.kernel), tensor(whole.kernel))


def test_a_run_that_comes_to_its_end_leaves_nothing_to_resume(path: Path) -> None:
    assert solver().solve(problem(), observers=[Checkpointer(path, RUN)]).stopped == "finished"
    assert not path.exists()


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("interrupted", True),
        ("time limit", True),
        ("observer", True),
        ("finished", False),
        ("converged", False),
        (None, False),
    ],
)
def test_what_can_be_continued_is_kept_at_the_stop(path: Path, reason: StopReason | None, kept: bool) -> None:
    state = solver().start(problem())
    Checkpointer(path, RUN).stopped(problem(), state, reason)
    assert path.exists() == kept


def test_an_extendable_run_is_kept_at_its_end_and_may_only_grow(path: Path) -> None:
    def run_of(iterations: int) -> dict[str, Any]:
        return {"recipe": {"solver": {"name": "joint-adam", "params": {"iterations": iterations, "lr": 0.1}}}}

    solver(4).solve(problem(), observers=[Checkpointer(path, run_of(4), at_end=True)])
    extended = solver(7).solve(problem(), resume=load_checkpoint(path, run_of(7)))
    assert extended.history == solver(7).solve(problem()).history
    with pytest.raises(InputError, match="iterations=4, now 3"):
        load_checkpoint(path, run_of(3))
    other = {"recipe": {"solver": {"name": "joint-adam", "params": {"iterations": 7, "lr": 0.2}}}}
    with pytest.raises(InputError, match=r"lr=0\.1, now 0\.2"):
        load_checkpoint(path, other)


def test_a_time_limit_keeps_the_state(path: Path) -> None:
    result = solver(10**6).solve(problem(), observers=[Checkpointer(path, RUN)], time_limit=0.05)
    assert load_checkpoint(path, RUN)["iteration"] == result.iterations


def test_half_a_step_is_not_written(path: Path) -> None:
    with pytest.raises(TrialError):
        FailingSolver(solver()).solve(problem(), observers=[Checkpointer(path, RUN)])
    assert not path.exists()


def test_a_diverged_state_does_not_replace_a_good_one(path: Path) -> None:
    def diverge(state: State) -> None:
        state.losses[-1] = torch.tensor(float("nan"))

    last = At(8, diverge)
    with pytest.raises(DivergedError):
        solver().solve(problem(), observers=[last, Checkpointer(path, RUN, 0.0)])
    assert load_checkpoint(path, RUN)["iteration"] == 7


def test_it_waits_between_two_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    writes: list[float] = []
    monkeypatch.setattr("invkit.core.observers.checkpoint.time.monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "write_atomically", lambda path, content: writes.append(now[0]))
    posed, state, saver = problem(), solver().start(problem()), Checkpointer(path, RUN, 30.0)
    saver.started(posed, state, 8)
    for moment in (10.0, 29.0, 30.0, 59.0, 61.0, 90.0, 91.0):
        now[0] = moment
        saver.stepped(posed, state)
    assert writes == [30.0, 61.0, 91.0]


# When it cannot be written


def test_a_full_disk_costs_no_result_and_is_told_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, iterations=2)
    good = path.read_bytes()

    def full(handle: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    saver = Checkpointer(path, RUN, 0.0)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match=r"checkpoint\.pt could not be written \(No space left.*goes on") as told:
        result = solver().solve(problem(), observers=[saver])
    assert (result.stopped, result.iterations, len(told)) == ("finished", 8, 1)
    assert isinstance(saver.failure, OSError)
    assert saver.failure.errno == 28
    assert path.read_bytes() == good
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_it_tries_again_at_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | MemoryError
) -> None:
    tried: list[tuple[Any, ...]] = []

    def once(*arguments: Any) -> None:
        tried.append(arguments)
        if len(tried) == 1:
            raise error
        write_atomically(*arguments)

    monkeypatch.setattr(checkpoint, "write_atomically", once)
    saver = Checkpointer(path, RUN, 0.0)
    with pytest.warns(RuntimeWarning, match="could not be written"):
        solver().solve(problem(), observers=[saver])
    assert len(tried) == 8
    assert saver.failure is None
    assert load_checkpoint(path, RUN)["iteration"] == 8


def test_a_folder_that_vanished_costs_no_result(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="No such file"):
        result = solver().solve(problem(), observers=[Checkpointer(tmp_path / "gone" / "c.pt", RUN, 0.0)])
    assert result.stopped == "finished"


# Whose it is


def described(
    data: torch.Tensor = DATA,
    kernel: torch.Tensor | None = None,
    settings: Mapping[str, Any] | None = None,
    **places: Any,
) -> dict[str, Any]:
    recipe = {**RECIPE, **places}
    return describe_run(recipe, data, kernel, {"seed": 0, "kernel_size": (3, 3), "sigma": None, **(settings or {})})


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            described(solver={"name": "joint-adam", "params": {"iterations": 500, "betas": (0.9, 0.99)}}),
            r"made with solver\.iterations=1000, now 500;",
        ),
        (
            described(solver={"name": "joint-adam", "params": {"iterations": 1000, "betas": (0.9, 0.9)}}),
            r"solver\.betas\.1=0\.99, now 0\.9",
        ),
        (
            described(image_prior={"name": "dip-skip", "params": {"channels": 8}}),
            r"with image_prior\.name=pixels, now dip-skip;",  # and no word of their parameters
        ),
        (described(regularizers=[]), r"regularizers=\[tv\], now \[\]"),
        (
            described(regularizers=[{"name": "tv", "weight": 1.0, "params": {}}]),
            r"regularizers\.0\.weight=1e-06, now 1\.0",
        ),
        (described(name="other", solver="x"), "with recipe=mine, now other"),
        (described(data=DATA * 0.5), "made with another image"),
        (described(data=DATA.double()), "made with another image"),
        (described(data=DATA.reshape(1, 1, 9, 8)), "made with another image"),
        (described(kernel=DATA), "made with another kernel"),
        (described(settings={"seed": 1, "sigma": 0.01}), r"seed=0, now 1; sigma=none, now 0\.01"),
        (described(settings={"kernel_size": [3, 5]}), r"kernel_size\.1=3, now 5"),
        (described(settings=dict.fromkeys("abcdef", 1)), r"a=none.*d=none, now 1 and 2 more"),
        ({"name": "an own run"}, "name=none, now an own run"),
    ],
)
def test_another_run_is_refused_by_what_differs(path: Path, run: dict[str, Any], words: str) -> None:
    written(path)
    with pytest.raises(InputError, match=words) as caught:
        load_checkpoint(path, run)
    assert str(path) in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "run", [described(), described(title="other words", notes="more"), described(settings={"kernel_size": [3, 3]})]
)
def test_the_same_run_is_taken(path: Path, run: dict[str, Any]) -> None:
    written(path)
    assert load_checkpoint(path, run)["iteration"] == 8


def test_a_kernel_counts_by_its_values() -> None:
    assert described(kernel=DATA) == described(kernel=DATA.clone().requires_grad_())
    assert described(kernel=DATA) != described(kernel=DATA.flip(-1))


def test_any_json_like_description_serves(path: Path) -> None:
    written(path, run={"name": "my run"})
    assert load_checkpoint(path, {"name": "my run"})["iteration"] == 8


# What the bits depend on


@pytest.mark.parametrize(
    ("name", "value"), [("invkit", "0.0.1"), ("torch", "1.0"), ("threads", 999), ("device", "cuda (NVIDIA X)")]
)
def test_other_circumstances_are_told(path: Path, name: str, value: str | int) -> None:
    saved = written(path)
    rewritten(path, made_with={**saved["made_with"], name: value})
    with pytest.warns(RuntimeWarning) as told:
        state = load_checkpoint(path, RUN, "cpu")
    assert state["iteration"] == 8
    (one,) = told
    assert f"{name} {value}, now " in str(one.message)
    assert "same bits" in str(one.message)


def test_no_device_is_compared_where_none_is_given(path: Path) -> None:
    saved = written(path)
    assert saved["made_with"]["device"].startswith("cpu")
    rewritten(path, made_with={**saved["made_with"], "device": "cuda (NVIDIA X)"})
    assert load_checkpoint(path, RUN)["iteration"] == 8  # a warning would be an error here


# What is no checkpoint


def packed(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("notes.txt", "notes")
    return buffer.getvalue()


NO_CHECKPOINT = {
    "empty": b"",
    "text": b"these are words\n" * 9,
    "garbage": bytes(range(256)) * 9,
    "zeros": bytes(4096),
    "pickle": pickle.dumps({"format": 2}),
    "code": pickle.dumps(Path("x")),
    "saved code": packed({"format": 2, "run": Path("x")}),
    "archive": archive(),
    "tensor": packed(DATA),
}


def refusal(path: Path, error: type[Exception] = InputError) -> str:
    """The message; a warning would be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as caught:
            load_checkpoint(path, RUN)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    for foreign in ("weights_only", "PyTorch", "pickle", "zip", "bug"):
        assert foreign not in said
    return said


@pytest.mark.parametrize("case", NO_CHECKPOINT)
def test_what_is_no_checkpoint_is_refused_in_our_own_words(path: Path, case: str) -> None:
    path.write_bytes(NO_CHECKPOINT[case])
    assert "is no checkpoint, or a damaged one" in refusal(path)


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(path: Path, part: float) -> None:
    written(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "is no checkpoint, or a damaged one" in refusal(path)


@pytest.mark.parametrize("lost", ["run", "made_with", "state"])
@pytest.mark.parametrize("instead", [None, 3])
def test_a_checkpoint_without_one_of_its_parts_is_refused(path: Path, lost: str, instead: int | None) -> None:
    written(path)
    rewritten(path, **{lost: instead})
    assert "lacks parts" in refusal(path)


@pytest.mark.parametrize("lost", ["iteration", "losses", "converged", "seconds"])
def test_a_state_without_what_every_state_has_is_refused(path: Path, lost: str) -> None:
    state = dict(written(path)["state"])
    del state[lost]
    rewritten(path, state=state)
    assert "lacks parts" in refusal(path)


def compressed(content: bytes) -> bytes:
    """The same archive, its parts compressed, and one of them followed by a million zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(10**6 * name.endswith("data/0")))
    return buffer.getvalue()


def test_a_file_is_never_larger_in_memory_than_on_the_disk(path: Path) -> None:
    written(path)
    path.write_bytes(compressed(path.read_bytes()))
    assert "is no checkpoint, or a damaged one" in refusal(path)
    state = dict(written(path)["state"])
    rewritten(path, state={**state, "losses": torch.zeros(1).expand(10**6, 10**6)})
    assert "is no checkpoint, or a damaged one" in refusal(path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("iteration", "many"),
        ("losses", torch.zeros(2, 3)),
        ("losses", 7),
        ("image_prior", {"free": torch.zeros(2, 2)}),
        ("kernel_prior", {}),
        ("optimizer", {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}}),
        ("optimizer", {9: {}}),
        ("generator", torch.zeros(3)),
        ("average", [[1]]),
    ],
)
def test_a_state_of_another_form_is_refused(path: Path, part: str, value: Any) -> None:
    """Moments of another size would make the fused Adam write beyond its memory."""
    written(path)
    state = {**load_checkpoint(path, RUN), part: value}
    with pytest.raises(InputError, match=r"the saved state does not fit this run .* start anew"):
        solver().solve(problem(), resume=state)


@pytest.mark.parametrize("form", [None, 1, 3, "2"])
def test_another_format_is_refused(path: Path, form: int | str | None) -> None:
    written(path)
    rewritten(path, format=form)
    assert "another version of invkit" in refusal(path)


def test_a_missing_file_and_a_folder(path: Path) -> None:
    assert "nothing to resume" in refusal(path)
    path.mkdir()
    assert "is a folder" in refusal(path)


def test_a_file_that_memory_does_not_hold(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)

    def exhausted(*arguments: Any, **options: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(torch, "load", exhausted)
    assert "does not fit in memory" in refusal(path, OutOfMemoryError)

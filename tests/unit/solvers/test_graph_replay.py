"""Solves whose steps are replayed from a graph, emulated on the CPU: they are the plain solves, to the bit."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import pytest
import torch

from invkit.core import registry
from invkit.core.errors import AssemblyError
from invkit.core.interfaces import ImagePrior
from invkit.core.observers.snapshots import Snapshots
from invkit.core.problem import Problem, Term
from invkit.core.result import Result
from invkit.core.solver import Observer, Solver, State, StateT
from invkit.fidelities.norms import MSE
from invkit.fidelities.schedule import Schedule
from invkit.fidelities.ssim import SSIM
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.operators.convolution import Convolution
from invkit.pipeline.assemble import assemble
from invkit.recipes.model import load_recipe
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import AdamSolver, AlternatingAdam, JointAdam, is_look_due
from invkit.solvers.graph_replay import GRAPHS, PLAIN_STEPS_BEFORE_GRAPH, Execution, Replay
from invkit.solvers.host_access import HostAccess
from invkit.solvers.pyramid import Pyramid
from invkit.testing import RecordedGraph, emulated_graphs

SOLVERS = [JointAdam, AlternatingAdam]
EXECUTIONS: tuple[Execution, ...] = ("plain", "graph")
STEPS = 30
T = TypeVar("T")
CPU = torch.device("cpu")


class Counted(RecordedGraph):
    """Counts."""

    recordings: ClassVar[int]
    replays: ClassVar[int]

    def record(self, work: Callable[[], T], generator: torch.Generator) -> T:
        Counted.recordings += 1
        return super().record(work, generator)

    def replay(self) -> None:
        Counted.replays += 1
        super().replay()


@pytest.fixture
def graphs() -> Iterator[type[Counted]]:
    """Solves on the CPU replay their steps."""
    Counted.recordings = Counted.replays = 0
    with emulated_graphs(graph=Counted):
        yield Counted


def problem(fidelity: MSE | None = None, batch: int = 1, prior: Callable[..., ImagePrior] = DipSkipImage) -> Problem:
    operator, data = Convolution(), torch.rand(batch, 1, 24, 22, generator=torch.Generator().manual_seed(1))
    return Problem(
        data=data,
        operator=operator,
        image_prior=prior((batch, 1, 28, 27), channels=4, skip_channels=2, scales=2),
        kernel_prior=SoftmaxFCN((batch, 1, 5, 6), hidden=12, latent_size=4),
        fidelity=fidelity or Schedule([(MSE(), 11), (SSIM(), None)]),
        regularizers=[Term(TotalVariation(), 0.01)],
    )


def same(one: Result, other: Result) -> bool:
    return one.history == other.history and all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in ((one.image, other.image), (one.kernel, other.kernel))
    )


def run(solver: Solver[StateT], of: Problem, state: StateT, steps: int) -> StateT:
    for _ in range(steps):
        state = solver.step(of, state)
        state.iteration += 1
    return state


SETTINGS = [
    pytest.param({}, id="perturbed"),
    pytest.param({"milestones": (5, 15, 16), "decay": 0.3}, id="milestones"),
    pytest.param({"ema": 0.8}, id="average"),
    pytest.param({"precision": "bfloat16"}, id="bfloat16"),
    pytest.param({"perturbation": 0.0, "milestones": (13,), "ema": 0.5, "early_stop": 3}, id="early stop"),
]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_replayed_solve_is_the_plain_one(
    solver: type[AdamSolver], settings: dict[str, Any], batch: int, graphs: type[Counted]
) -> None:
    settings = {"iterations": STEPS, "perturbation": 0.02, "kernel_lr": 1e-2, "seed": 5} | settings
    of = problem(batch=batch)
    plain, replayed = (solver(execution=each, **settings).solve(of) for each in EXECUTIONS)
    assert same(plain, replayed)
    assert len({*replayed.history}) == STEPS  # no loss stands in for others
    assert (graphs.recordings, graphs.replays) == (
        2,
        STEPS - 2 * PLAIN_STEPS_BEFORE_GRAPH,
    )  # one for each of the two fidelities


@pytest.mark.parametrize("before", [1, PLAIN_STEPS_BEFORE_GRAPH + 1, 12, 20])
@pytest.mark.parametrize("solver", SOLVERS)
def test_resumed_between_replays_it_goes_on_to_the_same_bits(
    solver: type[AdamSolver], before: int, graphs: type[Counted]
) -> None:
    of = problem()
    settings: dict[str, Any] = {"iterations": STEPS, "milestones": (7, 14), "ema": 0.7, "perturbation": 0.02}
    plain = solver(execution="plain", **settings).solve(of)
    method = solver(execution="graph", **settings)
    file = io.BytesIO()
    torch.save(run(method, of, method.start(of), before).state_dict(), file)
    file.seek(0)
    assert same(plain, method.solve(of, resume=torch.load(file, weights_only=True)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_loaded_into_a_run_that_replays_it_takes_over(solver: type[AdamSolver], graphs: type[Counted]) -> None:
    """The graph of the run reads tensors that loading has replaced."""
    of, method = problem(), solver(execution="graph")
    state = run(method, of, method.start(of), 6)
    saved = state.state_dict()
    straight = run(method, of, state, 10).estimate()
    state.load_state_dict(saved)
    again = run(method, of, state, 10).estimate()
    assert all(torch.equal(one, other) for one, other in zip(straight, again, strict=True))


def test_the_random_numbers_go_on_after_replays(graphs: type[Counted]) -> None:
    of, solvers = problem(MSE()), [JointAdam(execution=each, perturbation=0.1) for each in ("plain", "graph")]
    plain, replayed = (run(solver, of, solver.start(of), 9).state_dict() for solver in solvers)
    assert torch.equal(plain["generator"], replayed["generator"])
    assert not any(name in replayed for name in ("replay", "graph"))


class Reader(Observer):
    """Reads all of the state after every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, float, Any]] = []

    def stepped(self, problem: Problem, state: State) -> None:
        image, kernel = state.estimate()
        self.seen.append((state.loss, float(image.sum()), float(kernel.square().sum()), state.state_dict()["average"]))


def test_observers_see_what_they_see_of_a_plain_solve(graphs: type[Counted]) -> None:
    of, readers = problem(), (Reader(), Reader())
    for reader, execution in zip(readers, EXECUTIONS, strict=True):
        JointAdam(iterations=STEPS, execution=execution, ema=0.9).solve(of, observers=[reader, Snapshots(7)])
    plain, replayed = (reader.seen for reader in readers)
    assert [each[:3] for each in plain] == [each[:3] for each in replayed]
    assert all(torch.equal(a[3][0], b[3][0]) for a, b in zip(plain, replayed, strict=True))


def test_a_pyramid_replays_each_of_its_levels(graphs: type[Counted]) -> None:
    of = problem(MSE(), prior=lambda shape, **_: DipSkipImage(shape, channels=4, skip_channels=2, scales=1))
    plain, replayed = (
        Pyramid(inner=JointAdam(iterations=6, execution=each), min_kernel_size=3, ratio=0.8).solve(of)
        for each in ("plain", "graph")
    )
    assert same(plain, replayed)
    assert graphs.recordings == len(plain.history) // 6 > 1


def test_auto_replays_where_there_are_graphs_and_a_copy_begins_anew(graphs: type[Counted]) -> None:
    of, solver = problem(MSE()), JointAdam()
    state = run(solver, of, solver.start(of), PLAIN_STEPS_BEFORE_GRAPH + 1)
    assert graphs.replays == 1
    for copied in (copy.deepcopy(state.replay), pickle.loads(pickle.dumps(state.replay))):
        assert (copied.execution, copied.device, copied.graph) == ("auto", CPU, None)
    assert GRAPHS["cpu"] is graphs


def test_without_graphs_auto_is_plain_and_graph_is_refused() -> None:
    of = problem(MSE())
    assert JointAdam(iterations=2).solve(of).iterations == 2
    with pytest.raises(
        AssemblyError, match=r"needs a device that replays graphs \(cuda\), .* on cpu; use execution auto"
    ):
        JointAdam(iterations=2, execution="graph").solve(of)


class Hesitant(MSE):
    """Waits for the device."""

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return super().forward(predicted, data) * (1.0 if float(predicted.detach().sum()) < 0 else 0.5)


class Impossible(RecordedGraph):
    """Has begun to record when it fails, as where memory runs out."""

    def record(self, work: Callable[[], T], generator: torch.Generator) -> T:
        super().record(work, generator)
        raise RuntimeError("out of memory")


def test_a_step_that_waits_goes_on_plainly_with_a_warning_that_says_where(graphs: type[Counted]) -> None:
    of = problem(Hesitant())
    plain = JointAdam(iterations=STEPS, execution="plain").solve(of)
    with pytest.warns(
        RuntimeWarning, match=r"_local_scalar_dense in test_graph_replay.py, line \d+; the solve continues step"
    ):
        replayed = JointAdam(iterations=STEPS).solve(of)
    assert same(plain, replayed)
    assert graphs.recordings == 0
    with pytest.raises(AssemblyError, match="cannot be recorded as a graph: it waits for the device"):
        JointAdam(iterations=STEPS, execution="graph").solve(of)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_recording_that_fails_leaves_the_plain_solve(solver: type[AdamSolver]) -> None:
    of = problem(MSE())
    plain = solver(iterations=STEPS, execution="plain").solve(of)
    with emulated_graphs(graph=Impossible):
        with pytest.warns(RuntimeWarning, match="recording it failed: out of memory; the solve continues step by step"):
            replayed = solver(iterations=STEPS).solve(of)
        with pytest.raises(AssemblyError, match="recording it failed: out of memory; use execution=plain"):
            solver(iterations=STEPS, execution="graph").solve(of)
    assert same(plain, replayed)


def test_what_an_early_stop_has_chosen_stays_though_it_is_looked_up_later() -> None:
    of = problem(MSE())
    solver = JointAdam(iterations=200, early_stop=1, image_lr=0.5, perturbation=0.0)
    stopped = solver.solve(of)
    assert stopped.stopped == "converged"
    later = run(solver, of, solver.start(of), stopped.iterations + 20).estimate()
    assert torch.equal(later[0], torch.as_tensor(stopped.image))
    assert torch.equal(later[1], torch.as_tensor(stopped.kernel))


def test_an_early_stop_is_looked_up_where_waiting_costs_nothing_now_and_then_and_in_the_end() -> None:
    assert all(is_look_due(iteration, 60, CPU) for iteration in range(60))
    looked = [iteration for iteration in range(60) if is_look_due(iteration, 60, torch.device("cuda"))]
    assert looked == [24, 49, 59]


def adam_recipes() -> list[str]:
    return [
        f"{each.distribution}:{each.name}"
        for each in registry.entries("recipes")
        if issubclass(registry.load("solvers", load_recipe(f"{each.distribution}:{each.name}").solver.name), AdamSolver)
    ]


@pytest.mark.parametrize("name", adam_recipes())
def test_a_steady_step_of_a_recipe_never_waits(name: str) -> None:
    recipe = load_recipe(name)
    if "channels" in recipe.image_prior.params:
        recipe = recipe.with_overrides(["image_prior.params.channels=8"])
    known = {"known": torch.rand(1, 1, 9, 9), "known-mask": torch.ones(1, 1, 70, 72)}
    kernel = None if recipe.kernel_prior is None else known.get(recipe.kernel_prior.name)
    data = torch.rand(1, 3 if name.endswith("dehaze") else 1, 70, 72, generator=torch.Generator().manual_seed(0))
    assembly = assemble(recipe, data, (9, 9), kernel=kernel, sigma=0.01)
    solver, of = assembly.solver, assembly.problem
    state = run(solver, of, solver.start(of), 1)
    with HostAccess(CPU) as watch:
        run(solver, of, state, 1)
    assert watch.found == []


def test_a_plain_replay_asks_for_nothing() -> None:
    outcome = (torch.ones(1, 1, 2, 2, requires_grad=True), torch.ones(1, 1, 1, 1), torch.ones(1))
    image, *_ = Replay()(lambda: outcome, (), torch.Generator())
    assert not image.requires_grad

"""Speed: counts are right, stages add up, the tables show the measurements; and ``invkit bench speed``."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from iteration import as_table, figures_of
from processes import Measured, SpeedRequest, make_current, measure_versions
from rich.console import Console
from subjects import GraphIteration, Iteration, Machine, ProblemSize, StageNames, subject_of
from survey import PeakMemory, StageListener, Survey, Tally, Work, bytes_of
from typer.testing import CliRunner

from invkit.apps.cli.main import app
from invkit.benchmark.speed import SpeedSetting, time_recipe
from invkit.core.errors import InputError
from invkit.solvers.adam import JointAdam
from invkit.solvers.graph_replay import PLAIN_STEPS_BEFORE_GRAPH
from invkit.testing import emulated_graphs

CPU = torch.device("cpu")
TINY = ProblemSize(channels=4, side=64, kernel=5, matrix=16, megabytes=1)


class Names(StageListener):
    """Notes the names of the stages."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def end_of(self, stage: str, traffic: int = 0) -> None:
        self.seen.append(stage)


def surveyed(subject: Iteration | Machine) -> Survey:
    """The survey of one run."""
    with Survey(CPU) as survey:
        subject.run(survey)
    return survey


def quiet(what: str, done: int, left: float | None) -> None:
    pass


class TestCounting:
    def test_a_matrix_product_is_two_operations_for_each_triple(self) -> None:
        first, second = torch.rand(3, 4), torch.rand(4, 5)
        with Tally() as tally:
            first @ second
        assert tally.take() == Work(Counter({"float32": 2 * 3 * 4 * 5}), 4 * (12 + 20 + 15))

    def test_a_convolution_counts_in_its_precision_and_twice_more_for_its_gradients(self) -> None:
        weight = torch.rand(2, 3, 3, 3, dtype=torch.bfloat16, requires_grad=True)
        image = torch.rand(1, 3, 10, 10, dtype=torch.bfloat16, requires_grad=True)
        forward = 2 * 2 * 3 * 9 * 64
        with Tally() as tally:
            result = torch.nn.functional.conv2d(image, weight)
            there = tally.take()
            result.sum().backward()  # type: ignore[no-untyped-call]
        assert there.flops == {"bfloat16": forward}
        assert tally.take().flops == {"bfloat16": 2 * forward}

    def test_a_real_transform_counts_by_its_formula_and_its_inverse_as_much(self) -> None:
        with Tally() as tally:
            spectrum = torch.fft.rfft2(torch.rand(8, 16))
            there = tally.take()
            torch.fft.irfft2(spectrum, s=(8, 16))
        assert there.flops["float32"] == 2.5 * 128 * 7
        assert there.bytes == 4 * 128 + 8 * 8 * 9
        # the inverse is done in two steps, the first of them complex, on the half of the spectrum that is kept
        assert tally.take().flops["float32"] == pytest.approx(2.5 * 128 * 7, rel=0.3)

    def test_what_has_no_formula_counts_for_nothing(self) -> None:
        with Tally() as tally:
            torch.rand(10).exp().sum()
        assert tally.take() == Work()

    def test_bytes_are_of_all_tensors_within(self) -> None:
        assert (
            bytes_of([torch.zeros(3), (torch.zeros(2, dtype=torch.float64), {"a": torch.zeros(1)}), 5]) == 12 + 16 + 4
        )


class TestStages:
    def test_an_iteration_tells_of_all_its_stages_in_their_order(self) -> None:
        names = Names()
        Iteration(TINY, CPU).run(names)
        networks = ["whole", "image network", "kernel network", "convolution", "fidelity", "regularizer"]
        assert names.seen == [*networks, "backward", "Adam", "bookkeeping"]

    def test_a_step_leaves_nothing_behind_that_tells_of_the_next(self) -> None:
        names, iteration = Names(), Iteration(TINY, CPU)
        iteration.run(names)
        names.seen.clear()
        iteration.step()
        assert names.seen == []

    def test_the_stages_together_do_as_much_as_the_whole(self) -> None:
        survey = surveyed(Iteration(TINY, CPU))
        whole = survey.works.pop("whole").flops["float32"]
        assert sum(work.flops["float32"] for work in survey.works.values()) == whole
        assert survey.works["backward"].flops["float32"] > survey.works["image network"].flops["float32"] > 0

    def test_bfloat16_is_of_the_image_network_alone(self) -> None:
        survey = surveyed(Iteration(TINY, CPU, "bfloat16"))
        assert set(survey.works["image network"].flops) == {"bfloat16"}
        assert set(survey.works["kernel network"].flops) == set(survey.works["convolution"].flops) == {"float32"}

    def test_adam_reads_four_numbers_a_parameter_and_writes_three(self) -> None:
        iteration = Iteration(TINY, CPU)
        survey = surveyed(iteration)
        priors = (iteration.state.image_prior, iteration.state.kernel_prior)
        count = sum(parameter.numel() for prior in priors for parameter in prior.parameters())
        assert survey.works["Adam"].bytes == 7 * 4 * count

    def test_the_titles_of_fast_are_named_by_what_they_are_for(self) -> None:
        links = [("alternating-map", "fast"), ("alternating-map", "polish"), ("tiles", "sparse-admm")]
        stages, names = StageNames(links), []
        for start in ("fast 1 of 2: xu-l0", "fast 2 of 2: pan-l0"):
            turns = [f"{start}: alternating-map", f"{start}: alternating-map", f"{start}: tiles", f"{start}: tiles"]
            names += [stages.name_of(title) for title in (start, *turns)]
        trials = ["trial deconvolutions"] * 2
        assert names == [
            *("candidate xu-l0", "refinement", "polish", *trials),
            *("candidate pan-l0", "refinement", "polish", *trials),
        ]
        assert stages.name_of("fast 2 of 2: xu-jia: pyramid") == "candidate xu-jia"
        assert stages.name_of("fast: pan-l0: tiles") == "final deconvolution"

    def test_a_run_of_fast_has_the_stages_that_its_titles_say(self) -> None:
        names = Names()
        subject_of("fast", TINY, CPU).run(names)
        assert set(names.seen) == {
            *("checks", "of which the noise level", "candidate pan-l0-coarse", "candidate xu-jia-coarse"),
            *("candidate defocus", "refinement", "trial deconvolutions", "final deconvolution", "completion"),
        }

    def test_the_machine_is_measured_by_products_and_a_copy(self) -> None:
        survey = surveyed(Machine(TINY, CPU))
        assert survey.works["float32"].flops == {"float32": 2 * 16**3}
        assert survey.works["bfloat16"].flops == {"bfloat16": 2 * 16**3}
        assert survey.works["copy"].bytes == 2_000_000

    def test_a_replayed_iteration_is_one_stage_of_replays_alone(self) -> None:
        names = Names()
        with emulated_graphs():
            replayed = subject_of("graph-bfloat16", TINY, CPU)
            assert isinstance(replayed, GraphIteration)
            assert isinstance(replayed.solver, JointAdam)
            replayed.run(names)
        assert names.seen == ["whole"]
        assert replayed.solver.precision == "bfloat16"
        assert replayed.state.iteration == GraphIteration.STEPS_BEFORE + 1 > PLAIN_STEPS_BEFORE_GRAPH + 2

    def test_memory_sees_what_was_there_for_a_moment(self) -> None:
        memory = PeakMemory(CPU)
        memory.reset()
        before = memory.peak()
        held = torch.ones(25_000_000)  # 100 MB, more than the C library may have kept of what was freed before
        during = memory.peak()
        del held
        assert during - before > 50_000_000


def made_up(**seconds: Any) -> Measured:
    """Two rounds of versions that do 100 flops in float32, on a machine that does 1000 a second and copies 10 bytes."""
    work = {"flops": {"float32": 100}, "bytes": 0, "peak_bytes": 7}
    yardsticks = {name: {"flops": {name: 1000}, "bytes": 0, "peak_bytes": 7} for name in ("float32", "bfloat16")}
    machine = yardsticks | {"copy": {"flops": {}, "bytes": 10, "peak_bytes": 7}}
    surveys = {
        "plain": {"whole": work},
        "float32": {"whole": work, "image network": work, "Adam": work | {"flops": {}, "bytes": 1}},
        "machine": machine,
    }
    rounds = [
        {
            "plain": {"whole": plain},
            "float32": {"whole": own, "image network": own / 2, "Adam": own / 4},
            "machine": {"float32": 1.0, "bfloat16": 1.0, "copy": 1.0},
        }
        for plain, own in zip(seconds["plain"], seconds["float32"], strict=True)
    ]
    facts = {"torch": "2", "device": "cpu", "processor": "?", "threads": 1}
    return Measured(surveys, rounds, dict.fromkeys(surveys, 8_000_000), facts)


class TestFigures:
    FIGURES = figures_of(made_up(plain=[2.0, 4.0, 4.0], float32=[1.0, 1.0, 2.0]), SpeedRequest(TINY), 3)

    def test_the_floor_is_arithmetic_or_traffic_and_a_versions_the_sum(self) -> None:
        version = self.FIGURES["versions"]["float32"]
        assert version["stages"]["image network"]["floor_seconds"] == pytest.approx(0.1)
        assert version["stages"]["Adam"]["floor_seconds"] == pytest.approx(0.1)
        assert version["floor_seconds"] == pytest.approx(0.2)
        assert version["share_of_floor"] == pytest.approx(0.2)

    def test_plain_has_the_floor_of_the_same_mathematics(self) -> None:
        assert self.FIGURES["versions"]["plain"]["floor_seconds"] == pytest.approx(0.2)
        assert self.FIGURES["versions"]["plain"]["share_of_floor"] == pytest.approx(0.05)

    def test_the_ratio_is_the_median_of_those_of_the_rounds(self) -> None:
        assert self.FIGURES["versions"]["float32"]["ratio_to_plain"] == 0.5
        assert self.FIGURES["versions"]["plain"]["ratio_to_plain"] == 1

    def test_the_table_shows_them(self) -> None:
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(as_table(self.FIGURES))
        text = console.export_text()
        assert "64x64 data, 5x5 kernel, 4 channels" in text
        line = next(line for line in text.splitlines() if "selfdeblur, float32" in line)
        assert line.split() == ["selfdeblur,", "float32", "1", "0.50", "20%", "8", "MB"]


@pytest.fixture(scope="module")
def stopped() -> Measured:
    """A process that was to work for five rounds, until Ctrl-C in the second."""

    def interrupt(what: str, done: int, left: float | None) -> None:
        if done == 1 and what == "machine":  # the first has been told of as done before
            raise KeyboardInterrupt

    return measure_versions(SpeedRequest(TINY, "cpu", 1), 5, interrupt, ("machine",))


class TestTurns:
    def test_an_interrupt_keeps_the_rounds_that_were_done(self, stopped: Measured) -> None:
        assert stopped.interrupted
        assert len(stopped.rounds) == 1
        assert set(stopped.rounds[0]["machine"]) == {"float32", "bfloat16", "copy"}

    def test_workers_tell_what_the_figures_depend_on(self, stopped: Measured) -> None:
        assert stopped.machine["torch"] == torch.__version__
        assert stopped.machine["threads"] == 1
        assert stopped.peaks["machine"] > 0

    def test_a_device_that_does_not_exist_is_an_error(self) -> None:
        with pytest.raises(InputError, match="there is no"):
            measure_versions(SpeedRequest(TINY, "abacus", 1), 1, quiet, ("plain",))

    def test_a_version_that_the_device_does_not_have_is_left_out_with_a_word(self) -> None:
        measured = measure_versions(SpeedRequest(TINY, "cpu", 1), 1, quiet, ("graph", "machine"))
        assert set(measured.surveys) == set(measured.rounds[0]) == {"machine"}
        assert set(measured.unavailable) == {"graph"}
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(as_table(figures_of(measured, SpeedRequest(TINY), 1)))
        text = " ".join(console.export_text().split())
        assert "Not measured: selfdeblur, float32, graph; only these devices replay a graph of a step" in text

    def test_only_a_gpu_with_a_number_is_made_the_current_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="specified index"):
            torch.cuda.set_device(torch.device("cuda"))
        made: list[torch.device] = []
        monkeypatch.setattr(torch.cuda, "set_device", made.append)
        for name in ("cuda", "cpu", "cuda:1"):
            make_current(torch.device(name))
        assert made == [torch.device("cuda:1")]

    def test_a_process_that_dies_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("processes.first_survey", die)
        with pytest.raises(InputError, match="the process that times 'fast' has ended"):
            measure_versions(SpeedRequest(TINY, "cpu", 1), 1, quiet, ("fast",))


def die(*_: Any) -> None:
    os._exit(3)


class TestCommand:
    ARGUMENTS = ("bench", "speed", "wiener", "--side", "64", "--kernel-size", "5", "--device", "cpu")

    def test_iterations_are_timed_by_stage(self) -> None:
        setting = SpeedSetting(64, 5, 5.0, "cpu", overrides=["solver.iterations=3"])
        measured = time_recipe("richardson-lucy", setting)
        (stage,) = measured["stages"]
        assert stage["iterations"] == 3
        assert 0 < stage["minimum_seconds"] <= stage["median_seconds"] <= measured["seconds"]
        assert measured["machine"]["device"] == "cpu"

    def test_json_is_alone_on_the_standard_output_and_the_same_in_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "new" / "speed.json"
        done = CliRunner().invoke(app, [*self.ARGUMENTS, "--json", "--output", str(file)])
        assert done.exit_code == 0
        assert json.loads(done.stdout) == json.loads(file.read_text())
        assert json.loads(done.stdout)["setting"]["side"] == 64

    def test_the_table_shows_each_stage(self) -> None:
        done = CliRunner().invoke(app, list(self.ARGUMENTS), env={"COLUMNS": "150"})
        assert done.exit_code == 0
        assert "wiener: 64x64 image, 5x5 kernel" in done.stdout
        assert "peak memory" in done.stdout

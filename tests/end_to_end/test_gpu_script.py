"""``benchmarks/speed/gpu.py``: all parts work without a GPU, each result is kept at once, and a cut loses little."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import gpu
import gpu_parts
import pytest
import torch
from gpu import GPUReport, PartRequest, chosen_parts, failed_parts, run_all, run_part
from gpu_solves import FIRST_IMAGES, KERNELS, Remaining, batches_of, pictures_of

from invkit.benchmark.measuring import Meter
from invkit.core.files import read_json

SCRIPT = Path(gpu.__file__)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all parts write on the CPU with tiny sizes."""
    file = tmp_path_factory.mktemp("gpu") / "new" / "gpu.json"
    words = ["--device", "cpu", "--tiny", "--budget", "400", "--output", str(file)]
    ended = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "iteration: done" in ended.stdout
    written: dict[str, Any] = json.loads(file.read_text())
    return written


@pytest.mark.parametrize("words", [["--device", "cpu"], ["--tiny"]])
def test_the_committed_figures_are_not_replaced_by_others(words: list[str]) -> None:
    ended = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "give another --output" in ended.stderr


@pytest.mark.slow
class TestAllParts:
    def test_all_are_done_in_their_order(self, report: dict[str, Any]) -> None:
        assert list(report["parts"]) == list(gpu.SHARES)
        assert {part["status"] for part in report["parts"].values()} == {"done"}
        assert all(part["results"] and part["seconds"] > 0 for part in report["parts"].values())

    def test_the_file_says_where_and_how(self, report: dict[str, Any]) -> None:
        assert report["command"].startswith("python ")
        assert "--tiny" in report["command"]
        assert report["machine"]["device"] == "cpu"
        assert torch.__version__.startswith(report["machine"]["versions"]["torch"])
        assert report["budget_seconds"] == 400

    def test_the_tests_of_a_gpu_were_found_and_skipped(self, report: dict[str, Any]) -> None:
        (found,) = report["parts"]["tests"]["results"]
        assert found["failed"] == 0
        assert found["failures"] == {}
        assert found["skipped" if not torch.cuda.is_available() else "passed"] > 10

    def test_each_version_of_an_iteration_was_timed(self, report: dict[str, Any]) -> None:
        rows = {row["version"]: row for row in report["parts"]["iteration"]["results"]}
        assert list(rows) == [version.title for version in gpu_parts.VERSIONS]
        assert {"plain PyTorch, tf32", "selfdeblur, bfloat16, graph", "selfdeblur-released, float32"} <= set(rows)
        for row in rows.values():
            assert "error" not in row
            assert len(row["seconds_of_rounds"]) == 2
            assert row["seconds"] > 0
            assert row["ratio_to_plain"] > 0
        assert rows["plain PyTorch, float32"]["ratio_to_plain"] == rows["plain PyTorch, tf32"]["ratio_to_plain"] == 1

    def test_both_recipes_were_solved_to_the_end_one_by_one_and_together(self, report: dict[str, Any]) -> None:
        single, batches = (report["parts"][name]["results"] for name in ("images", "batch"))
        assert {(row["recipe"], row["precision"]) for row in single} == {
            (recipe, precision)
            for recipe in ("selfdeblur", "selfdeblur-released")
            for precision in ("tf32", "bfloat16")
        }
        assert {row["recipe"] for row in batches} == {"selfdeblur", "selfdeblur-released"}
        for row in [*single, *batches]:
            assert (row["iterations"], row["stopped"]) == (5, "finished")
            assert row["seconds"] > 0
        for image in [*single, *(image for row in batches for image in row["images"])]:
            assert 5 < image["psnr"] < image["input_psnr"] < 50
            assert 0 < image["kernel_similarity"] <= 1
        assert [row["batch"] for row in batches] == [2, 2]

    def test_the_command_measured_stages(self, report: dict[str, Any]) -> None:
        (row,) = report["parts"]["command"]["results"]
        assert row["recipe"] == "selfdeblur"
        assert row["stages"][0]["median_seconds"] > 0


def with_part(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let another program take the place of the parts."""
    head = "import json, sys, time\ndef emit(**facts): print(json.dumps(facts), flush=True)\n"
    (folder / "gpu_parts.py").write_text(head + textwrap.dedent(text))
    monkeypatch.setattr(gpu, "SPEED", folder)


def request(seconds: float) -> PartRequest:
    return PartRequest("images", "cpu", True, None, seconds)


class TestEnds:
    def test_a_part_that_hangs_is_cut_and_its_results_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gpu, "GRACE", 0.5)
        with_part(monkeypatch, tmp_path, "emit(key='a', value=1)\ntime.sleep(600)\n")
        kept: list[dict[str, Any]] = []
        started = time.monotonic()
        outcome = run_part(request(5.0), kept.append)
        assert outcome["status"] == "cut"
        assert kept == [{"key": "a", "value": 1}]
        assert time.monotonic() - started < 60

    def test_a_part_that_fails_says_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with_part(monkeypatch, tmp_path, "emit(key='a')\nraise ValueError('out of luck')\n")
        outcome = run_part(request(60.0), lambda result: None)
        assert outcome["status"] == "failed"
        assert "out of luck" in outcome["error"]

    def test_each_result_is_in_the_file_before_the_next_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_part(monkeypatch, tmp_path, "emit(key='a', n=1)\nemit(key='b', n=2)\nemit(key='a', n=3)\n")
        report = GPUReport(tmp_path / "gpu.json", {})
        seen, keep = list[Any](), report.keep

        def kept(part: str, result: dict[str, Any]) -> None:
            keep(part, result)
            seen.append({row["key"]: row["n"] for row in read_json(report.path)["parts"][part]["results"]})

        monkeypatch.setattr(report, "keep", kept)
        run_all(Namespace(budget=60.0, parts="batch", device="cpu", tiny=True, data=None), report)
        assert seen == [{"a": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 2}]
        assert read_json(report.path)["parts"]["batch"]["status"] == "done"

    def test_parts_share_the_budget_and_the_last_ones_go_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits = {}

        def pretended(asked: PartRequest, keep: object) -> dict[str, Any]:
            limits[asked.part] = asked.seconds
            return {"status": "done", "seconds": 0.0}

        monkeypatch.setattr(gpu, "run_part", pretended)
        options = Namespace(budget=600.0, parts=None, device="cpu", tiny=True, data=None)
        run_all(options, GPUReport(tmp_path / "gpu.json", {}))
        assert limits["tests"] == pytest.approx(60 - gpu.GRACE, abs=0.5)
        assert limits["images"] == pytest.approx(390 - gpu.GRACE, abs=0.5)  # with what the first two have left
        assert limits["command"] == pytest.approx(600 - gpu.GRACE, abs=0.5)
        options.budget = 1.0
        report = GPUReport(tmp_path / "short.json", {})
        run_all(options, report)
        assert {part["status"] for part in report.content["parts"].values()} == {"skipped"}

    def test_unknown_parts_are_refused_and_known_ones_keep_their_order(self) -> None:
        assert chosen_parts("batch,tests") == ["tests", "batch"]
        with pytest.raises(SystemExit, match="there is no part 'imags'"):
            chosen_parts("imags")
        assert failed_parts([("a", {"status": "failed"}), ("b", {"status": "cut"})]) == ["a"]


class TestSettings:
    def test_convolutions_round_to_tf32_only_where_they_should(self) -> None:
        before = torch.backends.cudnn.allow_tf32
        for precision, allowed in (("float32", False), ("tf32", True), ("bfloat16", True)):
            with gpu_parts.rounding(precision):
                assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cudnn.allow_tf32 is before

    def test_the_released_recipe_is_timed_with_its_later_fidelity(self) -> None:
        version = gpu_parts.IterationVersion("selfdeblur-released", "tf32")
        step = version.stepper(gpu_parts.TINY_SIZE, torch.device("cpu"))
        iteration = step.__self__  # type: ignore[attr-defined]
        assert type(iteration.problem.fidelity.at(iteration.state.iteration)).__name__ == "SSIM"
        assert iteration.solver.milestones[0] > gpu_parts.MIDDLE

    def test_a_ratio_is_that_of_the_rounds_with_the_same_rounding(self) -> None:
        plain = {name: gpu_parts.IterationVersion(gpu_parts.PLAIN, name) for name in ("tf32", "float32")}
        own = {name: gpu_parts.IterationVersion("selfdeblur", name) for name in ("tf32", "float32", "bfloat16")}
        seconds = {plain["tf32"]: [4.0, 8.0], plain["float32"]: [10.0, 10.0]}
        seconds |= {own["tf32"]: [2.0, 4.0], own["float32"]: [2.0, 2.0], own["bfloat16"]: [1.0]}
        ratios = {name: gpu_parts.iteration_row(version, seconds)["ratio_to_plain"] for name, version in own.items()}
        assert ratios == {"tf32": 0.5, "float32": 0.2, "bfloat16": 0.25}

    def test_a_solve_that_cannot_end_in_time_is_not_started(self) -> None:
        remaining = Remaining(100.0)
        assert remaining.is_enough()
        remaining.longest = 99.0
        assert not remaining.is_enough()

    def test_levins_images_come_in_the_named_order(self, data_root: Path) -> None:
        asked = PartRequest("images", "cuda", False, str(data_root), 100.0)
        first, others = pictures_of(asked)
        assert [picture.name for picture in first] == [f"im{image}_kernel{kernel}" for image, kernel in FIRST_IMAGES]
        assert len({picture.name for picture in [*first, *others]}) == 32
        batches = list(batches_of(asked))
        assert [len({picture.kernel_size for picture in batch}) for batch in batches] == [1] * len(KERNELS)
        assert len({picture.name for batch in batches for picture in batch}) == 32
        assert all("selfdeblur" in picture.sample.references for picture in first)

    @pytest.mark.parametrize("is_initialized", [False, True])
    def test_memory_of_a_gpu_that_was_not_used_yet_is_not_reset(
        self, monkeypatch: pytest.MonkeyPatch, is_initialized: bool
    ) -> None:
        """Torch refuses to reset the peak of a device before it is initialised."""
        reset = list[int]()
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_initialized)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda gpu: 7)
        with Meter() as meter:
            pass
        assert reset == ([0, 1] if is_initialized else [])
        assert meter.peak(torch.device("cuda:1")) == 7
        assert math.isfinite(meter.seconds)

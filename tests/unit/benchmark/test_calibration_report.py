"""What is reported on the calibration set and on the field's sets, and how the weights of the selection are learned."""

from __future__ import annotations

import csv
from pathlib import Path

import benchmark_sets
import judge
import numpy as np
import pytest
import report
import typer
from blurry_cases import valid_blur
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate

FACTS = {"photograph": "a", "family": "shake", "recipe": "r", "warned": "0", "seconds": "2"}


def row(**changes: object) -> dict[str, str]:
    plain = {"case": "r0", "input": 20.0, "true_kernel": 30.0, "restored": 28.0, **FACTS}
    return {key: str(value) for key, value in (plain | changes).items()}


def scene(side: int = 96) -> np.ndarray:
    rng = np.random.default_rng(2)
    plain = np.kron(rng.uniform(0.1, 0.9, (side // 8, side // 8)), np.ones((8, 8)))
    return np.asarray(gaussian_filter(plain, 0.5))


def test_the_interval_of_a_mean_takes_the_cases_of_a_photograph_together() -> None:
    values = np.array([0.0] * 10 + [1.0] * 10)
    together = report.interval(values, np.array(["a"] * 10 + ["b"] * 10))
    apart = report.interval(values, np.arange(20).astype(str))
    assert together == (0.0, 1.0)
    assert 0.2 < apart[0] < 0.5 < apart[1] < 0.8


def test_the_page_says_the_gap_and_what_was_not_told() -> None:
    rows = [
        row(photograph="a"),
        row(photograph="b", restored=19.0, warned=1),
        row(photograph="c", restored=19.5, family="disc"),
    ]
    text = report.page("report", ["r"], rows)
    assert "| r | 3 | 3 | 20.00 | 22.17 | 30.00 | 7.83 (" in text
    [cells] = [line.split(" | ") for line in text.splitlines() if line.startswith("| r | 3")]
    assert cells[7:12] == ["10.50", "2", "1", "1", "2.0 |"]
    assert "| mean gap, dB | disc | shake |" in text
    assert "| r | 10.50 (1) | 6.50 (2) |" in text
    assert "mean 7.83" in report.summary("r", rows)


def test_a_case_is_restored_and_compared(tmp_path: Path) -> None:
    sharp, kernel = scene(), np.full((3, 3), 1 / 9)
    folder = tmp_path / "report"
    folder.mkdir()
    blurry = valid_blur(np.pad(sharp, 1, mode="edge"), kernel)
    for name, picture in (("blurry", blurry), ("sharp", sharp)):
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(folder / f"r0000_{name}.png")
    np.save(folder / "r0000_kernel.npy", kernel.astype(np.float32))
    with (tmp_path / "cases.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, ["id", "split", "photograph", "family", "height", "width"])
        writer.writeheader()
        writer.writerow({"id": "r0000", "split": "report", "photograph": "a", "family": "f", "height": 96, "width": 96})
    table, page = tmp_path / "table.csv", tmp_path / "page.md"
    report.main(["pan-l0"], tmp_path, "report", 1, 0, 10**6, table, 1, page)
    [found] = report.rows_of(table)
    assert float(found["true_kernel"]) > float(found["input"]) + 3
    before = table.read_text(encoding="utf-8")
    report.main(["pan-l0"], tmp_path, "report", 1, 0, 10**6, table, 1, page)
    assert table.read_text(encoding="utf-8") == before  # it is not restored again
    assert "| pan-l0 | 1 | 1 |" in page.read_text(encoding="utf-8")


def compared(rng: np.random.Generator, photograph: str) -> judge.Compared:
    """Ten kernels; the first metric tells their PSNR up to noise, the second is noise."""
    quality = rng.normal(size=10)
    rows = [
        {
            "photograph": photograph,
            "input": "20",
            "restored": str(25 + 2 * one),
            "lost-greys": "0.03",
            "good": str(-one + 0.05 * rng.normal()),
            "noise": str(rng.normal()),
        }
        for one in quality
    ]
    return judge.Compared(rows, ["good", "noise"])


def test_the_weights_follow_the_metric_that_tells() -> None:
    rng = np.random.default_rng(0)
    cases = [compared(rng, str(number)) for number in range(20)]
    weights = judge.weights_of(cases)
    assert weights[0] > 5 * abs(weights[1])
    regret = [case.restored.max() - case.restored[case.choice(weights)] for case in cases]
    assert np.mean(regret) < 0.2


def test_no_photograph_is_learned_from_and_tested_on() -> None:
    groups = [str(number % 7) for number in range(30)]
    parts = judge.folds(groups)
    assert sorted(n for _, testing in parts for n in testing) == list(range(30))
    for training, testing in parts:
        assert not {groups[n] for n in training} & {groups[n] for n in testing}


def test_the_probability_of_a_logistic_model_is_the_frequency() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 2))
    happened = (rng.random(400) < 1 / (1 + np.exp(-(2 * values[:, 0] - 1)))).astype(float)
    told = judge.probability(values, judge.logistic(values, happened))
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 1)):
        chosen = (told >= low) & (told < high)
        assert told[chosen].mean() == pytest.approx(happened[chosen].mean(), abs=0.12)


def test_a_rigid_motion_and_a_scale_do_not_count() -> None:
    truth = np.stack([scene(240)] * 3, axis=2)
    moved = 0.9 * rotate(truth, 0.4, reshape=False, order=3, mode="nearest")
    assert benchmark_sets.rigid_psnr(moved.clip(0, 1), truth) > 40
    assert benchmark_sets.rigid_psnr(gaussian_filter(truth, (3, 3, 0)), truth) < 30


def test_lais_convention_adds_a_constant() -> None:
    truth = scene()
    image = (truth + 0.02 * np.random.default_rng(0).normal(size=truth.shape)).clip(0, 1)
    plain = benchmark_sets.shifted_psnr(image, truth[..., None].repeat(3, axis=2))
    assert benchmark_sets.lai_psnr(image, truth[..., None].repeat(3, axis=2)) == pytest.approx(plain + 1.32, abs=0.02)


def test_a_set_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVKIT_DATA", str(tmp_path))
    with pytest.raises(typer.BadParameter, match="holds kohler/"):
        benchmark_sets.main("kohler", ["fast"], 1, tmp_path / "t.csv", 1)
    with pytest.raises(typer.BadParameter, match="the sets are kohler, lai, text, low-light"):
        benchmark_sets.main("levin", ["fast"], 1, tmp_path / "t.csv", 1)


def test_the_pictures_of_a_set_have_their_truths(data_root: Path) -> None:
    for name, (folder, rows) in benchmark_sets.SETS.items():
        if not (data_root / folder).is_dir():
            pytest.skip(f"{folder}/ is not in INVKIT_DATA; its makers offer it")
        found = rows(data_root / folder)
        assert found, name
        assert all(Path(one["truth"]).is_file() and Path(one["blurry"]).is_file() for one in found), name

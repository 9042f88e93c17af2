"""Figures show every recipe and what failed, choose their cases by rule, and work without the data."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from narrow import known
from suite_folder import METRICS, SuiteFolder, add_pictures

from invkit.benchmark.curves import (
    case_figure,
    cumulative_shares,
    from_hard_to_easy,
    ratio_figure,
    time_figure,
)
from invkit.benchmark.plots import PLOT_KINDS, draw
from invkit.benchmark.records import DatasetResults, MetricInfo, SuiteItem, read_results
from invkit.benchmark.scenes import Choice, DatasetSamples, choose
from invkit.benchmark.strips import (
    balanced_rows,
    kernel_figure,
    loss_curve,
    loss_figure,
    metric_curve,
    snapshot_figure,
    strip_figure,
)
from invkit.benchmark.style import add_legend, looks
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.core.evaluation import Case, Dataset, Sample
from invkit.media.kernels import centred_kernel

RATIOS = {"one": (1.0, 1.5, 2.0, 4.0), "two": (1.2, 2.5, 7.0, 2.0)}
SNAPSHOTS = [{"iteration": 4, "seconds": 1.0, "metrics": {"psnr": 25.0}}]


@pytest.fixture
def suite(tmp_path: Path) -> SuiteFolder:
    """Two recipes on four cases, with pictures."""
    folder = SuiteFolder(tmp_path)
    for recipe, ratios in RATIOS.items():
        for case, ratio in enumerate(ratios):
            figures = {"psnr": 36 - 2 * ratio, "error-ratio": ratio, "seconds": 1.0}
            facts: dict[str, Any] = {"history": [1.0, 0.1, 0.01], "snapshots": SNAPSHOTS, "seconds": 1.0 + case}
            add_pictures(folder.done(recipe, f"i{case}", figures, **facts), snapshots=[4])
    return folder


def parts(suite: SuiteFolder) -> tuple[DatasetResults, MetricInfo, MetricInfo]:
    """The results on the dataset, and the metrics of quality and error ratio."""
    found = read_results(suite.plan())
    return found.on(found.datasets[0]), found.metrics[0], found.metrics[1]


def words(figure: Figure | None) -> list[str]:
    figure = known(figure)
    figure.draw_without_rendering()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [axes.get_title(side) for axes in figure.axes for side in ("left", "center", "right")]
    legends = [legend for axes in figure.axes if (legend := axes.get_legend())]
    texts += [text.get_text() for legend in legends for text in legend.get_texts()]
    texts += [figure.get_suptitle()]
    return [text.strip() for text in texts if text]


def points_of(line: Line2D) -> list[tuple[float, float]]:
    return list(zip(*(np.asarray(values).tolist() for values in line.get_data()), strict=True))


def lines(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if len(points_of(line)) > 2]


def test_the_cumulative_histogram(suite: SuiteFolder) -> None:
    results, _, ratio = parts(suite)
    figure = known(ratio_figure(results, ratio))
    assert {"one", "two", "8 of 8 jobs done"} <= set(words(figure))
    first, second = lines(figure.axes[0])
    assert points_of(first) == [(1, 25), (1.5, 50), (2, 75), (4, 100), (6, 100)]
    assert points_of(second)[-1][1] == 75  # the ratio of 7 is beyond
    assert figure.axes[0].get_xlim() == (1, 6)


def test_a_failed_run_stays_below_every_ratio_and_is_named(suite: SuiteFolder) -> None:
    suite.failed("one", "i4")
    results, _, ratio = parts(suite)
    figure = known(ratio_figure(results, ratio))
    assert points_of(lines(figure.axes[0])[0])[-1][1] == 80
    assert "one (1 failed)" in words(figure)
    assert "8 of 9 jobs done, 1 failed" in words(figure)


def test_ratios_below_one_are_there_from_the_start() -> None:
    assert cumulative_shares([0.5, 3.0]) == ([1.0, 3.0, 6.0], [50.0, 100.0, 100.0])


def test_time_is_logarithmic_with_a_point_for_each_recipe(suite: SuiteFolder) -> None:
    results, psnr, _ = parts(suite)
    figure = known(time_figure(results, psnr))
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    points = [points_of(line)[0] for line in axes.lines if len(points_of(line)) == 1]
    assert [seconds for seconds, _ in points] == [2.5, 2.5]  # the median of 1, 2, 3 and 4 seconds
    assert points[0][1] == 36 - 2 * 1.75
    assert {"one", "two"} <= set(words(figure))


def test_case_by_case(suite: SuiteFolder) -> None:
    suite.failed("one", "i4")
    suite.done("two", "i4", 20.0)
    results, psnr, _ = parts(suite)
    figure = known(case_figure(results, psnr))
    upper, lower = figure.axes[:2]
    assert all(np.all(np.diff(line.get_ydata()) >= 0) for line in lines(upper))
    assert [label.get_text() for label in lower.get_xticklabels()] == ["i4", "i2", "i3", "i1", "i0"]
    assert [text.get_text() for text in lower.texts][:2] == ["×", "32"]  # noqa: RUF001


def test_cases_of_a_cost_run_from_high_to_low() -> None:
    assert from_hard_to_easy({"r": {"a": 1.0, "b": 3.0}}, lower=True) == ["b", "a"]
    assert from_hard_to_easy({"r": {"a": 1.0, "b": 3.0}}, lower=False) == ["a", "b"]


def test_losses_stand_at_their_iterations(suite: SuiteFolder) -> None:
    suite.done("one", "i4", 30.0, history=[3.0, 2.0, 1.0], history_every=5)
    results, *_ = parts(suite)
    iterations, losses = loss_curve(results.of_case("i4")["one"])
    assert (list(iterations), list(losses)) == ([1, 6, 11], [3.0, 2.0, 1.0])
    figure = known(loss_figure(results, Choice("i0")))
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    assert loss_figure(results, Choice("none")) is None


def test_losses_below_zero_have_a_linear_scale(suite: SuiteFolder) -> None:
    suite.done("one", "i4", 30.0, history=[1.0, -1.0, None])
    results, *_ = parts(suite)
    assert known(loss_figure(results, Choice("i4"))).axes[0].get_yscale() == "linear"


def test_snapshots_in_a_row_end_with_the_result(suite: SuiteFolder) -> None:
    results, psnr, _ = parts(suite)
    figure = snapshot_figure(results.of_case("i0")["one"], results, psnr)
    assert {"iteration 4", "25.00 dB", "result (8)", "34.00 dB", "Toys: one, i0"} <= set(words(figure))
    assert metric_curve(results.of_case("i0")["one"], psnr) == [(4, 25.0), (8, 34.0)]
    suite.done("one", "i4", 30.0)
    results, psnr, _ = parts(suite)
    assert snapshot_figure(results.of_case("i4")["one"], results, psnr) is None


def test_cases_are_chosen_by_rule(suite: SuiteFolder) -> None:
    results, psnr, ratio = parts(suite)
    chosen = [("i0", "first"), ("i2", "worst"), ("i1", "median")]  # i0 is the best, too
    assert [(choice.case, choice.why) for choice in choose(results, psnr)] == chosen
    assert [choice.case for choice in choose(results, ratio)] == ["i0", "i2", "i1"]
    assert [choice.case for choice in choose(results, psnr, ["i3", "i1"])] == ["i1", "i3"]
    assert len(choose(results, psnr, ["all"])) == 4
    assert [choice.case for choice in choose(results, None)] == ["i0"]


def test_of_several_seeds_the_first_that_is_done_is_shown(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.failed("one", "i0", seed=0)
    folder.done("one", "i0", 30.0, seed=2)
    folder.done("one", "i0", 31.0, seed=1)
    assert parts(folder)[0].of_case("i0")["one"].seed == 1


class Toys(Dataset):
    """A dataset of one case."""

    title = citation = licence = homepage = "toys"

    def cases(self) -> Sequence[Case]:
        return [Case("i0")]

    def sample(self, case: Case) -> Sample:
        truth = np.zeros((42, 60))  # under a valid convolution the truth is larger
        truth[11:21, 32:47] = 1
        return Sample(image=np.full((40, 56), 0.5), truth=truth, kernel=np.full((3, 3), 1 / 9))


@pytest.fixture
def toys() -> Iterator[None]:
    registry.register("datasets", "toy", Toys)
    yield
    registry.unregister("datasets", "toy")


@pytest.mark.usefixtures("toys")
def test_with_the_data_blurry_and_sharp_stand_beside_the_results_and_choose_the_part(suite: SuiteFolder) -> None:
    results, psnr, _ = parts(suite)
    samples = DatasetSamples(results.dataset, None)
    figure = known(strip_figure(results, psnr, Choice("i0"), samples))
    names = [axes.get_title("left").strip() for axes in figure.axes if axes.get_title("left")]
    assert names == ["blurry", "one", "two", "sharp"]
    sharp_part = known(figure.axes[-1].get_images()[0].get_array())
    assert sharp_part.shape == (12, 12)  # .3 of 40
    assert 0 < sharp_part.mean() < 1  # it holds an edge of the truth
    kernels = kernel_figure(results, [Choice("i0")], samples)
    assert {"true", "one", "two"} <= set(words(kernels))
    suite.failed("three", "i0")
    suite.plan(recipes=[{"label": "three"}])
    found = read_results(suite.root)
    alone = found.on(found.datasets[0])
    assert strip_figure(alone, psnr, Choice("i0"), samples) is None  # nothing but what was given
    assert kernel_figure(alone, [Choice("i0")], samples) is None
    assert samples.of("i1") is None
    assert "no case i1" in samples.problem


def test_without_the_data_the_results_are_shown_alone_and_the_reason_is_kept(suite: SuiteFolder) -> None:
    results, psnr, _ = parts(suite)
    samples = DatasetSamples(results.dataset, None)
    figure = known(strip_figure(results, psnr, Choice("i0"), samples))
    assert [a.get_title("left").strip() for a in figure.axes if a.get_title("left")] == ["one", "two"]
    assert "nothing named 'toy' in datasets" in samples.problem


def test_a_failed_job_keeps_its_place_with_its_error(suite: SuiteFolder) -> None:
    suite.failed("two", "i4")
    add_pictures(suite.done("one", "i4", 30.0))
    results, psnr, _ = parts(suite)
    figure = strip_figure(results, psnr, Choice("i4"), DatasetSamples(results.dataset, None))
    assert {"DivergedError", "no picture"} <= set(words(figure))


def test_a_kernel_is_shown_with_its_centre_of_mass_in_the_middle() -> None:
    kernel = np.zeros((9, 13))
    kernel[1, 8:11] = 1 / 3
    shown = centred_kernel(kernel)
    assert shown.shape == (5, 5)  # one pixel to each side of what is not zero
    np.testing.assert_allclose(shown[2], [0, 1 / 3, 1 / 3, 1 / 3, 0])
    assert centred_kernel(np.zeros((2, 2))).shape == (2, 2)


@pytest.mark.parametrize(("count", "rows"), [(1, (1, 1)), (6, (1, 6)), (7, (2, 4)), (13, (3, 5))])
def test_rows_are_about_equally_full(count: int, rows: tuple[int, int]) -> None:
    assert balanced_rows(count) == rows


def test_a_legend_names_lines_in_the_order_of_their_ends_and_in_their_colours() -> None:
    axes = Figure().add_subplot()
    drawn = [axes.plot([0, 1], [0, end], color=color, label=color)[0] for end, color in ((1, "red"), (2, "blue"))]
    add_legend(axes, drawn)
    texts = known(axes.get_legend()).get_texts()
    assert [text.get_text() for text in texts] == [text.get_color() for text in texts] == ["blue", "red"]


def test_recipes_have_looks_of_their_own() -> None:
    many = [SuiteItem(str(i), str(i), str(i)) for i in range(21)]
    assert len({(look.color, str(look.line)) for look in looks(many).values()}) == 21
    assert looks(many)["3"] == looks(many[:5])["3"]


def test_figures_are_written_as_png_and_svg_and_matplotlib_is_left_as_it_was(
    suite: SuiteFolder, tmp_path: Path
) -> None:
    before, loaded = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    store = read_results(suite.plan())
    drawn = draw(store, tmp_path / "new" / "figures", kinds=("ratios", "kernels"), cases=["i0"])
    assert [file.name for file in drawn.files] == ["toy--error-ratio.png", "toy--kernels.png"]
    assert all(file.with_suffix(".svg").read_text("utf-8").startswith("<?xml") for file in drawn.files)
    assert any("without blurry and sharp pictures of toy" in remark for remark in drawn.remarks)
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, metrics=METRICS[:1])
    folder.failed("one", "i0")
    drawn = draw(read_results(folder.plan()), tmp_path / "plots")
    assert drawn.files == []
    assert len([remark for remark in drawn.remarks if remark.startswith("no figure")]) == len(PLOT_KINDS)
    assert "no figure 'ratios' of toy: the suite measures no error-ratio" in drawn.remarks
    assert "no figure 'cases' of toy: no result has a value of psnr" in drawn.remarks


def test_a_measured_ratio_without_a_value_is_not_called_unmeasured(tmp_path: Path) -> None:
    """Few datasets have the reference that the ratio divides by."""
    folder = SuiteFolder(tmp_path, metrics=({"label": "ratio", "name": "error-ratio"},))
    folder.failed("one", "i0")
    (remark,) = draw(read_results(folder.plan()), tmp_path / "plots", kinds=["ratios"]).remarks
    assert "no result has a value of ratio, which needs a deconvolution with the true kernel" in remark


def test_unknown_kinds_and_cases_are_errors(suite: SuiteFolder, tmp_path: Path) -> None:
    store = read_results(suite.plan())
    with pytest.raises(InputError, match="no figure 'pie'; there are ratios"):
        draw(store, tmp_path, kinds=["pie"])
    with pytest.raises(InputError, match="no result of a case 'i9'"):
        draw(store, tmp_path, cases=["i9"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --output"):
        draw(store, tmp_path / "file" / "plots", kinds=["ratios"])

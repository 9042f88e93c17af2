"""Figures show every recipe and what failed, choose their cases by rule, and work without the data."""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from suite_folder import METRICS, SuiteFolder, add_pictures

from invkit.benchmark.convergence import course, loss_figure, losses_of, snapshot_figure
from invkit.benchmark.curves import case_figure, cumulative, from_hard_to_easy, ratio_figure, time_figure
from invkit.benchmark.labels import PLACES, box_of, label_points, overlap
from invkit.benchmark.plots import KINDS, draw
from invkit.benchmark.records import Named, read_store
from invkit.benchmark.scenes import Choice, Samples, choose, of_case
from invkit.benchmark.strips import arranged, centred, kernel_figure, strip_figure
from invkit.benchmark.style import looks
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.core.evaluation import Case, Sample
from invkit.core.interfaces import Dataset

RATIOS = {"one": (1.0, 1.5, 2.0, 4.0), "two": (1.2, 2.5, 7.0, 2.0)}
SNAPSHOTS = [{"iteration": 4, "seconds": 1.0, "metrics": {"psnr": 25.0}}]


@pytest.fixture
def suite(tmp_path):
    """Two recipes on four cases, with pictures."""
    folder = SuiteFolder(tmp_path)
    for recipe, ratios in RATIOS.items():
        for case, ratio in enumerate(ratios):
            figures = {"psnr": 36 - 2 * ratio, "error-ratio": ratio, "seconds": 1.0}
            facts = {"history": [1.0, 0.1, 0.01], "snapshots": SNAPSHOTS, "seconds": 1.0 + case}
            add_pictures(folder.done(recipe, f"i{case}", figures, **facts), snapshots=[4])
    return folder


def parts(suite):
    """The store, its dataset, and the metrics of quality and error ratio."""
    store = read_store(suite.plan())
    return store, store.datasets[0], store.metrics[0], store.metrics[1]


def words(figure):
    figure.draw_without_rendering()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [axes.get_title(side) for axes in figure.axes for side in ("left", "center", "right")]
    return [text.strip() for text in [*texts, *(text.get_text() for text in figure.texts)] if text]


def lines(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def test_the_cumulative_histogram(suite):
    store, dataset, _, ratio = parts(suite)
    figure = ratio_figure(store, dataset, ratio)
    assert {"one", "two", "8 of 8 jobs done"} <= set(words(figure))
    first, second = lines(figure.axes[0])
    assert list(zip(*first.get_data(), strict=True)) == [(1, 25), (1.5, 50), (2, 75), (4, 100), (6, 100)]
    assert second.get_ydata()[-1] == 75  # the ratio of 7 is beyond
    assert figure.axes[0].get_xlim() == (1, 6)


def test_a_failed_run_stays_below_every_ratio_and_is_named(suite):
    suite.failed("one", "i4")
    store, dataset, _, ratio = parts(suite)
    figure = ratio_figure(store, dataset, ratio)
    assert lines(figure.axes[0])[0].get_ydata()[-1] == 80
    assert "one (1 failed)" in words(figure)
    assert "8 of 9 jobs done, 1 failed" in words(figure)


def test_ratios_below_one_are_there_from_the_start():
    assert cumulative([0.5, 3.0]) == ([1.0, 3.0, 6.0], [50.0, 100.0, 100.0])


def test_time_is_logarithmic_with_a_point_for_each_recipe(suite):
    store, dataset, psnr, _ = parts(suite)
    figure = time_figure(store, dataset, psnr)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in points] == [2.5, 2.5]  # the median of 1, 2, 3 and 4 seconds
    assert points[0].get_ydata()[0] == 36 - 2 * 1.75
    assert {"one", "two"} <= set(words(figure))


def test_case_by_case(suite):
    suite.failed("one", "i4")
    suite.done("two", "i4", 20.0)
    store, dataset, psnr, _ = parts(suite)
    figure = case_figure(store, dataset, psnr)
    upper, lower = figure.axes[:2]
    assert all(np.all(np.diff(line.get_ydata()) >= 0) for line in lines(upper))
    assert [label.get_text() for label in lower.get_xticklabels()] == ["i4", "i2", "i3", "i1", "i0"]
    assert [text.get_text() for text in lower.texts][:2] == ["×", "32"]  # noqa: RUF001


def test_cases_of_a_cost_run_from_high_to_low():
    assert from_hard_to_easy({"r": {"a": 1.0, "b": 3.0}}, lower=True) == ["b", "a"]
    assert from_hard_to_easy({"r": {"a": 1.0, "b": 3.0}}, lower=False) == ["a", "b"]


def test_losses_stand_at_their_iterations(suite):
    suite.done("one", "i4", 30.0, history=[3.0, 2.0, 1.0], history_every=5)
    store, dataset, *_ = parts(suite)
    iterations, losses = losses_of(of_case(store, "toy", "i4")["one"])
    assert (list(iterations), list(losses)) == ([1, 6, 11], [3.0, 2.0, 1.0])
    figure = loss_figure(store, dataset, Choice("i0"))
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    assert loss_figure(store, dataset, Choice("none")) is None


def test_losses_below_zero_have_a_linear_scale(suite):
    suite.done("one", "i4", 30.0, history=[1.0, -1.0, None])
    store, dataset, *_ = parts(suite)
    assert loss_figure(store, dataset, Choice("i4")).axes[0].get_yscale() == "linear"


def test_snapshots_in_a_row_end_with_the_result(suite):
    store, dataset, psnr, _ = parts(suite)
    figure = snapshot_figure(store, dataset, psnr, "one", Choice("i0", "first"))
    assert {"iteration 4", "25.00 dB", "result (8)", "34.00 dB", "i0, the first case"} <= set(words(figure))
    assert course(of_case(store, "toy", "i0")["one"], psnr) == [(4, 25.0), (8, 34.0)]
    suite.done("one", "i4", 30.0)
    store, dataset, psnr, _ = parts(suite)
    assert snapshot_figure(store, dataset, psnr, "one", Choice("i4")) is None


def test_cases_are_chosen_by_rule(suite):
    store, _, psnr, ratio = parts(suite)
    chosen = [("i0", "first"), ("i2", "worst"), ("i1", "median")]  # i0 is the best, too
    assert [(choice.case, choice.why) for choice in choose(store, "toy", psnr)] == chosen
    assert [choice.case for choice in choose(store, "toy", ratio)] == ["i0", "i2", "i1"]
    assert [choice.case for choice in choose(store, "toy", psnr, ["i3", "i1"])] == ["i1", "i3"]
    assert len(choose(store, "toy", psnr, ["all"])) == 4
    assert [choice.case for choice in choose(store, "toy", None)] == ["i0"]


def test_of_several_seeds_the_first_that_is_done_is_shown(tmp_path):
    folder = SuiteFolder(tmp_path)
    folder.failed("one", "i0", seed=0)
    folder.done("one", "i0", 30.0, seed=2)
    folder.done("one", "i0", 31.0, seed=1)
    assert of_case(read_store(folder.plan()), "toy", "i0")["one"].seed == 1


class Toys(Dataset):
    """A dataset of one case."""

    title = citation = licence = homepage = "toys"

    def cases(self):
        return [Case("i0")]

    def sample(self, case):
        truth = np.zeros((42, 60))  # under a valid convolution the truth is larger
        truth[11:21, 32:47] = 1
        return Sample(image=np.full((40, 56), 0.5), truth=truth, kernel=np.full((3, 3), 1 / 9))


@pytest.fixture
def toys():
    registry.register("datasets", "toy", Toys)
    yield
    registry.unregister("datasets", "toy")


@pytest.mark.usefixtures("toys")
def test_with_the_data_blurry_and_sharp_stand_beside_the_results_and_choose_the_part(suite):
    store, dataset, psnr, _ = parts(suite)
    samples = Samples(dataset, None)
    figure = strip_figure(store, dataset, psnr, Choice("i0"), samples)
    names = [axes.get_title("left").strip() for axes in figure.axes if axes.get_title("left")]
    assert names == ["blurry", "one", "two", "sharp"]
    sharp_part = figure.axes[-1].get_images()[0].get_array()
    assert sharp_part.shape == (12, 12)  # .3 of 40
    assert 0 < sharp_part.mean() < 1  # it holds an edge of the truth
    kernels = kernel_figure(store, dataset, [Choice("i0")], samples)
    assert {"true", "one", "two"} <= set(words(kernels))
    suite.failed("three", "i0")
    alone = read_store(suite.plan(recipes=[{"label": "three"}]))
    assert strip_figure(alone, dataset, psnr, Choice("i0"), samples) is None  # nothing but what was given
    assert kernel_figure(alone, dataset, [Choice("i0")], samples) is None
    assert samples.of("i1") is None
    assert "no case i1" in samples.problem


def test_without_the_data_the_results_are_shown_alone_and_the_reason_is_kept(suite):
    store, dataset, psnr, _ = parts(suite)
    samples = Samples(dataset, None)
    figure = strip_figure(store, dataset, psnr, Choice("i0"), samples)
    assert [a.get_title("left").strip() for a in figure.axes if a.get_title("left")] == ["one", "two"]
    assert "nothing named 'toy' in datasets" in samples.problem


def test_a_failed_job_keeps_its_place_with_its_error(suite):
    suite.failed("two", "i4")
    add_pictures(suite.done("one", "i4", 30.0))
    store, dataset, psnr, _ = parts(suite)
    figure = strip_figure(store, dataset, psnr, Choice("i4"), Samples(dataset, None))
    assert {"DivergedError", "no picture"} <= set(words(figure))


def test_a_kernel_is_shown_with_its_centre_of_mass_in_the_middle():
    kernel = np.zeros((9, 13))
    kernel[1, 8:11] = 1 / 3
    shown = centred(kernel)
    assert shown.shape == (5, 5)  # one pixel to each side of what is not zero
    np.testing.assert_allclose(shown[2], [0, 1 / 3, 1 / 3, 1 / 3, 0])
    assert centred(np.zeros((2, 2))).shape == (2, 2)


@pytest.mark.parametrize(("count", "rows"), [(1, (1, 1)), (6, (1, 6)), (7, (2, 4)), (13, (3, 5))])
def test_rows_are_about_equally_full(count, rows):
    assert arranged(count) == rows


def test_names_of_points_do_not_cover_each_other():
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    clouds = {f"recipe {i}": np.array([[5.0, 5.0 + 0.1 * i]] * 3) for i in range(3)}
    label_points(figure, axes, clouds, looks([Named(n, n, n) for n in clouds]), {name: name for name in clouds})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent().extents for text in axes.texts]
    assert all(overlap(a, b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_every_place_of_a_name_is_off_its_point():
    point = (50.0, 50.0, 50.0, 50.0)
    assert all(overlap(box_of((50, 50), place, "name"), (48, 48, 52, 52)) < 16 for place in PLACES)
    assert overlap(point, point) == 0


def test_recipes_have_looks_of_their_own():
    many = [Named(str(i), str(i), str(i)) for i in range(21)]
    assert len({(look.color, str(look.line)) for look in looks(many).values()}) == 21
    assert looks(many)["3"] == looks(many[:5])["3"]


def test_figures_are_written_as_png_and_svg_and_matplotlib_is_left_as_it_was(suite, tmp_path):
    before, loaded = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    store = read_store(suite.plan())
    drawn = draw(store, tmp_path / "new" / "figures", kinds=("ratios", "kernels"), cases=["i0"])
    assert [file.name for file in drawn.files] == ["toy--error-ratio.png", "toy--kernels.png"]
    assert all(file.with_suffix(".svg").read_text("utf-8").startswith("<?xml") for file in drawn.files)
    assert any("without blurry and sharp pictures of toy" in remark for remark in drawn.remarks)
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_what_cannot_be_drawn_is_said(tmp_path):
    folder = SuiteFolder(tmp_path, metrics=METRICS[:1])
    folder.failed("one", "i0")
    drawn = draw(read_store(folder.plan()), tmp_path / "plots")
    assert drawn.files == []
    assert len([remark for remark in drawn.remarks if remark.startswith("no figure")]) == len(KINDS)


def test_unknown_kinds_and_cases_are_errors(suite, tmp_path):
    store = read_store(suite.plan())
    with pytest.raises(InputError, match="no figure 'pie'; there are ratios"):
        draw(store, tmp_path, kinds=["pie"])
    with pytest.raises(InputError, match="no result of a case 'i9'"):
        draw(store, tmp_path, cases=["i9"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --output"):
        draw(store, tmp_path / "file" / "plots", kinds=["ratios"])

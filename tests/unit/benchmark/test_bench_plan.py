"""Plans: which jobs there are, and what their ids depend on."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from toy_benchmark import MeanSquare, Toy

from invkit.benchmark import plan as planning
from invkit.benchmark.plan import check_recipes, distributions_of, evenly_chosen, make_plan
from invkit.benchmark.suite import parse_suite
from invkit.core import registry
from invkit.core.errors import InputError, RecipeError, UnknownNameError
from invkit.core.evaluation import Case

SUITE = """
datasets = [{ name = "toy", params = { number = 2 } }]
recipes = ["wiener"]
metrics = ["toy-error"]
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for family, name, component in (("datasets", "toy", Toy), ("metrics", "toy-error", MeanSquare)):
        registry.register(family, name, component)
    yield
    for family, name in (("datasets", "toy"), ("metrics", "toy-error")):
        registry.unregister(family, name)


def ids(text: str, root: Path | None = None) -> list[str]:
    return [job.id for job in make_plan(parse_suite(text), root).jobs]


def test_every_recipe_comes_before_the_next_case_and_every_case_before_the_next_seed() -> None:
    suite = SUITE.replace('["wiener"]', '["wiener", "tv-admm"]') + "seeds = [0, 5]"
    order = [(job.seed, job.case.name, job.label) for job in make_plan(parse_suite(suite), None).jobs]
    assert order == [(s, c, r) for s in (0, 5) for c in ("case0", "case1") for r in ("wiener", "tv-admm")]


def test_an_id_says_what_it_is_of() -> None:
    assert ids(SUITE)[1].rpartition("--")[0] == "wiener--toy--case1--s0"


def test_ids_are_the_same_again_and_do_not_depend_on_where_the_data_lie(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "toy.txt").write_text("same")
    assert ids(SUITE, tmp_path / "one") == ids(SUITE, tmp_path / "one") == ids(SUITE, tmp_path / "other")


@pytest.mark.parametrize(
    "change",
    [
        ('"wiener"', '{ name = "wiener", overrides = ["regularizers.0.weight=0.5"] }'),
        ("number = 2", "number = 2, known = false"),
        ('["toy-error"]', '[{ name = "toy-error", params = { factor = 2.0 } }]'),
        ("metrics", "snapshots = [1]\nmetrics"),
        ("metrics", "color = 'rgb'\nmetrics"),
        ("metrics", "device = 'cpu'\nmetrics"),
        ("metrics", "time_limit = 5.0\nmetrics"),
        ("metrics", "seeds = [1]\nmetrics"),
        ("metrics", "overrides = ['operator.params.padding=circular']\nmetrics"),
    ],
)
def test_whatever_changes_a_result_changes_its_id(change: tuple[str, str]) -> None:
    digits = [{job.rpartition("--")[2] for job in ids(text)} for text in (SUITE, SUITE.replace(*change))]
    assert digits[0].isdisjoint(digits[1])


def test_a_changed_file_changes_the_id(tmp_path: Path) -> None:
    (tmp_path / "toy.txt").write_text("one")
    before = ids(SUITE, tmp_path)
    (tmp_path / "toy.txt").write_text("two, longer")
    assert set(before).isdisjoint(ids(SUITE, tmp_path))


def test_another_version_changes_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(SUITE)
    monkeypatch.setattr(planning, "version", lambda name: "99.0")
    assert set(before).isdisjoint(ids(SUITE))


def test_words_and_defaults_that_are_written_do_not_change_the_id() -> None:
    words = SUITE.replace('"wiener"', '{ name = "wiener", overrides = ["title=Other", "notes=More"] }')
    default = SUITE.replace('["toy-error"]', '[{ name = "toy-error", params = { factor = 1.0 } }]')
    assert ids(SUITE) == ids(words) == ids(default)


def test_components_that_others_hold_count_among_the_versions() -> None:
    registry.register("kernel_estimation", "toy-step", object)
    try:
        assert registry.THIS_SESSION in distributions_of(
            {"solver": {"params": {"kernel_estimation": {"name": "toy-step"}}}}
        )
        assert list(distributions_of({"solver": "pyramid"})) == ["invkit"]
        assert distributions_of({"operator": {"name": "deepinv:Blur"}})["deepinv"] == metadata.version("deepinv")
    finally:
        registry.unregister("kernel_estimation", "toy-step")


@pytest.mark.parametrize(
    ("number", "limit", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (100, 1, [0]),
        (100, 5, [0, 25, 50, 74, 99]),
        (32, 8, [0, 4, 9, 13, 18, 22, 27, 31]),
    ],
)
def test_a_limit_is_spread_over_all_cases(number: int, limit: int | None, expected: list[int]) -> None:
    cases = [Case(str(i)) for i in range(number)]
    assert [int(case.name) for case in evenly_chosen(cases, limit)] == expected


def test_eight_of_levins_cases_show_every_kernel_and_every_image() -> None:
    cases = [Case(f"{image}-{kernel}") for image in range(4) for kernel in range(8)]
    chosen = [case.name.split("-") for case in evenly_chosen(cases, 8)]
    assert {kernel for _, kernel in chosen} == set("01234567")
    assert {image for image, _ in chosen} == set("0123")


def test_a_job_is_small_and_can_be_sent() -> None:
    job = make_plan(parse_suite(SUITE), None).jobs[0]
    sent = pickle.dumps(job)
    assert len(sent) < 20_000
    assert pickle.loads(sent).recipe == job.recipe
    assert job.recipe.is_nonblind


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (('"wiener"', '"weiner"'), UnknownNameError, "suite's recipe weiner.*did you mean 'wiener'"),
        (('"toy"', '"tay"'), UnknownNameError, "datasets.tay: nothing named 'tay'"),
        (("number", "numbr"), InputError, "datasets.toy.params.numbr is not known; did you mean 'number'"),
        (('"toy-error"', '"toy-eror"'), UnknownNameError, "metrics.toy-eror"),
        (("metrics", "overrides = ['solvr=x']\nmetrics"), RecipeError, "suite's recipe wiener.*solvr"),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_place(
    change: tuple[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make_plan(parse_suite(SUITE.replace(*change)), None)


def test_parameters_of_recipes_are_checked_before_anything_is_computed() -> None:
    suite = parse_suite(SUITE.replace("metrics", "overrides = ['solver.params.nothing=1']\nmetrics"))
    with pytest.raises(RecipeError, match=r"suite's recipe wiener.*solver.params.nothing"):
        check_recipes(make_plan(suite, None))


def test_data_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"toy\.txt cannot be read"):
        ids(SUITE, tmp_path)


def test_planning_loads_neither_deepinv_nor_scipy() -> None:
    code = (
        "import sys; from invkit.benchmark.plan import recipe_of; from invkit.benchmark.suite import *;"
        "print(*[recipe_of(r) and r.label for r in load_suite('levin').recipes]);"
        "print([name for name in ('deepinv', 'scipy', 'matplotlib', 'distributed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""The commands that list, describe and solve, and the choice of a recipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from invkit.apps.cli.components import type_text
from invkit.apps.cli.main import main
from invkit.apps.cli.options import parse_kernel_size
from invkit.core import registry
from invkit.pipeline import recipe_choice
from invkit.recipes.model import parse_recipe


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_list_names_every_component(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(monkeypatch, "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(r["family"], r["name"]) for r in rows} == {(f, n) for f in registry.FAMILIES for n in registry.names(f)}
    assert invoke(monkeypatch, "list", "kernel_priors") == 0
    assert "softmax-fcn" in capsys.readouterr().out


def test_components_of_other_libraries_are_listed_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "list", "regularizers") == 0
    short = " ".join(capsys.readouterr().out.split())
    assert "Adapters give more components, of deepinv: invkit list regularizers --adapters" in short
    assert invoke(monkeypatch, "list", "regularizers", "--adapters", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"tv", "deepinv:TVPrior", "deepinv:DRUNet"} <= rows.keys()
    assert rows["deepinv:DRUNet"]["distribution"] == "deepinv"
    assert invoke(monkeypatch, "list", "operators", "--adapters", "--json") == 0
    operators = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert "deepinv:Blur" in operators
    assert "deepinv:Haze" not in operators  # it is refused, with a reason


def test_check_tells_sound_from_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(monkeypatch, "list", "--check", "--json") == 0
    assert all(row["problem"] == "" for row in json.loads(capsys.readouterr().out))
    broken = registry.Entry("solvers", "broken", "brokendist", "1.0", "no_such_module:Thing")
    installed = {**registry._installed(), "solvers": [broken]}
    monkeypatch.setattr(registry, "_installed", lambda: installed)
    assert invoke(monkeypatch, "list", "solvers", "--check", "--json") == 1
    [row] = json.loads(capsys.readouterr().out)
    assert "no_such_module" in row["problem"]


@pytest.mark.parametrize("family", ["operators", "image_priors", "kernel_priors", "regularizers", "solvers"])
def test_describe_shows_every_parameter(
    family: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in registry.names(family):
        assert invoke(monkeypatch, "describe", family, name, "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["about"]
        assert all(schema.get("description") for schema in facts["parameters"].values())
        assert invoke(monkeypatch, "describe", family, name) == 0
        page = capsys.readouterr().out
        assert all(parameter in page for parameter in facts["parameters"])


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_a_shown_recipe_can_be_used(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(monkeypatch, "recipe", "show", name) == 0
    recipe = parse_recipe(capsys.readouterr().out)
    assert recipe.name == name
    assert recipe.source


def test_schema_covers_every_component(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(monkeypatch, "schema") == 0
    schema = json.loads(capsys.readouterr().out)
    slots = schema["$defs"]["kernel_priors"]["anyOf"][0]["oneOf"]
    named = [slot["properties"] for slot in slots if "const" in slot["properties"]["name"]]
    params = {places["name"]["const"]: places["params"]["properties"] for places in named}
    assert set(params) == set(registry.names("kernel_priors"))
    assert "hidden" in params["softmax-fcn"]


def test_solve_denoises_with_files_named_in_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    clean = np.kron(rng.uniform(0.2, 0.8, (5, 5)), np.ones((12, 12)))
    np.save(tmp_path / "noisy.npy", np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1).astype(np.float32))
    np.save(tmp_path / "clean.npy", clean.astype(np.float32))
    (tmp_path / "denoise.toml").write_text(
        'name = "denoise"\noperator = "identity"\nimage_prior = "pixels"\nmeasurement.image = "noisy.npy"\n'
        "[[regularizers]]\nname = 'tv'\nweight = 0.05\n"
        "[solver]\nname = 'joint-adam'\nparams = { iterations = 150, milestones = [100] }\n"
    )
    folder = tmp_path / "out"
    arguments = ["solve", tmp_path / "denoise.toml", "--output", folder, "--truth", tmp_path / "clean.npy"]
    assert invoke(monkeypatch, *arguments) == 0, capsys.readouterr().err
    psnr = json.loads((folder / "result.json").read_text())["psnr"]
    assert psnr["after"] > psnr["before"] + 3  # total variation suits a piecewise constant image


def test_solve_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text('name="r"\nimage_prior="pixels"\nsolver="joint-adam"\n')
    assert invoke(monkeypatch, "solve", tmp_path / "r.toml") == 2
    assert "--image" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "size"), [("auto", "auto"), ("31", (31, 31)), ("31x25", (31, 25))])
def test_kernel_size(text: str, size: object) -> None:
    assert parse_kernel_size(text) == size


@pytest.mark.parametrize("text", ["9" * 5000, "3x" + "9" * 5000, "x", "3x", ""])
def test_what_is_no_kernel_size_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not N, HxW or auto") as caught:
        parse_kernel_size(text)
    assert len(str(caught.value)) < 100


def test_type_text() -> None:
    assert type_text({"type": "integer", "exclusiveMinimum": 0}) == "integer > 0"
    assert type_text({"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}) == "number >= 0 or none"
    assert type_text({"enum": ["fft", "direct"]}) == "fft, direct"


OPTIONS = [
    *("--recipe", "selfdeblur-small", "--set", "image_prior=pixels", "--set", "solver.iterations=4"),
    *("--kernel-size", 5, "--sigma", 0.02, "--color", "rgb", "--seed", 3),
]


@pytest.fixture
def earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.save(tmp_path / "image.npy", np.random.default_rng(0).uniform(size=(30, 34, 3)).astype(np.float32))
    assert invoke(monkeypatch, "deblur", tmp_path / "image.npy", "-o", tmp_path / "first", *OPTIONS) == 0
    return tmp_path / "first"


def test_rerun_repeats_a_run_bit_for_bit(earlier_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = earlier_run.parent / "again"
    assert invoke(monkeypatch, "rerun", earlier_run / "result.json", "-o", again) == 0
    for name in ("image.png", "kernel.npy"):
        assert (earlier_run / name).read_bytes() == (again / name).read_bytes()


def test_rerun_restores_another_image_in_the_same_way(earlier_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, again, direct = (earlier_run.parent / name for name in ("other.npy", "again", "direct"))
    np.save(other, np.random.default_rng(1).uniform(size=(28, 32, 3)).astype(np.float32))
    assert invoke(monkeypatch, "rerun", earlier_run / "result.json", "--image", other, "-o", again) == 0
    assert invoke(monkeypatch, "deblur", other, *OPTIONS, "-o", direct) == 0
    assert (direct / "image.png").read_bytes() == (again / "image.png").read_bytes()


def test_rerun_refuses_a_changed_image(
    earlier_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(earlier_run.parent / "image.npy", np.zeros((30, 34, 3), np.float32))
    assert invoke(monkeypatch, "rerun", earlier_run / "result.json", "-o", earlier_run.parent / "again") == 2
    assert "--image" in capsys.readouterr().err
    assert not (earlier_run.parent / "again").exists()


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ([], "toy-best: toy-best takes about 14 s for 30x30 pixels"),
        (
            ["--recipe", "auto", "--time-limit", 15],
            "toy-best: toy-best takes about 14 s for 30x30 pixels",
        ),
        (
            ["--time-limit", 5],
            "toy-fast: toy-best takes about 14 s for 30x30 pixels, more than the time limit of 5 s",
        ),
        (["--kernel", "kernel.npy"], "toy-refining: a kernel is given to start from"),
        (["--recipe", "toy-fast"], None),
    ],
)
def test_deblur_prints_which_recipe_it_chose_and_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[object],
    choice: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe_choice, "BEST_SECONDS", 1000.0)
    np.save("image.npy", np.random.default_rng(0).uniform(size=(30, 30)).astype(np.float32))
    np.save("kernel.npy", np.full((5, 5), 1 / 25))
    toys = {"FAST_RECIPE": "toy-fast", "BEST_RECIPE": "toy-best", "REFINING_RECIPE": "toy-refining"}
    solver = '{name = "joint-adam", params = {iterations = 1}}'
    for place, name in toys.items():
        monkeypatch.setattr(recipe_choice, place, name)
        text = f'name = "{name}"\nimage_prior = "pixels"\nkernel_prior = "simplex"\nsolver = {solver}\n'
        registry.register("recipes", name, text)
    try:
        assert invoke(monkeypatch, "deblur", "image.npy", *options) == 0
    finally:
        for name in toys.values():
            registry.unregister("recipes", name)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("recipe ")]
    assert lines == ([f"recipe {choice}"] if choice else [])
    assert json.loads(Path("deblurred/result.json").read_text()).get("recipe_choice") == choice


def test_json_without_a_recipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "image.npy", np.random.default_rng(0).uniform(size=(30, 30)).astype(np.float32))
    for text, words in [("{}", "holds no recipe"), ("{", "not valid JSON")]:
        (tmp_path / "other.json").write_text(text)
        arguments = ["--recipe", tmp_path / "other.json", "-o", tmp_path / "out"]
        assert invoke(monkeypatch, "deblur", tmp_path / "image.npy", *arguments) == 2
        assert words in capsys.readouterr().err

"""``invkit plugin new`` writes plugins that work, and refuses names that it cannot use."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app, main
from invkit.apps.scaffold import TEMPLATE_FAMILIES, plugin_files, plugin_names, write_plugin
from invkit.core import registry
from invkit.core.errors import InputError, UnknownNameError
from invkit.core.plugin_loading import requirements_of
from invkit.recipes.model import check_recipe, parse_recipe
from invkit.testing import check_component

PLUGINS = Path(invkit.__file__).parent.parent / "plugins"
TEMPLATE = ["plugin", "new", "invkit-template", "--component", "straight-motion"]  # made plugins/template
MOST_LINES = 30  # that a user writes: a goal of the plugin templates


def texts_in(folder: Path) -> dict[str, str]:
    """The texts of a folder, without the files of Python, pytest and pip."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".py", ".toml", ".md")]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def invoke(*words: object) -> str:
    outcome = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def code_lines(text: str) -> int:
    """The number of lines without blank lines, comments and docstrings."""
    tree = ast.parse(text)
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    words = {
        line
        for node in documented
        if ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = [line for number, line in enumerate(text.splitlines(), start=1) if number not in words]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def test_the_template_is_what_the_command_writes(tmp_path: Path) -> None:
    """After a change of the templates or of invkit's version, delete plugins/template and run the command again."""
    invoke(*TEMPLATE, "--output", tmp_path / "template")
    assert texts_in(tmp_path / "template") == texts_in(PLUGINS / "template")


def test_the_code_of_a_plugin_is_short() -> None:
    """The module of the component and its recipe have few lines together."""
    package = PLUGINS / "template" / "src" / "invkit_template"
    recipe = (package / "straight-motion.toml").read_text(encoding="utf-8")
    assert code_lines((package / "straight_motion.py").read_text("utf-8")) + len(recipe.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("family", TEMPLATE_FAMILIES)
def test_the_component_of_every_family_conforms_and_its_recipe_is_one(
    family: str, install: Callable[..., Path]
) -> None:
    names = plugin_names("my-thing", family)
    texts = plugin_files(names)
    module = {"my_thing_module": texts["src/my_thing/my_thing.py"]}
    install("my-thing", f"[invkit.{family}]\nthing = my_thing_module:{names.cls}\n", **module)
    check_component(family, "my-thing:thing")
    recipe = parse_recipe(texts["src/my_thing/my-thing.toml"].replace('"my-thing"', '"thing"'))
    check_recipe(recipe)
    assert "thing" in {spec.name for _, place, spec in recipe.own_components() if place == family}


@pytest.mark.parametrize("family", TEMPLATE_FAMILIES)
def test_the_entry_point_leads_to_the_class(family: str) -> None:
    names = plugin_names("invkit-fine_thing.2", family)
    texts = plugin_files(names)
    assert (names.package, names.component, names.module) == ("invkit_fine_thing_2", "fine-thing-2", "fine_thing_2")
    line = 'fine-thing-2 = "invkit_fine_thing_2.fine_thing_2:FineThing2"'
    assert f'[project.entry-points."invkit.{family}"]\n{line}\n' in texts["pyproject.toml"]
    assert "class FineThing2(" in texts["src/invkit_fine_thing_2/fine_thing_2.py"]
    assert all(ast.parse(text) for path, text in texts.items() if path.endswith(".py"))


def test_it_prints_the_next_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = invoke("plugin", "new", "my-prior")
    assert "my-prior/src/my_prior/my_prior.py holds 'my-prior' of kernel_priors. Next:" in message
    assert [line.strip() for line in message.splitlines()[1:]] == [
        "pip install -e 'my-prior[test]'",
        "pytest my-prior",
        "invkit bench run quick --recipes my-prior,fast-map",
        "invkit bench table benchmarked/quick",
        "invkit deblur photo.jpg --recipe my-prior",
    ]


def test_help_teaches_with_examples() -> None:
    message = invoke("plugin", "new", "--help")
    assert "invkit plugin new my-prior" in message
    assert "--family regularizers" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prior-"], "cannot name a distribution"),
        (["my prior"], "cannot name a distribution"),
        (["2-fast"], "gives the package '2_fast', which Python cannot import"),
        (["Lambda"], "the package 'lambda', which Python cannot import"),
        (["json"], "the package 'json', which Python already has"),
        (["torch"], "the package 'torch', which torch already has"),
        (["invkit"], "the package 'invkit', which invkit already has"),
        (["my-prior", "--component", "My Prior"], "'My Prior' cannot name a component"),
        (["my-prior", "--component", "simplex"], "invkit already has 'simplex' in kernel_priors"),
        (["my-prior", "--component", "fast-map"], "invkit already has 'fast-map' in recipes"),
        (["my-prior", "--component", "kernel-prior"], "the class KernelPrior, but its module imports another class"),
        (["my-prior", "--family", "solvers"], "only for kernel_priors, image_priors, regularizers, fidelities"),
        (["my-prior", "--family", "recipes"], "no template for the family recipes"),
        (["my-prior", "--family", "kernel"], "no family 'kernel'; did you mean 'kernel_priors'"),
    ],
)
def test_unusable_names_are_refused_and_nothing_is_written(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["invkit", "plugin", "new", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_existing_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    texts = plugin_files(plugin_names("my-prior", "kernel_priors"))
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="exists and is not empty"):
            write_plugin(folder, texts)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_and_an_unwritable_one_refused(tmp_path: Path) -> None:
    texts = plugin_files(plugin_names("my-prior", "kernel_priors"))
    write_plugin(tmp_path, texts)
    assert texts_in(tmp_path) == texts
    with pytest.raises(InputError, match="cannot be written"):
        write_plugin(tmp_path / "README.md" / "below", texts)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="families are"):
        plugin_names("my-prior", "quux")


def test_a_plugin_requires_this_version_of_invkit(install: Callable[..., Path]) -> None:
    text = plugin_files(plugin_names("my-prior", "kernel_priors"))["pyproject.toml"]
    (asked,) = [line.split('"')[1] for line in text.splitlines() if line.startswith("dependencies")]
    install("my-prior", "", asked)
    (requirement,) = requirements_of("my-prior")
    assert requirement.specifier.contains(invkit.__version__)
    assert not requirement.specifier.contains("999")
    assert registry.names("kernel_priors")

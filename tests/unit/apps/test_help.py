"""Every command says what it does and what each of its options means, and shows an example that can be run."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from invkit.apps.cli.main import app


def commands(group, words=()):
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def groups(group, words=()):
    yield words, group
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from groups(command, (*words, name))


ROOT = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))
GROUPS = dict(groups(ROOT))
EACH = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def examples(words):
    text = COMMANDS[words].help or ""
    _, _, after = text.partition("[bold]Examples[/bold]")
    return [line.strip() for line in after.splitlines() if line.strip()]


def test_the_walk_finds_the_commands():
    assert {("deblur",), ("bench", "run"), ("recipe", "show"), ("doctor",)} <= set(COMMANDS)


@EACH
def test_a_command_has_a_sentence_and_examples_of_itself(words):
    first = (COMMANDS[words].help or "").splitlines()[0]
    assert first.endswith((".", ":"))
    mine = [line for line in examples(words) if " ".join(("invkit", *words)) in line]
    assert mine, "no example"


@EACH
def test_every_option_and_argument_says_what_it_means(words):
    assert [each.name for each in COMMANDS[words].params if not each.help] == []


@EACH
def test_an_example_uses_options_that_exist(words):
    known = {name for each in COMMANDS[words].params for name in (*each.opts, *each.secondary_opts)}
    for line in examples(words):
        if line.startswith(" ".join(("invkit", *words))):
            given = [word.partition("=")[0] for word in shlex.split(line) if word.startswith("-")]
            assert set(given) - {"-h", "--help"} <= known


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(("invkit", *words)))
def test_a_group_says_what_it_is_about(words):
    assert GROUPS[words].help


@EACH
def test_help_is_shown(words):
    done = CliRunner().invoke(app, [*words, "--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Examples" in done.output


def test_the_first_page_tells_exit_codes_and_environment():
    page = CliRunner().invoke(app, ["--help"]).output
    assert all(words in page for words in ("INVKIT_DATA", "Exit codes", "--install-completion"))

"""The help of each command has a sentence, a text for each option, and an example that can be run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from invkit.apps.cli import main as command_line
from invkit.apps.cli.main import LazyCommand, app

Words = tuple[str, ...]


def walk(command: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """A command and all commands and groups below it, loaded, each with the words that call it."""
    command = command.load() if isinstance(command, LazyCommand) else command
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*words, name))


ROOT = typer.main.get_command(app)
EVERY = dict(walk(ROOT))
GROUPS = {words: each for words, each in EVERY.items() if isinstance(each, typer.core.TyperGroup)}
COMMANDS = {words: each for words, each in EVERY.items() if words not in GROUPS}
HELP_LINES = {name: line for panel in command_line.COMMANDS.values() for name, (_, line) in panel.items()}
EACH = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def examples(words: Words) -> list[str]:
    text = COMMANDS[words].help or ""
    _, _, after = text.partition("[bold]Examples[/bold]")
    return [line.strip() for line in after.splitlines() if line.strip()]


def test_the_walk_finds_the_commands() -> None:
    assert {("deblur",), ("bench", "run"), ("recipe", "show"), ("doctor",)} <= set(COMMANDS)


@EACH
def test_a_command_has_a_sentence_and_examples_of_itself(words: Words) -> None:
    first = (COMMANDS[words].help or "").splitlines()[0]
    assert first.endswith((".", ":"))
    mine = [line for line in examples(words) if " ".join(("invkit", *words)) in line]
    assert mine, "no example"


@EACH
def test_every_option_and_argument_says_what_it_means(words: Words) -> None:
    assert [each.name for each in COMMANDS[words].params if not each.help] == []


@EACH
def test_an_example_uses_options_that_exist(words: Words) -> None:
    known = {name for each in COMMANDS[words].params for name in (*each.opts, *each.secondary_opts)}
    for line in examples(words):
        if line.startswith(" ".join(("invkit", *words))):
            given = [word.partition("=")[0] for word in shlex.split(line) if word.startswith("-")]
            assert set(given) - {"-h", "--help"} <= known


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(("invkit", *words)))
def test_a_group_says_what_it_is_about(words: Words) -> None:
    assert GROUPS[words].help


@pytest.mark.parametrize("name", HELP_LINES)
def test_the_help_line_of_the_table_is_the_first_sentence_of_the_command(name: str) -> None:
    assert (EVERY[(name,)].help or "").splitlines()[0] == HELP_LINES[name]


@pytest.mark.parametrize("words", [("deblur",), ("deconvolve",), ("solve",)], ids=" ".join)
def test_the_options_of_a_restoration_are_in_panels(words: Words) -> None:
    panels = {option.rich_help_panel for option in COMMANDS[words].params if option.param_type_name == "option"}
    assert panels - {None} == {"Input", "Method", "Output", "Run control"}
    assert {option.name for option in COMMANDS[words].params if option.param_type_name == "option"} >= {
        *("kernel", "sigma", "truth", "settings", "color", "seed", "device", "output", "overwrite", "as_json"),
        *("time_limit", "checkpoint_every", "observe", "resume", "debug"),
    }


@EACH
def test_help_is_shown(words: Words) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Examples" in done.output


def test_the_first_page_lists_commands_exit_codes_and_environment() -> None:
    page = CliRunner().invoke(app, ["--help"]).output
    assert all(words in page for words in ("INVKIT_DATA", "Exit codes", "--install-completion", *HELP_LINES))

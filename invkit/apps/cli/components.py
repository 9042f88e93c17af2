"""The commands about components and recipes: ``list``, ``describe``, ``schema``, ``recipe show`` and ``plugin new``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from ...core import registry
from ...core.errors import PluginError
from .shared import Debug, complete_components, complete_families, complete_names, out, print_line

if TYPE_CHECKING:
    from ..scaffold import PluginNames

__all__ = ["describe_command", "list_command", "plugin_app", "recipe_app", "schema_command", "type_text"]

JsonFlag = Annotated[bool, typer.Option("--json", help="For scripts.")]

recipe_app = typer.Typer(no_args_is_help=True, help="Show recipes, to copy and edit.")
plugin_app = typer.Typer(no_args_is_help=True, help="Write your own components, as a package that pip installs.")


def list_command(
    family: Annotated[
        str | None, typer.Argument(help="operators, image_priors, kernel_priors, ...", autocompletion=complete_families)
    ] = None,
    as_json: JsonFlag = False,
    check: Annotated[bool, typer.Option("--check", help="Load each component; exit code 1 if one fails.")] = False,
    adapters: Annotated[bool, typer.Option("--adapters", help="Also parts of other libraries; imports them.")] = False,
    debug: Debug = False,
) -> None:
    """List the registered components, of one family or of all.

    [bold]Examples[/bold]

      invkit list recipes

      invkit list regularizers --adapters

      invkit list --check --json
    """
    families = [family] if family else list(registry.FAMILIES)
    rows = [vars(entry) for each in families for entry in registry.entries(each)]
    if check:
        from ...recipes.schema import problem_of

        rows = [row | {"problem": problem_of(registry.Entry(**row))} for row in rows]
    rows += [row for each in families for row in adapted_rows(each)] if adapters else []
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        out.print(component_table(rows, check))
        more = "" if adapters else ", ".join(registry.names("adapters"))
        if more:
            print_line(f"Adapters give more components, of {more}: invkit list {family or ''} --adapters")
    if any(row.get("problem") for row in rows):
        raise typer.Exit(1)


def adapted_rows(family: str) -> list[dict[str, Any]]:
    """The components of a family that adapters make; what an adapter refuses with a reason is left out."""
    names = [name for prefix in registry.names("adapters") for name in registry.adapted_names(family, prefix)]
    return [vars(registry.find(family, name)) | {"name": name} for name in names if is_usable(family, name)]


def is_usable(family: str, name: str) -> bool:
    """Whether an adapter makes a component of a name."""
    try:
        registry.load(family, name)
    except PluginError:
        return False
    return True


def component_table(rows: list[dict[str, Any]], check: bool) -> Table:
    """Registered components as a table, with the result of the check if there was one."""
    table = Table("family", "name", "from", *(["check"] if check else []))
    for row in rows:
        origin = f"{row['distribution']} {row['version']}".strip()
        cells = [row["family"], row["name"], origin, *([row.get("problem") or "ok"] if check else [])]
        table.add_row(*map(escape, cells))
    return table


def describe_command(
    family: Annotated[str, typer.Argument(help="A family, as kernel_priors.", autocompletion=complete_families)],
    name: Annotated[str, typer.Argument(help="A component, as softmax-fcn.", autocompletion=complete_components)],
    as_json: JsonFlag = False,
    debug: Debug = False,
) -> None:
    """Describe a component and the parameters that a recipe can set.

    [bold]Examples[/bold]

      invkit describe kernel_priors softmax-fcn

      invkit describe recipes fast --json
    """
    if family == "recipes" and not as_json:
        show_command(name)
        return
    from ...recipes.schema import describe

    facts = describe(family, name)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.markdown import Markdown

    print_line(f"{facts['name']} of {family}, {facts['class']} ({facts['distribution']})\n")
    out.print(Markdown(facts["about"]))
    out.print(parameter_table(facts) if facts["parameters"] else "It has no parameters.")


def parameter_table(facts: dict[str, Any]) -> Table:
    """The parameters of a component as a table, from its description."""
    narrow = [Column("parameter", no_wrap=True), Column("type", overflow="fold")]  # nothing is cut on 80 columns
    table = Table(*narrow, "default", "meaning", title="parameters")
    for parameter, schema in facts["parameters"].items():
        required = parameter in facts["required"]
        default = "[bold]required[/bold]" if required else escape(json.dumps(schema.get("default")))
        table.add_row(parameter, escape(type_text(schema)), default, escape(schema.get("description", "")))
    return table


def type_text(schema: dict[str, Any]) -> str:
    """The type and bounds of a parameter, from its JSON schema.

    Example:
        >>> type_text({"type": "integer", "exclusiveMinimum": 0})
        'integer > 0'
    """
    if "x-family" in schema:
        return f"a component of {schema['x-family']}"
    if "x-family" in schema.get("items", ()):
        return f"a list of components of {schema['items']['x-family']}"
    if "anyOf" in schema:
        return " or ".join(type_text(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema and abs(schema[key]) < 2**53]
    kind = "none" if schema.get("type") == "null" else str(schema.get("const", schema.get("type", "any")))
    return " ".join([kind, *bounds])


def schema_command() -> None:
    """Print the JSON schema of recipe files, for editors.

    [bold]Examples[/bold]

      invkit schema > recipe.schema.json
    """
    from ...recipes.schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


@recipe_app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="Name of a recipe.", autocompletion=complete_names("recipes"))],
    debug: Debug = False,
) -> None:
    """Print the TOML of a recipe, to copy and edit.

    [bold]Examples[/bold]

      invkit recipe show selfdeblur > mine.toml
    """
    from ...recipes.toml import recipe_text

    typer.echo(recipe_text(name))


@plugin_app.command("new")
def new_plugin_command(
    name: Annotated[str, typer.Argument(help="Name of the distribution, as pip will know it: my-prior.")],
    family: Annotated[
        str,
        typer.Option(
            help="Family of the component: kernel_priors, image_priors, regularizers, fidelities or operators."
        ),
    ] = "kernel_priors",
    component: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the component in recipes. Default: the distribution's name."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The folder to write. Default: NAME.")
    ] = None,
) -> None:
    """Write a distribution with one working component, its recipe and its tests, for you to change.

    The component is in one file. Its signature gives its parameters with their bounds, and its docstring describes
    them. The tests are those that invkit's own components have to pass.

    [bold]Examples[/bold]

      invkit plugin new my-prior

      invkit plugin new my-penalty --family regularizers --component log-gradient

      invkit plugin new lab-blur --family operators --output ~/code/lab-blur
    """
    from ..scaffold import plugin_files, plugin_names, write_plugin

    names = plugin_names(name, family, component)
    folder = output or Path(name)
    write_plugin(folder, plugin_files(names))
    print_line(f"{folder / names.file} holds '{names.component}' of {family}. Next:")
    for command in next_commands(names, folder):
        print_line(f"  {command}")


def next_commands(names: PluginNames, folder: Path) -> list[str]:
    """The commands that install, test and use a new distribution."""
    place = folder.as_posix()
    return [
        f"pip install -e {shlex.quote(f'{place}[test]')}",
        f"pytest {shlex.quote(place)}",
        f"invkit bench run quick --recipes {names.component},fast-map",
        "invkit bench table benchmarked/quick",
        f"invkit deblur photo.jpg --recipe {names.component}",
    ]

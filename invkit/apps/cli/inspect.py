"""The commands that look rather than compute: what is registered, and what recipes say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ...core import registry
from .completion import components, families, names_of
from .running import Debug, out

__all__ = ["add_to", "type_words"]

AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands, and the group ``recipe``."""
    app.command("list")(list_components)
    app.command()(describe)
    app.command()(schema)
    recipe_app = typer.Typer(no_args_is_help=True, help="Look at recipes, to copy and edit.")
    recipe_app.command()(show)
    app.add_typer(recipe_app, name="recipe")


def list_components(
    family: Annotated[
        str | None, typer.Argument(help="operators, image_priors, kernel_priors, ...", autocompletion=families)
    ] = None,
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Load each one and say what fails (exit code 1).")] = False,
    debug: Debug = False,
) -> None:
    """List the registered components, of one family or of all.

    [bold]Examples[/bold]

      invkit list recipes

      invkit list --check --json
    """
    families = [family] if family else list(registry.FAMILIES)
    rows = [vars(entry) for each in families for entry in registry.entries(each)]
    if check:
        from ...recipes.schema import problem_of

        rows = [row | {"problem": problem_of(registry.Entry(**row))} for row in rows]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_rows(rows, check)
    if any(row.get("problem") for row in rows):
        raise typer.Exit(1)


def describe(
    family: Annotated[str, typer.Argument(help="The family, as 'kernel_priors'.", autocompletion=families)],
    name: Annotated[str, typer.Argument(help="The component, as 'softmax-fcn'.", autocompletion=components)],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what a component is, where it is from, and every parameter that a recipe may set.

    [bold]Examples[/bold]

      invkit describe kernel_priors softmax-fcn

      invkit describe recipes fast --json
    """
    if family == "recipes" and not as_json:
        show(name)
        return
    from ...recipes.schema import describe as described

    facts = described(family, name)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.markdown import Markdown

    out.print(f"{facts['name']} of {family}, {facts['class']} ({facts['distribution']})\n", markup=False)
    out.print(Markdown(facts["about"]))
    table = Table("parameter", "type", "default", "meaning", title="parameters")
    for parameter, schema in facts["parameters"].items():
        required = parameter in facts["required"]
        default = "[bold]required[/bold]" if required else escape(json.dumps(schema.get("default")))
        table.add_row(parameter, escape(type_words(schema)), default, escape(schema.get("description", "")))
    out.print(table if facts["parameters"] else "It has no parameters.")


def schema() -> None:
    """Print the JSON schema of recipe files, for editors.

    [bold]Examples[/bold]

      invkit schema > recipe.schema.json
    """
    from ...recipes.schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


def show(
    name: Annotated[str, typer.Argument(help="A recipe's name.", autocompletion=names_of("recipes"))],
    debug: Debug = False,
) -> None:
    """Print a recipe's TOML, to copy and edit.

    [bold]Examples[/bold]

      invkit recipe show selfdeblur > mine.toml
    """
    from ...recipes.model import recipe_text

    typer.echo(recipe_text(name))


def type_words(schema: dict[str, Any]) -> str:
    """A parameter's type and bounds in words, from its JSON schema."""
    if "x-family" in schema:
        return f"a component of {schema['x-family']}"
    if "x-family" in schema.get("items", ()):
        return f"a list of components of {schema['items']['x-family']}"
    if "anyOf" in schema:
        return " or ".join(type_words(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema and abs(schema[key]) < 2**53]
    kind = "none" if schema.get("type") == "null" else str(schema.get("const", schema.get("type", "any")))
    return " ".join([kind, *bounds])


def _print_rows(rows: list[dict[str, Any]], check: bool) -> None:
    table = Table("family", "name", "from", *(["check"] if check else []))
    for row in rows:
        origin = f"{row['distribution']} {row['version']}".strip()
        cells = [row["family"], row["name"], origin, *([row["problem"] or "ok"] if check else [])]
        table.add_row(*map(escape, cells))
    out.print(table)

"""Pages made from the registry when the documentation is built, so that they cannot fall behind it."""

from __future__ import annotations

import json
from pathlib import Path

from house_picture import house_picture
from measured_page import measured_page
from method_table import method_table
from tables import table

from invkit.apps.cli.components import type_text
from invkit.core import evaluation, interfaces, registry
from invkit.core.nested import ComponentSpec, named
from invkit.core.solver import Solver
from invkit.recipes.model import Recipe, load_recipe, recipe_text
from invkit.recipes.schema import describe

INTERFACES = [family for family, interface in registry.FAMILIES.items() if interface is not None]
KINDS = CLASSICAL, NETWORKS, KNOWN, OTHERS = (
    "Blind deconvolution, classical",
    "Blind deconvolution by networks",
    "Deconvolution with a known kernel",
    "Other problems",
)
ABILITIES = {*interfaces.__all__, *evaluation.__all__} - {
    str(interface).partition(":")[2] for interface in registry.FAMILIES.values()
}
TITLES = {family: family.replace("_", " ").capitalize() for family in INTERFACES}


def write(folder: Path) -> None:
    """Write the pages, touching only what has changed."""
    folder.mkdir(exist_ok=True)
    for name, made in PAGES.items():
        text = made()
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def recipes_page() -> str:
    """Every registered recipe: tables by kind, then each with its source, notes and text."""
    recipes = [load_recipe(name) for name in registry.names("recipes")]
    head = (
        "# Recipes\n\nA recipe is one method: the components of the sentence, with their parameters. "
        "`invkit recipe show NAME > mine.toml` gives you one to edit. An arrow leads to the recipe that goes on from "
        "the kernel found (`next`); in brackets stands the solver inside another.\n"
    )
    kinds = [(kind, [recipe for recipe in recipes if kind_of(recipe) == kind]) for kind in KINDS]
    return "\n".join([head, *(kind_table(kind, members) for kind, members in kinds), *map(recipe_section, recipes)])


def is_known(recipe: Recipe) -> bool:
    """Whether a recipe is given its kernel."""
    return recipe.kernel_prior is None or recipe.is_nonblind


def kind_of(recipe: Recipe) -> str:
    """Under which heading a recipe is listed."""
    if recipe.operator.name != "convolution":
        return OTHERS
    if is_known(recipe):
        return KNOWN
    return CLASSICAL if recipe.image_prior.name == "pixels" else NETWORKS


def kind_table(kind: str, recipes: list[Recipe]) -> str:
    """The recipes of one kind."""
    rows = [
        [f"[`{r.name}`](#{r.name})", r.title, " → ".join(solver_words(link.solver) for link in r.links())]
        for r in recipes
    ]
    return f"**{kind}**\n\n{table(['recipe', 'what it is', 'solver'], rows)}" if rows else ""


def solver_words(spec: ComponentSpec) -> str:
    """A solver's name, with that of the one inside it."""
    inner = spec.params.get("inner")
    return spec.name if inner is None else f"{spec.name}({solver_words(ComponentSpec(**named(inner)))})"


def recipe_section(recipe: Recipe) -> str:
    """One recipe in full."""
    parts = [f"({recipe.name})=\n## {recipe.name}", recipe.title, f"Source: {recipe.source}", recipe.notes]
    parts += [f"Goes on with: {' → '.join(link.name for link in recipe.links()[1:])}." if recipe.next else ""]
    text = f"```toml\n{recipe_text(recipe.name).strip()}\n```"
    return "\n" + "\n\n".join(part.strip() for part in [*parts, text] if part.strip()) + "\n"


def components_page() -> str:
    """Every built-in component with its parameters."""
    head = (
        "# Components\n\nEach name can stand in a recipe, or after `--set` on the command line. "
        "`invkit describe FAMILY NAME` prints the same, for plugins too. A parameter that is *a component of* a family "
        "takes a name of that family, or a table `{name = ..., params = {...}}`.\n"
    )
    return "\n".join([head, *map(family_section, INTERFACES)])


def family_section(family: str) -> str:
    """The components of one family."""
    head = f"\n(components-{family})=\n## {TITLES[family]}\n"
    return "\n".join([head, *(component_section(family, name) for name in registry.names(family))])


def component_section(family: str, name: str) -> str:
    """One component: what it is, its class, the table of its parameters."""
    facts = describe(family, name)
    about = facts["about"].split("\n\n")[0].replace("\n", " ").replace("``", "`")
    rows = [
        [f"`{parameter}`", type_of(schema), default_of(schema), schema.get("description", "")]
        for parameter, schema in facts["parameters"].items()
    ]
    parameters = table(["parameter", "type", "default", "meaning"], rows) if rows else "It has no parameters.\n"
    kind = " ".join([f"Class `{facts['class']}`.", *abilities(registry.load(family, name))])
    return f"### {name} ({family})\n\n{about}\n\n{kind}\n\n{parameters}"


def abilities(component: type) -> list[str]:
    """What a component can do beyond its family's interface, and what a solver asks of the others, in words."""
    own = [f"`{base.__name__}`" for base in component.__mro__ if base.__name__ in ABILITIES]
    words = [f"Abilities: {', '.join(own)}."] if own else []
    needs = component.needs if issubclass(component, Solver) else {}
    asked = [f"{part.replace('_', ' ')} `{ability.__name__}`" for part, ability in needs.items()]
    return words + ([f"Needs: {', '.join(asked)}."] if asked else [])


def type_of(schema: dict[str, object]) -> str:
    """A parameter's type in words; of a slot, with a link to what may stand there."""
    words = type_text(schema)
    family = next((family for family in INTERFACES if f" of {family}" in words), None)
    return words.replace(f" of {family}", f" of [{family}](#components-{family})") if family else words


def default_of(schema: dict[str, object]) -> str:
    """A parameter's default as JSON, "none" as a recipe has no word for it, or that it must be given."""
    if "default" not in schema:
        return "required"
    return "none" if schema["default"] is None else f"`{json.dumps(schema['default'])}`"


PAGES = {
    "recipes.md": recipes_page,
    "components.md": components_page,
    "measured.md": measured_page,
    "methods.inc": method_table,
    "house.svg": house_picture,
}

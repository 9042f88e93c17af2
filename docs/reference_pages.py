"""Pages that are made from the registry when the documentation is built, so that they are always up to date."""

from __future__ import annotations

import json
from pathlib import Path

from house_picture import house_picture
from measured_page import measured_page
from method_table import method_table
from reproduce_page import reproduce_page
from tables import table

from invkit.apps.cli.components import type_text
from invkit.core import evaluation, interfaces, registry
from invkit.core.nested import ComponentSpec, named
from invkit.core.problem import Scheduled
from invkit.core.solver import Solver
from invkit.recipes.model import Recipe, load_recipe
from invkit.recipes.schema import describe
from invkit.recipes.toml import recipe_text

INTERFACES = [family for family, interface in registry.FAMILIES.items() if interface is not None]
KINDS = CLASSICAL, NETWORKS, KNOWN, OTHERS = (
    "Blind deconvolution, classical",
    "Blind deconvolution, neural networks",
    "Deconvolution with a known kernel",
    "Other problems",
)
NO_ABILITIES = {str(interface).partition(":")[2] for interface in registry.FAMILIES.values()} | {"KernelPrior"}
ABILITIES = {*interfaces.__all__, *evaluation.__all__, Scheduled.__name__} - NO_ABILITIES
TITLES = {family: family.replace("_", " ").capitalize() for family in INTERFACES}


def write(folder: Path) -> None:
    """Write the pages; unchanged files are not touched."""
    folder.mkdir(exist_ok=True)
    for name, made in PAGES.items():
        text = made()
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def recipes_page() -> str:
    """All registered recipes: one table for each kind, then each recipe with its source, notes and text."""
    recipes = [load_recipe(name) for name in registry.names("recipes")]
    head = (
        "# Recipes\n\nA recipe is one method: the components of the sentence, with their parameters. "
        "`invkit recipe show NAME > mine.toml` writes a copy to edit. In the tables, an arrow leads to the next stage, "
        "which starts from the estimated kernel (`next`). A solver in brackets is nested in another one.\n"
    )
    kinds = [(kind, [recipe for recipe in recipes if kind_of(recipe) == kind]) for kind in KINDS]
    return "\n".join([head, *(kind_table(kind, members) for kind, members in kinds), *map(recipe_section, recipes)])


def is_known(recipe: Recipe) -> bool:
    """Whether the kernel of a recipe is given."""
    return recipe.kernel_prior is None or recipe.is_nonblind


def kind_of(recipe: Recipe) -> str:
    """The heading under which a recipe is listed."""
    if recipe.operator.name != "convolution":
        return OTHERS
    if is_known(recipe):
        return KNOWN
    return CLASSICAL if recipe.image_prior.name == "pixels" else NETWORKS


def kind_table(kind: str, recipes: list[Recipe]) -> str:
    """The recipes of one kind."""
    rows = [
        [f"[`{r.name}`](#{r.name})", r.title, " → ".join(nested_name(link.solver) for link in r.links())]
        for r in recipes
    ]
    return f"**{kind}**\n\n{table(['recipe', 'description', 'solvers'], rows)}" if rows else ""


def nested_name(spec: ComponentSpec) -> str:
    """The name of a solver, with that of the solver nested in it."""
    inner = spec.params.get("inner")
    return spec.name if inner is None else f"{spec.name}({nested_name(ComponentSpec(**named(inner)))})"


def recipe_section(recipe: Recipe) -> str:
    """One recipe: source, notes and text."""
    parts = [f"({recipe.name})=\n## {recipe.name}", recipe.title, f"Source: {recipe.source}", recipe.notes]
    parts += [f"Next stages: {' → '.join(link.name for link in recipe.links()[1:])}." if recipe.next else ""]
    text = f"```toml\n{recipe_text(recipe.name).strip()}\n```"
    return "\n" + "\n\n".join(part.strip() for part in [*parts, text] if part.strip()) + "\n"


def components_page() -> str:
    """All built-in components with their parameters."""
    head = (
        "# Components\n\nThese names can be used in recipes and after `--set` on the command line. "
        "`invkit describe FAMILY NAME` prints the same, also for plugins. A parameter that is *a component of* a "
        "family takes a name of that family, or a table `{name = ..., params = {...}}`.\n"
    )
    return "\n".join([head, *map(family_section, INTERFACES)])


def family_section(family: str) -> str:
    """The components of one family."""
    head = f"\n(components-{family})=\n## {TITLES[family]}\n"
    return "\n".join([head, *(component_section(family, name) for name in registry.names(family))])


def component_section(family: str, name: str) -> str:
    """One component: its description, its class, the table of its parameters."""
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
    """Two sentences: the abilities of a component, and the abilities that a solver needs of the others."""
    own = [f"`{base.__name__}`" for base in component.__mro__ if base.__name__ in ABILITIES]
    sentences = [f"Abilities: {', '.join(own)}."] if own else []
    needs = component.needs if issubclass(component, Solver) else {}
    asked = [f"{part.replace('_', ' ')} `{ability.__name__}`" for part, ability in needs.items()]
    return sentences + ([f"Needs: {', '.join(asked)}."] if asked else [])


def type_of(schema: dict[str, object]) -> str:
    """The type of a parameter as text; for a nested component, with a link to its family."""
    text = type_text(schema)
    family = next((family for family in INTERFACES if f" of {family}" in text), None)
    return text.replace(f" of {family}", f" of [{family}](#components-{family})") if family else text


def default_of(schema: dict[str, object]) -> str:
    """The default of a parameter as JSON; "none" for no value, "required" if there is no default."""
    if "default" not in schema:
        return "required"
    return "none" if schema["default"] is None else f"`{json.dumps(schema['default'])}`"


PAGES = {
    "recipes.md": recipes_page,
    "components.md": components_page,
    "measured.md": measured_page,
    "reproduce.md": reproduce_page,
    "methods.inc": method_table,
    "house.svg": house_picture,
}

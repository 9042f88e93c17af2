"""The recipe that restores images for a selection: its forms, checks and descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from invkit.core.errors import InvkitError, UnknownNameError
from invkit.pipeline.options import WITHOUT_CANDIDATES, check_accepts_kernel
from invkit.recipes.model import (
    Recipe,
    check_parameters,
    check_recipe,
    load_recipe,
    parse_recipe,
    resolved_recipe,
    validate_recipe,
)
from invkit.recipes.schema import recipe_schema

MAIN = """
name = "main"
candidates = ["pan-l0", "cho-lee"]
selection = "log-gradient"
referee = "wiener"
next = "sparse-admm"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 3}}
"""


def main(*settings: str) -> Recipe:
    return parse_recipe(MAIN).with_overrides(settings)


def test_a_referee_is_a_name_a_name_with_settings_or_a_recipe() -> None:
    whole = load_recipe("wiener")
    assert main().referee == whole
    table = "{recipe = 'tv-admm', overrides = ['regularizers.0.weight=0.5'], name = 'mine'}"
    changed = parse_recipe(MAIN.replace("'wiener'", table).replace('"wiener"', table)).referee
    assert changed is not None
    assert (changed.name, changed.regularizers[0].weight) == ("mine", 0.5)
    parts: dict[str, Any] = main().model_dump(exclude={"referee"})
    assert Recipe(**parts, referee=whole) == main()


def test_a_setting_replaces_the_referee_and_leaves_the_other_stages_alone() -> None:
    changed = main("referee=tv-admm")
    assert changed.referee == load_recipe("tv-admm")
    assert changed.next == load_recipe("sparse-admm")
    assert main("next=epll").referee == load_recipe("wiener")
    assert main("referee=none").referee is None


def test_settings_with_short_places_are_not_those_of_the_referee() -> None:
    plain = "{name = 'NAME', image_prior = 'pixels', kernel_prior = 'simplex', solver = 'joint-adam'}"
    text = MAIN.replace('"pan-l0"', plain.replace("NAME", "a")).replace('"cho-lee"', plain.replace("NAME", "b"))
    changed = parse_recipe(text).with_overrides(["referee=sparse-admm", "penalty=50"])
    assert changed.referee == load_recipe("sparse-admm")
    assert changed.next is not None
    assert changed.next.solver.params["inner"]["params"]["penalty"] == 50


def test_a_full_place_sets_a_parameter_of_the_referee() -> None:
    changed = main("referee=sparse-admm", "referee.solver.inner.penalty=50")
    assert changed.referee is not None
    assert changed.referee.solver.params["inner"]["params"]["penalty"] == 50
    assert changed.next == load_recipe("sparse-admm")


def test_the_referee_is_checked_resolved_and_read_again() -> None:
    recipe = main()
    checked = check_parameters(recipe, seed=0)
    assert "referee.solver" in checked
    resolved = resolved_recipe(recipe, checked)
    assert resolved["referee"]["solver"]["name"] == "wiener"
    again = validate_recipe(resolved, "result.json").referee
    assert again is not None
    assert again.solver.name == "wiener"
    assert [place for place, _ in recipe.tree() if place.startswith("referee")] == ["referee."]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["referee=pan-l0"], "referee: pan-l0 is not one stage with a given kernel; name one, as sparse-admm"),
        (["referee={recipe='wiener', overrides=['next=tv-admm']}"], "referee: wiener is not one stage"),
        (["next.referee=wiener"], "next.referee: the first stage names the referee of all stages; put it there"),
        (["referee=winer"], "referee: .*winer.*wiener"),
    ],
)
def test_a_referee_that_cannot_serve_is_refused_with_its_place(settings: list[str], expected: str) -> None:
    with pytest.raises(InvkitError, match=expected):
        check_recipe(main(*settings))


def test_a_referee_without_a_selection_is_refused() -> None:
    alone = MAIN.replace('selection = "log-gradient"\n', "").replace('["pan-l0", "cho-lee"]', '"pan-l0"')
    with pytest.raises(InvkitError, match="referee: no stage has a selection, so wiener would restore nothing"):
        check_recipe(parse_recipe(alone))


def test_an_unknown_parameter_of_the_referee_is_named_with_its_place() -> None:
    text = MAIN.replace(
        '"wiener"', "{name = 'mine', image_prior = 'pixels', solver = {name = 'wiener', params = {x = 1}}}"
    )
    with pytest.raises(InvkitError, match=r"referee\.solver\.x is not known"):
        check_recipe(parse_recipe(text))
    with pytest.raises(UnknownNameError):
        parse_recipe(MAIN.replace('"wiener"', '"nobody"'))


@pytest.mark.parametrize("name", ["fast", "best"])
def test_the_settings_that_an_error_advises_for_a_given_kernel_work(name: str) -> None:
    with pytest.raises(InvkitError, match="or leave the kernel out") as caught:
        check_accepts_kernel(load_recipe(name))
    assert all(f"--set {setting} " in f"{caught.value} ".replace(" (", " ") for setting in WITHOUT_CANDIDATES)
    alone = load_recipe(name).with_overrides(WITHOUT_CANDIDATES)
    check_recipe(alone)
    check_accepts_kernel(alone)


def test_the_schema_allows_a_referee() -> None:
    assert {"$ref": "#"} in recipe_schema()["properties"]["referee"]["anyOf"]

"""Signature and docstring are the one place: what `parameters_of` and `validated` make of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from invkit.core.errors import InputError, PluginError
from invkit.core.parameters import (
    Positive,
    PositiveInt,
    Seed,
    flat_settings,
    parameters_of,
    parameters_schema,
    positional_names,
    read_strictly,
    validated,
)
from invkit.image_priors import DipSkipImage
from invkit.numerics.geometry import Shape
from invkit.solvers import JointAdam

if TYPE_CHECKING:
    from decimal import Decimal


class Component:
    """A component with one parameter of each kind that matters.

    Args:
        hidden: units of the hidden layer,
            at least one.
        rate: learning rate.
        seed: seed of the weights.
    """

    @validated
    def __init__(
        self,
        shape: tuple[int, int],
        *,
        hidden: PositiveInt = 7,
        mode: Literal["valid", "same"] = "valid",
        rate: Positive,
        seed: Seed = 0,
    ) -> None:
        self.got = (shape, hidden, mode, rate, seed)


class Careless:
    def __init__(self, shape: tuple[int, int], **options: int) -> None:
        pass


def test_only_keyword_only_arguments_are_settable() -> None:
    assert list(parameters_of(Component).model_fields) == ["hidden", "mode", "rate", "seed"]


def test_defaults_come_from_the_signature_and_descriptions_from_the_docstring() -> None:
    fields = parameters_of(Component).model_fields
    assert fields["hidden"].default == 7
    assert fields["hidden"].description == "units of the hidden layer, at least one."
    assert fields["mode"].description is None
    assert fields["rate"].is_required()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"rate": 0.1, "hiden": 3}, "hiden"),
        ({"rate": 0.1, "hidden": 0}, "hidden"),
        ({"rate": 0.1, "hidden": "many"}, "hidden"),
        ({"rate": 0.1, "mode": "full"}, "mode"),
        ({"rate": float("inf")}, "rate"),
        ({"rate": 0.1, "seed": -1}, "seed"),
        ({"rate": 0.1, "shape": (1, 1)}, "shape"),
        ({}, "rate"),
    ],
)
def test_what_the_signature_does_not_allow_is_refused_by_name(values: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parameters_of(Component).model_validate(values)
    assert [error["loc"] for error in caught.value.errors()] == [(place,)]


def test_the_constructor_itself_checks_the_same() -> None:
    assert Component((2, 3), rate=0.5).got == ((2, 3), 7, "valid", 0.5, 0)
    with pytest.raises(ValueError, match="hidden"):
        Component((2, 3), rate=0.5, hidden=0)
    with pytest.raises(ValueError, match="hiden"):
        Component((2, 3), rate=0.5, hiden=4)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "keywords", "sentence"),
    [
        (((2, 3),), {"rate": 0.5, "hidden": 0}, "Component: hidden: should be greater than 0, got 0"),
        (((2, 3),), {"rate": 0.5, "hiden": 4}, "Component: hiden is not known; did you mean 'hidden'?"),
        (((2, 3),), {}, "Component: rate is missing"),
        (("wide",), {"rate": 0.5}, "Component: shape: should be a list, got 'wide'"),
        (((2, 3), 4), {"rate": 0.5}, "Component: argument 2: unexpected positional argument, got 4"),
    ],
)
def test_a_wrong_argument_gives_one_sentence_in_the_words_of_recipes(
    arguments: tuple[Any, ...], keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        Component(*arguments, **keywords)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_registered_component_is_called_by_its_name() -> None:
    """Even if the constructor is that of a base class or of a settings model."""
    with pytest.raises(InputError, match=r"^joint-adam: iterations: should be greater than 0, got -1$"):
        JointAdam(iterations=-1)
    with pytest.raises(InputError, match=r"^dip-skip: channels: should be a multiple of 2, got 5$"):
        DipSkipImage((1, 1, 8, 8), channels=5)
    with pytest.raises(InputError, match=r"^dip-skip: chanels is not known; did you mean 'channels'\?$"):
        DipSkipImage((1, 1, 8, 8), chanels=4)


def test_an_error_of_a_model_inside_a_constructor_is_not_blamed_on_its_arguments() -> None:
    class Careless:
        @validated
        def __init__(self, *, number: int = 1) -> None:
            Settings(width=-number)

    with pytest.raises(ValidationError, match="width"):
        Careless()


def test_a_constructor_with_kwargs_is_refused_because_it_would_swallow_a_misspelling() -> None:
    with pytest.raises(PluginError, match=r"Careless takes \*\*options"):
        parameters_of(Careless)


class OnlyChecked:
    def __init__(self, *, precision: Decimal) -> None:
        pass


class Unfindable:
    def __init__(self, *, precision: list["Nowhere"] | None = None) -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
        pass


class Untyped:
    def __init__(self, *, precision=1) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - what is tested
        pass


class Shadow:
    def __init__(self, *, copy: bool = True) -> None:
        pass


class Registering:
    def __init__(self, *, mro: bool = True) -> None:
        pass


class Underscored:
    def __init__(self, *, _seed: int = 0) -> None:
        pass


class Forgetful:
    def __init__(self, shape: Shape, precision: int = 1) -> None:
        pass


class Variadic:
    def __init__(self, *precisions: int) -> None:
        pass


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (
            OnlyChecked,
            "OnlyChecked's arguments cannot be found: NameError: name 'Decimal' .* not only under TYPE_CHECK",
        ),
        (Unfindable, "Unfindable's .* cannot be .*'Nowhere'"),
        (Untyped, "the keyword 'precision' of Untyped has no type"),
        (Shadow, "the keyword 'copy' of Shadow has a name that pydantic reserves; choose another name"),
        (Registering, "the keyword 'mro' of Registering has a name"),
        (Underscored, "the keyword '_seed' of Underscored has a name"),
        (
            Forgetful,
            r"Forgetful has the positional argument 'precision', .* only shape, start, guess, root, folder .* '\*'",
        ),
        (Variadic, r"Variadic takes \*precisions"),
    ],
)
def test_a_constructor_against_the_rules_is_the_component_s_fault(component: type, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        parameters_of(component)


def test_names_that_pydantic_only_protects_are_free() -> None:
    class Modelled:
        def __init__(self, *, model_size: int = 3) -> None:
            pass

    assert dict(parameters_of(Modelled)()) == {"model_size": 3}


def test_a_type_that_no_recipe_holds_has_no_schema_and_says_so() -> None:
    class Deaf:
        def __init__(self, *, listener: Component) -> None:
            pass

    with pytest.raises(PluginError, match=r"Deaf has a keyword that a recipe cannot hold: .*; recipes hold numbers"):
        parameters_schema(Deaf)


def test_a_class_inherits_descriptions_with_or_without_a_docstring_and_constructor_of_its_own() -> None:
    class Silent(Component):
        pass

    class Own(Component):
        """Another component.

        Args:
            rate: its own rate.
        """

        def __init__(self, shape: tuple[int, int], *, rate: float = 1.0, seed: Seed = 0) -> None:
            pass

    assert parameters_of(Silent).model_fields["rate"].description == "learning rate."
    described = {name: field.description for name, field in parameters_of(Own).model_fields.items()}
    assert described == {"rate": "its own rate.", "seed": "seed of the weights."}


def test_positional_arguments_are_the_problem_s() -> None:
    assert positional_names(Component) == ["shape"]


class Typed:
    """One parameter of each type that a file can get wrong."""

    def __init__(
        self,
        *,
        steps: int = 1,
        rate: float = 1.0,
        exact: bool = True,
        marks: tuple[int, ...] = (),
        pair: tuple[int, float] | None = None,
        word: str = "",
        choice: Literal["a", "b"] = "a",
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("rate", 2, 2.0),
        ("rate", float("inf"), float("inf")),
        ("rate", 0.1, 0.1),
        ("steps", 2**70, 2**70),
        ("marks", [1, 2], (1, 2)),
        ("pair", [1, 2], (1, 2.0)),
        ("pair", None, None),
        ("word", "2", "2"),
        ("choice", "b", "b"),
    ],
)
def test_plain_data_are_read_as_they_stand(name: str, value: object, read: object) -> None:
    got = getattr(read_strictly(parameters_of(Typed), {name: value}), name)
    assert (got, type(got)) == (read, type(read))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", "2"),
        ("steps", 2.0),
        ("steps", True),
        ("rate", "0.5"),
        ("rate", True),
        ("exact", "off"),
        ("exact", 1),
        ("marks", ["1"]),
        ("marks", 1),
        ("word", 2),
    ],
)
def test_nothing_is_guessed_from_another_type(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        read_strictly(parameters_of(Typed), {name: value})
    assert [error["loc"][0] for error in caught.value.errors()] == [name]


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(TypeError, match=r"datetime.date\(2020, 1, 1\) is a date"):
        read_strictly(parameters_of(Typed), {"word": date(2020, 1, 1)})


def test_the_schema_is_complete_enough_for_an_editor() -> None:
    schema = parameters_of(Component).model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["rate"]
    assert schema["properties"]["mode"]["enum"] == ["valid", "same"]
    assert schema["properties"]["hidden"]["exclusiveMinimum"] == 0


class Settings(BaseModel):
    """Settings that several components share.

    Args:
        width: units of each layer.
        mode: how a border is treated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveInt = 4
    mode: Literal["valid", "same"] = "valid"


PLAIN, WIDE = Settings(), Settings(width=6)


class Shared:
    """A component with shared settings, one of which has another default here.

    Args:
        mode: how its own border is treated.
        seed: seed of the weights.
    """

    @flat_settings
    def __init__(self, shape: tuple[int, int], *, first: int = 1, settings: Settings = WIDE, seed: Seed = 0) -> None:
        self.got = (shape, first, settings, seed)


class Narrow(Shared):
    """A component that hands the settings on."""

    @flat_settings
    def __init__(self, shape: tuple[int, int], *, settings: Settings = PLAIN, seed: Seed = 0) -> None:
        super().__init__(shape, settings=settings.model_copy(update={"width": 1}), seed=seed)


def test_shared_settings_are_parameters_of_their_own_in_their_place() -> None:
    fields = parameters_of(Shared).model_fields
    assert list(fields) == ["first", "width", "mode", "seed"]
    assert (fields["width"].default, fields["mode"].default) == (6, "valid")
    assert fields["width"].description == "units of each layer."
    assert fields["mode"].description == "how its own border is treated."
    assert parameters_schema(Shared)["properties"]["width"]["exclusiveMinimum"] == 0


def test_shared_settings_are_given_one_by_one_or_as_the_model() -> None:
    assert Shared((2, 3)).got == ((2, 3), 1, Settings(width=6), 0)
    assert Shared((2, 3), mode="same", seed=5).got == ((2, 3), 1, Settings(width=6, mode="same"), 5)
    assert Shared((2, 3), settings=Settings(width=2)).got[2] == Settings(width=2)
    assert Shared((2, 3), settings=Settings(width=2), mode="same").got[2] == Settings(width=2, mode="same")
    assert Narrow((2, 3), mode="same").got == ((2, 3), 1, Settings(width=1, mode="same"), 0)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"mode": "full"}, {"wide": 3}, {"seed": -1}, {"settings": 3}])
def test_wrong_shared_settings_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"^Shared: {next(iter(wrong))}"):
        Shared((2, 3), **wrong)


def test_a_recipe_cannot_set_the_model_itself() -> None:
    with pytest.raises(ValidationError, match="settings"):
        parameters_of(Shared).model_validate({"settings": {"width": 2}})

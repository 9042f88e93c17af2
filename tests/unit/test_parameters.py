"""The signature is the one place: what `parameters_of` and `validated` make of it."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from invkit.errors import PluginError
from invkit.parameters import Positive, PositiveInt, Seed, parameters_of, validated


class Component:
    """A component with one parameter of each kind that matters."""

    @validated
    def __init__(
        self,
        shape: tuple[int, int],
        *,
        hidden: Annotated[PositiveInt, Field(description="units of the hidden layer")] = 7,
        mode: Literal["valid", "same"] = "valid",
        rate: Positive,
        seed: Seed = 0,
    ) -> None:
        self.got = (shape, hidden, mode, rate, seed)


class Careless:
    def __init__(self, shape: tuple[int, int], **options: int) -> None:
        pass


def test_only_keyword_only_arguments_are_settable():
    assert list(parameters_of(Component).model_fields) == ["hidden", "mode", "rate", "seed"]


def test_defaults_and_descriptions_come_from_the_signature():
    fields = parameters_of(Component).model_fields
    assert fields["hidden"].default == 7
    assert fields["hidden"].description == "units of the hidden layer"
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
def test_what_the_signature_does_not_allow_is_refused_by_name(values, place):
    with pytest.raises(ValidationError) as caught:
        parameters_of(Component).model_validate(values)
    assert [error["loc"] for error in caught.value.errors()] == [(place,)]


def test_the_constructor_itself_checks_the_same():
    assert Component((2, 3), rate=0.5).got == ((2, 3), 7, "valid", 0.5, 0)
    with pytest.raises(ValueError, match="hidden"):
        Component((2, 3), rate=0.5, hidden=0)
    with pytest.raises(ValueError, match="hiden"):
        Component((2, 3), rate=0.5, hiden=4)


def test_a_constructor_with_kwargs_is_refused_because_it_would_swallow_a_misspelling():
    with pytest.raises(PluginError, match=r"Careless takes \*\*options"):
        parameters_of(Careless)


def test_the_schema_is_complete_enough_for_an_editor():
    schema = parameters_of(Component).model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["rate"]
    assert schema["properties"]["mode"]["enum"] == ["valid", "same"]
    assert schema["properties"]["hidden"]["exclusiveMinimum"] == 0

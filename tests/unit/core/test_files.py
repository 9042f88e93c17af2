"""Files are read within bounds, whatever they are and hold; the refusal is one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invkit.core.errors import InputError, InvkitError, OutOfMemoryError, RecipeError
from invkit.core.files import (
    MAX_DEPTH,
    MAX_KEYS,
    MAX_TOML_BYTES,
    parse_json,
    parse_toml,
    parse_value,
    read_array,
    read_bytes,
    read_json,
    read_json_table,
    read_toml_text,
)
from invkit.media.decoding import decode
from invkit.pipeline.api import prepare_rerun
from invkit.pipeline.inputs import read_kernels
from invkit.recipes.model import load_recipe

READERS: list[Callable[[Path], Any]] = [read_bytes, read_json, read_toml_text, read_array, decode, read_kernels]
DOORS: dict[str, Callable[[Path], Any]] = {
    ".toml": load_recipe,
    ".json": prepare_rerun,
    ".npy": read_kernels,
    ".png": decode,
}


def refusal(action: Callable[[], object], error: type[InvkitError] = InputError) -> str:
    with pytest.raises(error) as refused:
        action()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    return str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", DOORS)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    assert "is not a regular file but a pipe or a device" in refusal(lambda: DOORS[suffix](path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev/zero")
@pytest.mark.parametrize("suffix", DOORS)
def test_a_device_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"zeros{suffix}"
    path.symlink_to("/dev/zero")
    assert "is not a regular file but a pipe or a device" in refusal(lambda: DOORS[suffix](path))


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert f"{tmp_path} is a folder" in refusal(lambda: read(tmp_path))
    assert "there is no file" in refusal(lambda: read(tmp_path / "absent.npy"))
    assert "null" in refusal(lambda: read(tmp_path / "a\0b.npy"))


def test_a_file_larger_than_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.truncate(2**42)  # a hole, which takes no space on the disk
    assert "does not fit in memory" in refusal(lambda: read_array(path), OutOfMemoryError)
    assert f"more than the {MAX_TOML_BYTES} bytes" in refusal(lambda: read_toml_text(path))


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(path) == {}
    path.write_bytes(b"\xff")
    assert "is not a text in UTF-8" in refusal(lambda: read_json(path))
    assert read_json_table(path) == {}


# TOML and JSON: the same bounds.


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


TEXTS = {
    "deep": (nested(MAX_DEPTH), f"nested more than {MAX_DEPTH} levels"),  # inside the document's own table
    "very deep": (nested(100_000), f"nested more than {MAX_DEPTH} levels"),
    "number": ("9" * 19, "beyond 64 bits"),
    "digits": ("9" * 5000, "Exceeds the limit"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_beyond_the_bounds_are_refused(name: str) -> None:
    text, words = TEXTS[name]
    assert words in refusal(lambda: parse_json(f'{{"a": {text}}}', "a.json"))
    assert words in refusal(lambda: parse_toml(f"a = {text}", "a.toml"), RecipeError)
    if name != "deep":
        assert words in refusal(lambda: parse_value(text), RecipeError)


def test_texts_within_the_bounds_are_read() -> None:
    assert (
        parse_json(f'{{"a": {nested(MAX_DEPTH - 1)}, "b": {2**63 - 1}, "c": {-(2**63)}}}', "a.json")["b"] == 2**63 - 1
    )
    keys = ", ".join(f'"k{number}": 1' for number in range(MAX_KEYS))
    assert len(parse_json(f"{{{keys}}}", "a.json")) == MAX_KEYS
    assert f"more than {MAX_KEYS} keys" in refusal(lambda: parse_json(f'[{{{keys}}}, {{"a": 1}}]', "a.json"))


def test_hexadecimal_numbers_of_any_length_are_refused() -> None:
    """They have no limit of digits, and cannot be printed in decimal ones."""
    assert "0xfff" in refusal(lambda: parse_toml("a = 0x" + "f" * 9000, "a.toml"), RecipeError)


def test_a_value_is_one_value() -> None:
    assert parse_value("1\nother = 2") == "1\nother = 2"


# Arrays.


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(-1, 3)", "(3, 100)", "3", "(2.5,)", "'x'"])
def test_an_array_is_not_larger_than_its_file(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(24))
    assert "a.npy" in refusal(lambda: read_array(path))


@pytest.mark.parametrize("dtype", [np.uint8, ">f8", np.complex64, bool])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_comes_back(tmp_path: Path, dtype: Any, order: Any) -> None:
    for shape in ((3, 4), (), (0, 3), (2, 1, 5)):
        values = np.asarray(np.arange(np.prod(shape)).reshape(shape), dtype=dtype, order=order)
        np.save(tmp_path / "a.npy", values)
        found = read_array(tmp_path / "a.npy")
        assert found.dtype == values.dtype
        assert found.flags.writeable
        np.testing.assert_array_equal(found, values)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "it holds objects" in refusal(lambda: read_array(tmp_path / "a.npy"))

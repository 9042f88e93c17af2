"""A run made again from its result.json alone has the same bits; inputs that are gone or have changed are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import invkit
from invkit.core.errors import InputError
from invkit.pipeline.api import prepare_rerun

TINY_NETWORK = ["image_prior.channels=4", "image_prior.scales=2", "hidden=16", "iterations=4"]
KERNEL = np.array([[0.0, 0.3, 0.0], [0.1, 0.4, 0.2]])
BLIND: dict[str, dict[str, Any]] = {
    "classical": {
        "recipe": "pan-l0",
        "kernel_size": 9,
        "sigma": 0.02,
        "color": "luma",
        "seed": 3,
        "overrides": ["inner.iterations=2", "regularizers.l0-gradient.weight=2e-3"],
    },
    "candidates": {"recipe": "fast", "kernel_size": (7, 9)},
    "network": {"recipe": "selfdeblur-small", "kernel_size": 5, "seed": 7, "overrides": TINY_NETWORK},
    "automatic kernel size": {"recipe": "fast-map", "overrides": ["inner.iterations=1"]},
    "another next stage": {"recipe": "fast-map", "kernel_size": 5, "overrides": ["next=wiener"], "color": "rgb"},
    "a window": {"recipe": "fast-map", "kernel_size": 5, "overrides": ["measurement.window=40"]},
    "a kernel of one pixel": {"recipe": "selfdeblur-small", "kernel_size": 1, "overrides": TINY_NETWORK},
}


def blurry(height: int = 48, width: int = 56, seed: int = 1) -> np.ndarray:
    """A colour picture (H, W, 3) of 8 bits, blurred along its rows."""
    blocks = np.random.default_rng(seed).uniform(0.1, 0.9, (height // 8, width // 8, 3))
    plain = np.kron(blocks, np.ones((8, 8, 1)))
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, plain.shape)
    mean = np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0) + noise
    picture: np.ndarray = np.round(255 * mean.clip(0, 1)).astype(np.uint8)
    return picture


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(blurry()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def kernel_file(tmp_path: Path) -> Path:
    np.save(tmp_path / "kernel.npy", KERNEL)
    return tmp_path / "kernel.npy"


def saved(result: invkit.Result, folder: Path) -> Path:
    """The result.json of a run."""
    return result.save(folder / "run") / "result.json"


def rerun(file: Path, **changes: Any) -> invkit.Result:
    return invkit.rerun(file, progress=False, **changes)


def timeless(details: Any) -> Any:
    """The details of a result without the seconds."""
    if isinstance(details, list):
        return [timeless(one) for one in details]
    if isinstance(details, dict):
        return {name: timeless(value) for name, value in details.items() if name != "seconds"}
    return details


def assert_same(again: invkit.Result, first: invkit.Result) -> None:
    np.testing.assert_array_equal(again.image, first.image)
    np.testing.assert_array_equal(again.kernel, first.kernel)
    assert again.history == first.history
    assert timeless(dict(again.details)) == timeless(dict(first.details))


def changed_document(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


# The same bits.


@pytest.mark.parametrize("options", BLIND.values(), ids=BLIND)
def test_a_blind_run_has_the_same_bits(photo: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    first = invkit.deblur(photo, progress=False, **options)
    assert_same(rerun(saved(first, tmp_path)), first)


def test_the_options_matter(photo: Path) -> None:
    """Without one of its options the classical run has other bits; the tests of equality are not empty."""
    options = BLIND["classical"]
    whole = invkit.deblur(photo, progress=False, **options).image
    for name in ("kernel_size", "sigma", "color", "overrides"):
        others = {key: value for key, value in options.items() if key != name}
        assert not np.array_equal(invkit.deblur(photo, progress=False, **others).image, whole), name
    network = BLIND["network"]
    first, other = (invkit.deblur(photo, progress=False, **(network | {"seed": seed})).image for seed in (7, 0))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("recipe", ["sparse-admm", "wiener", "polish"])
def test_a_run_with_a_kernel_file_has_the_same_bits(
    photo: Path, kernel_file: Path, tmp_path: Path, recipe: str
) -> None:
    first = invkit.deconvolve(photo, kernel_file, recipe=recipe, color="luma", progress=False)
    assert_same(rerun(saved(first, tmp_path)), first)


def test_a_run_of_a_recipe_file_with_its_measurement_has_the_same_bits(
    photo: Path, kernel_file: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    files = 'measurement = {image = "photo.png", kernel = "kernel.npy"}'
    recipe.write_text(
        f'name = "mine"\n{files}\nimage_prior = "pixels"\nkernel_prior = "known"\n'
        'fidelity = "poisson"\nsolver = "richardson-lucy"\n'
    )
    first = invkit.restore(None, recipe, progress=False)
    assert_same(rerun(saved(first, tmp_path)), first)


def test_a_run_with_several_images_has_the_same_bits(photo: Path, tmp_path: Path) -> None:
    Image.fromarray(blurry(seed=5)).save(tmp_path / "second.png")
    several: list[Any] = [photo, tmp_path / "second.png"]
    first = invkit.deblur(several, recipe="fast-map", kernel_size=5, progress=False)
    assert_same(rerun(saved(first, tmp_path)), first)


def test_a_run_of_another_problem_has_the_same_bits(tmp_path: Path) -> None:
    data, mask = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32), tmp_path / "mask.npy"
    np.save(tmp_path / "data.npy", data)
    np.save(mask, (np.random.default_rng(1).uniform(size=data.shape) < 0.5).astype(np.float32))
    first = invkit.restore(tmp_path / "data.npy", "inpaint-tv", kernel=mask, progress=False)
    assert_same(rerun(saved(first, tmp_path)), first)


def test_a_rerun_can_be_made_again(photo: Path, tmp_path: Path) -> None:
    first = invkit.deblur(photo, recipe="fast-map", kernel_size=5, overrides=["inner.iterations=2"], progress=False)
    again = rerun(saved(first, tmp_path / "first"))
    assert_same(rerun(saved(again, tmp_path / "again")), first)
    assert again.details["recipe"]["changes"] == ["solver.inner.iterations=2"]


def test_a_moved_image_is_found_beside_the_result(photo: Path, tmp_path: Path) -> None:
    first = invkit.deblur(photo, recipe="fast-map", kernel_size=5, progress=False)
    file = saved(first, tmp_path)
    shutil.move(photo, file.parent / photo.name)
    np.testing.assert_array_equal(rerun(file).image, first.image)


# Other inputs.


def test_another_image_is_restored_in_the_same_way(photo: Path, tmp_path: Path) -> None:
    options = BLIND["classical"]
    file = saved(invkit.deblur(photo, progress=False, **options), tmp_path)
    other = blurry(40, 48, seed=9)
    again, expected = rerun(file, image=other), invkit.deblur(other, progress=False, **options)
    np.testing.assert_array_equal(again.image, expected.image)
    np.testing.assert_array_equal(again.kernel, expected.kernel)


def test_another_kernel_may_have_another_size(photo: Path, kernel_file: Path, tmp_path: Path) -> None:
    file = saved(invkit.deconvolve(photo, kernel_file, recipe="wiener", progress=False), tmp_path)
    other = np.full((5, 4), 0.05)
    expected = invkit.deconvolve(photo, other, recipe="wiener", progress=False)
    np.testing.assert_array_equal(rerun(file, kernel=other).image, expected.image)


def test_an_array_is_not_in_the_result_and_must_be_given_again(tmp_path: Path) -> None:
    first = invkit.deblur(blurry(), recipe="fast-map", kernel_size=5, progress=False)
    file = saved(first, tmp_path)
    with pytest.raises(InputError, match=r"the image of .*result\.json was an array, .*; give it again \(--image, ima"):
        rerun(file)
    assert_same(rerun(file, image=blurry()), first)


@pytest.mark.parametrize("recipe", ["wiener", "polish"])
def test_a_kernel_array_is_not_in_the_result_and_must_be_given_again(photo: Path, tmp_path: Path, recipe: str) -> None:
    """Without it, `polish` would start from another kernel and give another image."""
    first = invkit.deconvolve(photo, KERNEL, recipe=recipe, progress=False)
    file = saved(first, tmp_path)
    with pytest.raises(
        InputError, match=r"the kernel of .* was an array, .*; give it again \(--kernel, kernel=\.\.\.\)"
    ):
        rerun(file)
    assert_same(rerun(file, kernel=KERNEL), first)


@pytest.mark.parametrize("name", ["image", "kernel"])
@pytest.mark.parametrize("state", ["has changed since", "is not there"])
def test_a_file_that_is_gone_or_has_changed_is_refused(
    photo: Path, kernel_file: Path, tmp_path: Path, name: str, state: str
) -> None:
    file = saved(invkit.deconvolve(photo, kernel_file, recipe="wiener", progress=False), tmp_path)
    source = {"image": photo, "kernel": kernel_file}[name]
    if state == "is not there":
        source.unlink()
    elif name == "image":
        Image.fromarray(blurry(seed=2)).save(source)
    else:
        np.save(source, KERNEL[::-1])
    with pytest.raises(InputError) as caught:
        rerun(file)
    message = f"{source}, from which {file} was made, {state}; give the {name} (--{name}, {name}=...)"
    assert str(caught.value) == message
    given = {"image": blurry(), "kernel": KERNEL}
    assert rerun(file, **{name: given[name]}).stopped in ("finished", "converged")


def test_one_of_several_images_that_is_gone_is_refused(photo: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.png"
    Image.fromarray(blurry(seed=5)).save(second)
    file = saved(invkit.deblur([photo, second], recipe="fast-map", kernel_size=5, progress=False), tmp_path)
    second.unlink()
    with pytest.raises(InputError, match=r"second\.png, from which .* is not there; give the image"):
        rerun(file)


@pytest.mark.parametrize("source", [1, "photo.png", [1], True, {}, {"path": ["photo.png"]}, {"path": None}])
def test_a_result_that_names_no_file_is_refused(photo: Path, tmp_path: Path, source: object) -> None:
    file = saved(invkit.deconvolve(photo, KERNEL, recipe="wiener", progress=False), tmp_path)
    told = {**json.loads(file.read_text()), "image": source}
    file.write_text(json.dumps(told))
    with pytest.raises(InputError, match="does not name the file of the image; give it again"):
        rerun(file, kernel=KERNEL)


def test_a_name_that_no_file_can_have_is_refused(photo: Path, tmp_path: Path) -> None:
    file = saved(invkit.deconvolve(photo, KERNEL, recipe="wiener", progress=False), tmp_path)
    for path in ("a" * 5000, "a/" * 5000):
        file.write_text(json.dumps({**json.loads(file.read_text()), "image": {"path": path, "sha256": "0"}}))
        with pytest.raises(InputError, match=r"from which .* was made, cannot be read \(.*\); give it again") as caught:
            rerun(file, kernel=KERNEL)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("before", [1, "0.1", [], None])
def test_a_result_without_its_versions_warns_of_other_bits(photo: Path, tmp_path: Path, before: object) -> None:
    file = saved(invkit.deconvolve(photo, KERNEL, recipe="wiener", progress=False), tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "versions": before}))
    with pytest.warns(UserWarning, match="the bits may differ"):
        prepare_rerun(file, kernel=KERNEL)


def test_other_files_are_refused(photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    for text, expected in [
        ("{", "is not valid JSON"),
        ('{"image": "x.png"}', "holds no recipe"),
        ('{"recipe": {"name": "x"}}', "does not hold the options of its run"),
    ]:
        other.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"other\.json {expected}"):
            rerun(other)
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.json"):
        rerun(tmp_path / "nowhere.json")


# Warnings.


def test_a_run_that_was_stopped_is_now_completed_with_a_warning(photo: Path, tmp_path: Path) -> None:
    options = {"recipe": "selfdeblur-small", "kernel_size": 5, "overrides": [*TINY_NETWORK[:3], "iterations=1000000"]}
    stopped = invkit.deblur(photo, time_limit=0.5, progress=False, **options)  # type: ignore[arg-type]
    assert stopped.stopped == "time limit"
    file = saved(stopped, tmp_path)
    with pytest.warns(UserWarning, match=r"was stopped \(time limit\); selfdeblur-small now runs to its end"):
        job = prepare_rerun(file)
    assert job.assembly.solver.iterations == 1_000_000


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("torch", "1.0", r"the earlier run had torch 1\.0, now .*: the bits may differ"),
        ("threads", "77", r"the earlier run had threads 77, now 1: the bits may differ"),
        ("platform", "another", r"the earlier run had platform another, now .*: the bits may differ"),
    ],
)
def test_other_versions_and_threads_give_a_warning(
    photo: Path, tmp_path: Path, torch_threads: Callable[[int], None], name: str, value: str, expected: str
) -> None:
    torch_threads(1)
    file = saved(invkit.deblur(photo, recipe="fast-map", kernel_size=5, progress=False), tmp_path)
    prepare_rerun(file)  # without a warning
    changed_document(file, lambda document: document["versions"].update({name: value}))
    with pytest.warns(UserWarning, match=expected):
        prepare_rerun(file)


def test_a_result_without_versions_gives_a_warning(photo: Path, tmp_path: Path) -> None:
    file = saved(invkit.deblur(photo, recipe="fast-map", kernel_size=5, progress=False), tmp_path)
    changed_document(file, lambda document: document.pop("versions"))
    with pytest.warns(UserWarning, match="the earlier run had python None, now"):
        prepare_rerun(file)

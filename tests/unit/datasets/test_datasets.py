"""Datasets: what their cases and samples are, and what is said where something is missing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrow import array, known

from invkit.core.errors import InputError
from invkit.core.evaluation import Case, Dataset, DatasetFile, Sample
from invkit.datasets.fetching import absent
from invkit.datasets.folder import Folder
from invkit.datasets.lai import Lai
from invkit.datasets.levin import Levin
from invkit.datasets.pictures import safe_names
from invkit.datasets.places import data_folder
from invkit.datasets.synthetic import BLUR_KINDS, Synthetic, blur_image, random_kernel
from invkit.media.images import write_image
from invkit.numerics.registration import aligned_psnr
from invkit.numerics.similarity import psnr
from invkit.testing.evaluation import check_dataset, check_dataset_class


@pytest.mark.parametrize("component", [Levin, Lai, Folder, Synthetic])
def test_every_dataset_conforms_without_its_files(component: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INVKIT_DATA", raising=False)
    check_dataset_class(component)


@pytest.mark.parametrize("component", [Levin, Lai])
def test_the_published_datasets_conform(data_root: Path, component: type[Levin] | type[Lai]) -> None:
    check_dataset(component(data_root))
    assert absent(component.dataset_files(), data_root / component.folder) == []


def test_levin_has_32_cases_with_kernels_of_the_sizes_that_recipes_are_told(data_root: Path) -> None:
    true, plus4 = Levin(data_root, kernel_sizes="true"), Levin(data_root)
    assert [case.name for case in plus4.cases()] == [f"im{i}_kernel{k}" for i in range(1, 5) for k in range(1, 9)]
    for case, larger in zip(true.cases(), plus4.cases(), strict=True):
        height, width = known(true.sample(case).kernel).shape
        assert case.kernel_size == (height, width)
        assert larger.kernel_size == (height + 4, width + 4)
        assert case.groups == {"image": case.name[2], "kernel": case.name[-1]}


def test_levin_with_the_known_kernel_has_its_published_psnr(data_root: Path) -> None:
    dataset = Levin(data_root)
    samples = map(dataset.sample, dataset.cases())
    found = [aligned_psnr(s.references["known-kernel"], known(s.truth), max_shift=10) for s in samples]
    assert np.mean(found) == pytest.approx(35.42, abs=0.005)  # the figure's rounding


def test_levin_keeps_the_images_and_kernels_that_are_asked_for(data_root: Path) -> None:
    kept = Levin(data_root, images=(3, 1, 3), kernels=(8,)).cases()
    assert [case.name for case in kept] == ["im1_kernel8", "im3_kernel8"]
    refused: list[dict[str, Any]] = [
        *({"images": [5]}, {"kernels": [0]}, {"images": []}, {"kernel_sizes": "huge"}, {"sigma": -0.01}),
    ]
    for wrong in refused:
        with pytest.raises(InputError):
            Levin(data_root, **wrong)


def test_levin_may_leave_the_kernel_s_size_to_the_recipe(data_root: Path) -> None:
    told, unknown = Levin(data_root).cases(), Levin(data_root, kernel_sizes="unknown").cases()
    assert unknown == [replace(case, kernel_size=None) for case in told]


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_levin_with_noise_is_of_that_standard_deviation_and_of_8_bits(data_root: Path, sigma: float) -> None:
    chosen: dict[str, Any] = {"images": [2, 4], "kernels": [3]}
    plain, noisy = Levin(data_root, **chosen), Levin(data_root, sigma=sigma, **chosen)
    check_dataset(noisy)
    drawn = []
    for case in noisy.cases():
        given, clean = noisy.sample(case), plain.sample(case)
        assert given.image.dtype == clean.image.dtype
        assert given.image.min() >= 0
        assert given.image.max() <= 1
        np.testing.assert_allclose(255 * given.image, np.round(255 * given.image), atol=1e-4)  # float32
        inside = (clean.image > 4 * sigma) & (clean.image < 1 - 4 * sigma)  # where hardly any noise is cut off
        drawn.append((given.image - clean.image)[inside])
        assert drawn[-1].std() == pytest.approx(np.hypot(sigma, 1 / 255 / 12**0.5), rel=0.02)  # rounding's, too
        assert abs(drawn[-1].mean()) < 5 * sigma / drawn[-1].size ** 0.5
        for one, other in ((given.truth, clean.truth), (given.kernel, clean.kernel)):
            np.testing.assert_array_equal(one, other)
        assert given.references.keys() == clean.references.keys()
        assert all(np.array_equal(given.references[name], clean.references[name]) for name in clean.references)
    assert not np.array_equal(drawn[0][:100], drawn[1][:100])


def test_a_case_of_levin_has_the_same_noise_whatever_else_is_asked_for(data_root: Path) -> None:
    few = Levin(data_root, sigma=0.02, images=(3,), kernels=(8,))
    many = Levin(data_root, sigma=0.02, kernel_sizes="true")
    (case,) = few.cases()
    same = next(each for each in many.cases() if each.name == case.name)
    assert np.array_equal(few.sample(case).image, many.sample(same).image)


@pytest.mark.parametrize("number", range(1, 9))
def test_levins_kernels_blur_the_sharp_image_to_the_blurry_one(data_root: Path, number: int) -> None:
    """True-convolution kernels, up to the shift and the camera: turned by 180 degrees they would fit far worse."""
    dataset = Levin(data_root, images=(1,), kernels=(number,))
    sample = dataset.sample(dataset.cases()[0])
    truth, own = known(sample.truth), known(sample.kernel)
    right, turned = (
        aligned_psnr(blur_image(truth, kernel), sample.image, border=30) for kernel in (own, own[::-1, ::-1])
    )
    assert right > turned + 1


def test_published_outputs_and_kernels_of_levin(data_root: Path) -> None:
    dataset = Levin(data_root, images=(1,), kernels=(4,))
    (case,) = dataset.cases()
    sample = dataset.sample(case)
    truth = known(sample.truth)
    names: tuple[Literal["selfdeblur", "w-dip"], ...] = ("selfdeblur", "w-dip")
    for name in names:
        assert aligned_psnr(sample.references[name], truth, max_shift=10) > 30
        kernel = known(dataset.published_kernel(case, name))
        right = aligned_psnr(blur_image(truth, kernel), sample.image, border=30)
        assert right > aligned_psnr(blur_image(truth, kernel[::-1, ::-1]), sample.image, border=30) + 1


def test_lai_is_full_range_luma_of_a_hundred_images(data_root: Path) -> None:
    dataset = Lai(data_root)
    cases = dataset.cases()
    assert len(cases) == 100
    sizes = {case.groups["kernel"]: case.kernel_size for case in cases}
    assert sizes == {"1": (31, 31), "2": (51, 51), "3": (55, 55), "4": (75, 75)}
    (case,) = Lai(data_root, categories=("text",), images=(5,), kernels=(1,)).cases()  # its sharp image has opacity
    assert case.groups == {"category": "text", "image": "text_05", "kernel": "1"}
    sample = dataset.sample(case)
    truth = known(sample.truth)
    assert truth.shape == sample.image.shape == (351, 502)
    assert sample.kernel is None
    assert truth.max() > 0.95  # video's luma ends at 235 / 255 = .92


def test_a_set_that_is_not_there_names_the_folder_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVKIT_DATA", str(tmp_path))
    for component in (Levin, Lai):
        name = component.folder
        with pytest.raises(InputError, match=rf"{tmp_path / name} .* does not exist.*'invkit data fetch {name}'"):
            component(None).cases()
    (tmp_path / "levin" / "sharp").mkdir(parents=True)
    (tmp_path / "levin" / "kernels").mkdir()
    (tmp_path / "levin" / "kernels" / "kernel1.png").touch()
    with pytest.raises(InputError, match=r"no blurry/im1_kernel1_img.png and lacks 1 more.*--data.*INVKIT_DATA"):
        Levin(tmp_path, images=(1,), kernels=(1,)).cases()


def test_the_folder_of_all_data_is_the_given_the_named_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVKIT_DATA", str(tmp_path))
    assert data_folder(Path("x")) == Path("x")
    assert data_folder() == tmp_path
    monkeypatch.setenv("INVKIT_DATA", "")
    assert data_folder().is_absolute()
    assert "invkit" in data_folder().parts


def write(folder: Path, name: str, shape: tuple[int, ...] = (20, 24), value: float = 0.5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, value, shape[1])
    write_image(folder / name, np.broadcast_to(ramp[:, None] if len(shape) == 3 else ramp, shape), 8)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for name in ("tree_blurry.png", "my house_blurry.bmp", "my-house_blurry.png", ".x_blurry.png"):
        write(tmp_path / "mine", name)
    for name in ("tree_sharp.tif", "my house_sharp.png", "my-house_sharp.png"):
        write(tmp_path / "mine", name, (22, 26, 3), 0.6)
    for name in ("tree", "my house", "my-house"):
        np.save(tmp_path / "mine" / f"{name}_kernel.npy", np.full((3, 3), 1 / 9))
    return tmp_path


def test_a_folder_pairs_files_by_the_text_of_the_star(mine: Path) -> None:
    dataset = Folder(
        mine, path=Path("mine"), blurry="*_blurry.*", sharp="*_sharp.*", kernel="*_kernel.npy", kernel_size=(5, 7)
    )
    check_dataset(dataset)
    cases = dataset.cases()
    assert [case.name for case in cases] == ["my-house", "my-house-2", "tree"]
    assert [file.name for file in cases[2].files] == ["tree_blurry.png", "tree_sharp.tif", "tree_kernel.npy"]
    assert cases[2].kernel_size == (5, 7)
    sample = dataset.sample(cases[2])
    assert known(sample.truth).shape == (22, 26)  # the luma, as the blurry image is grey
    assert known(sample.kernel).shape == (3, 3)


def test_a_folder_of_blurry_images_alone_will_do(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    dataset = Folder(None, path=Path("mine"), kernel_size=9)
    assert [case.kernel_size for case in dataset.cases()] == [(9, 9)] * 3
    assert dataset.sample(dataset.cases()[0]).truth is None
    kernels_only = Folder(mine, path=Path("mine"), kernel="*_kernel.npy")
    assert kernels_only.sample(kernels_only.cases()[0]).kernel is not None


def test_patterns_reach_into_folders_and_hold_no_other_magic(tmp_path: Path) -> None:
    for name in ("[a]", "b?"):
        write(tmp_path / name, "blurry.png")
        write(tmp_path / name, "sharp.jpg")
    dataset = Folder(None, path=tmp_path, blurry="*/blurry.png", sharp="*/sharp.*")
    assert [case.files[1].parent.name for case in dataset.cases()] == ["[a]", "b?"]
    assert [case.name for case in Folder(None, path=tmp_path, blurry="[*]/blurry.png").cases()] == ["a"]


def test_a_folder_says_what_is_missing_or_twice_there(mine: Path) -> None:
    with pytest.raises(InputError, match=r"no file in .*mine matches '\*.cr2'"):
        Folder(mine, path=Path("mine"), blurry="*.cr2").cases()
    with pytest.raises(InputError, match=r"there is no .* nor .*nowhere"):
        Folder(mine, path=Path("nowhere")).cases()
    write(mine / "mine", "tree_sharp.jpg")
    with pytest.raises(InputError, match=r"exactly one file must match 'tree_sharp.\*'; found: tree_sharp.jpg, "):
        Folder(mine, path=Path("mine"), sharp="*_sharp.*").cases()
    (mine / "mine" / "my house_sharp.png").unlink()
    with pytest.raises(InputError, match=r"must match 'my house_sharp.png'; found: none"):
        Folder(mine, path=Path("mine"), sharp="*_sharp.png").cases()


@pytest.mark.parametrize("pattern", ["blurry.png", "**/x.png", "../*.png", "/*.png"])
def test_patterns_without_a_star_or_out_of_the_folder_are_refused(mine: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=r"star|leads out"):
        Folder(mine, path=Path("mine"), blurry=pattern)


def test_a_grey_truth_of_a_colour_image_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x_blurry.png", (20, 24, 3))
    write(tmp_path, "x_sharp.png", (20, 24))
    dataset = Folder(None, path=tmp_path, sharp="*_sharp.png")
    with pytest.raises(InputError, match=r"x_sharp.png is grey and the blurry image is in colour"):
        dataset.sample(dataset.cases()[0])


def test_synthetic_is_the_valid_convolution_with_noise_of_the_asked_strength() -> None:
    exact = Synthetic(number=2, size=9, sigma=0, rounded=False)
    noisy = Synthetic(number=2, size=9, sigma=0.02, rounded=False)
    check_dataset(exact)
    for case in exact.cases():
        sample = exact.sample(case)
        truth, kernel = known(sample.truth), known(sample.kernel)
        np.testing.assert_allclose(array(sample.image), array(blur_image(truth, kernel)), atol=1e-7)  # float32
        assert truth.shape[0] == sample.image.shape[0] + 8
        inside = (sample.image > 0.1) & (sample.image < 0.9)  # where no noise is cut off
        noise = (noisy.sample(case).image - sample.image)[inside]
        assert noise.std() == pytest.approx(0.02, rel=0.02)  # 1e5 samples: 0.002 of the figure
        assert abs(noise.mean()) < 5 * 0.02 / noise.size**0.5


def test_synthetic_kernels_are_those_of_their_seed_and_number_whatever_else_is_asked_for() -> None:
    few, many = Synthetic(number=1, size=15), Synthetic(number=3, size=15, blurs=BLUR_KINDS, sigma=0.1)
    (case,) = few.cases()
    same = next(each for each in many.cases() if each.name == case.name)
    assert np.array_equal(known(few.sample(case).kernel), known(many.sample(same).kernel))
    kernels = [known(many.sample(each).kernel) for each in many.cases()]
    kernels.append(known(Synthetic(number=1, size=15, seed=1).sample(case).kernel))
    assert len({kernel.tobytes() for kernel in kernels}) == 10
    assert not np.array_equal(few.sample(case).image, Synthetic(number=1, size=15, seed=1).sample(case).image)


DIGEST = "a3a1cd79"
CODE = """
import hashlib
from invkit.datasets.synthetic import Synthetic
dataset = Synthetic(None, number=1)
(case,) = dataset.cases()
print(hashlib.sha256(dataset.sample(case).image.tobytes()).hexdigest()[:8])
"""


def test_synthetic_is_the_same_in_every_process_and_on_every_machine() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    dataset = Synthetic(number=1)
    sample = dataset.sample(dataset.cases()[0])
    assert hashlib.sha256(sample.image.tobytes()).hexdigest()[:8] == said.stdout.strip() == DIGEST


@pytest.mark.parametrize("blur", BLUR_KINDS)
@pytest.mark.parametrize("size", [3, 8, 31])
def test_random_kernels_are_kernels(blur: str, size: int) -> None:
    kernel = random_kernel(blur, size, [0, 1])
    assert kernel.shape == (size, size)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert np.array_equal(kernel, random_kernel(blur, size, [0, 1]))
    assert size == 3 or not np.array_equal(kernel, random_kernel(blur, size, [0, 2]))


def test_synthetic_takes_a_folder_or_a_file_and_luma(tmp_path: Path) -> None:
    write(tmp_path, "b.png", (40, 44, 3), 0.25)
    write(tmp_path, "a.JPG", (40, 44))
    (tmp_path / "notes.txt").touch()
    dataset = Synthetic(None, path=tmp_path, number=1, size=5, color="luma")
    check_dataset(dataset)
    assert [case.groups["image"] for case in dataset.cases()] == ["a", "b"]
    assert dataset.sample(dataset.cases()[1]).image.shape == (36, 40)
    assert len(Synthetic(tmp_path, path=Path("b.png")).cases()) == 4
    large = Synthetic(None, path=tmp_path / "b.png", size=41)
    with pytest.raises(InputError, match="40x44 pixels, less than the kernel's side of 41"):
        large.sample(large.cases()[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no image"):
        Synthetic(None, path=tmp_path / "empty").cases()


def test_blurring_by_a_delta_shifts_and_crops() -> None:
    image = np.arange(30.0).reshape(5, 6) / 30
    delta = np.zeros((3, 3))
    delta[1, 1] = 1
    assert psnr(blur_image(image, delta), image[1:-1, 1:-1]) > 250
    delta = np.zeros((3, 3))
    delta[0, 2] = 1  # k * x (y, x) = x(y - 0, x - 2): of the valid part, rows from 2 on and columns from 0 on
    assert psnr(blur_image(image, delta), image[2:, :-2]) > 250


@given(st.lists(st.text(max_size=100)))
def test_any_texts_become_names_of_files_each_another(texts: list[str]) -> None:
    names = safe_names(texts)
    assert len({name.casefold() for name in names}) == len(texts)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,90}", name) and "--" not in name for name in names)
    assert safe_names(names) == names


class Good(Dataset):
    """A dataset of two cases, to be spoilt."""

    title, citation, licence, homepage = "t", "", "l", ""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self.calls = 0

    def cases(self) -> Sequence[Case]:
        return [Case("a"), Case("b")]

    def sample(self, case: Case) -> Sample:
        return Sample(np.full((4, 5), 0.5), np.full((6, 7), 0.5), np.full((3, 3), 1 / 9))


class SameNames(Good):
    """Two names that are one on some systems."""

    def cases(self) -> Sequence[Case]:
        return [Case("a"), Case("A")]


class UnsafeName(Good):
    """A name that is a path."""

    def cases(self) -> Sequence[Case]:
        return [Case("a/b")]


class Restless(Good):
    """Another order each time."""

    def cases(self) -> Sequence[Case]:
        self.calls += 1
        return super().cases()[:: 1 if self.calls % 2 else -1]


class Drawn(Good):
    """Other noise each time."""

    def sample(self, case: Case) -> Sample:
        self.calls += 1
        return replace(super().sample(case), image=np.full((4, 5), 1 / (1 + self.calls)))


class Global(Good):
    """Draws from the global generator."""

    def sample(self, case: Case) -> Sample:
        np.random.rand()
        return super().sample(case)


class Bright(Good):
    """Leaves [0, 1]."""

    def sample(self, case: Case) -> Sample:
        return replace(super().sample(case), image=np.full((4, 5), 1.5))


class Bytes(Good):
    """Gives 8-bit numbers."""

    def sample(self, case: Case) -> Sample:
        return replace(super().sample(case), image=np.full((4, 5), 200, dtype=np.uint8))


class Heavy(Good):
    """A kernel of too much weight."""

    def sample(self, case: Case) -> Sample:
        return replace(super().sample(case), kernel=np.ones((3, 3)))


class Coloured(Good):
    """A truth of other channels."""

    def sample(self, case: Case) -> Sample:
        return replace(super().sample(case), truth=np.full((4, 5, 3), 0.5))


class Lost(Good):
    """A file that is not there."""

    def cases(self) -> Sequence[Case]:
        return [Case("a", files=(Path("/nowhere/at/all"),))]


class Empty(Good):
    """No case."""

    def cases(self) -> Sequence[Case]:
        return []


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (SameNames, "not unique"),
        (UnsafeName, "other signs"),
        (Restless, "another order"),
        (Drawn, "the image differs"),
        (Global, "global random state"),
        (Bright, r"leaves \[0, 1\]"),
        (Bytes, "not floating point"),
        (Heavy, "does not sum to one"),
        (Coloured, "not the image's channels"),
        (Lost, "there is no file"),
        (Empty, "has no case"),
    ],
)
def test_a_faulty_dataset_is_caught(component: Any, said: str) -> None:
    check_dataset_class(Good)
    with pytest.raises(AssertionError, match=said):
        check_dataset_class(component)


class Escaping(Levin):
    """Downloads to another place."""

    @classmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        return [replace(super().dataset_files()[0], path="../x")]


class Twice(Levin):
    """Downloads two files to one place."""

    @classmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        return [replace(source, path="x") for source in super().dataset_files()]


class Unchecked(Levin):
    """Knows no digest."""

    @classmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        return [replace(super().dataset_files()[0], sha256="")]


@pytest.mark.parametrize(
    ("component", "said"), [(Escaping, "leads out"), (Twice, "to one path"), (Unchecked, "no SHA-256")]
)
def test_a_faulty_list_of_files_is_caught(component: type[Dataset], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_dataset_class(component)

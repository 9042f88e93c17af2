"""What a caller chooses is checked before anything is computed, and nothing is guessed in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from invkit import choices
from invkit.choices import Choices
from invkit.deblurring import prepare
from invkit.errors import AssemblyError, InputError, OutOfMemoryError
from invkit.image_priors.pixels import Pixels
from invkit.interfaces import KernelPrior

IMAGE = np.random.default_rng(0).uniform(size=(40, 44)).astype(np.float32)
QUICK = ["image_prior=pixels", "solver.params.iterations=2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel_size": 0},
        {"kernel_size": -3},
        {"kernel_size": True},
        {"kernel_size": 5.0},
        {"kernel_size": "31"},
        {"kernel_size": (5,)},
        {"kernel_size": (5, 5, 5)},
        {"color": "RGB"},
        {"color": "grey"},
        {"sigma": -1.0},
        {"sigma": float("nan")},
        {"sigma": float("inf")},
        {"seed": -1},
        {"device": None},
        {"overrides": "image_prior=pixels"},
        {"overrides": [5]},
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_name(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(InputError, match=rf"{name} must be"):
        prepare(IMAGE, **({"recipe": "selfdeblur-small", "kernel_size": 5} | wrong))


@pytest.mark.parametrize("size", [5, np.int64(5), (5, 7), [5, 7], (np.int32(5), 7), "auto", None])
def test_right_sizes_are_taken(size: object) -> None:
    job = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=size, overrides=QUICK)
    rows, columns = job.assembly.problem.kernel_prior.shape[-2:]
    expected = (15, 15) if size in ("auto", None) else (5, 5) if np.ndim(size) == 0 else (5, 7)
    assert (rows, columns) == expected


def test_a_batch_is_refused() -> None:
    with pytest.raises(InputError, match="one image at a time"):
        prepare(torch.rand(2, 1, 40, 40), recipe="selfdeblur-small", kernel_size=5)


def test_kernel_and_contradicting_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"kernel given is 5x5, the kernel size 7x7"):
        prepare(IMAGE, recipe="selfdeblur-nonblind", kernel=np.full((5, 5), 0.04), kernel_size=7)


def test_unknown_devices_are_refused_in_own_words() -> None:
    for name in ("meta", "hpu", "gpu", ""):
        with pytest.raises(InputError, match="there is no device"):
            choices.choose_device(name)


def test_what_does_not_fit_is_refused_before_it_is_begun() -> None:
    class Vast(Pixels):
        def memory_needed(self) -> int:
            return 2**60

    with pytest.raises(OutOfMemoryError, match=r"Vast needs about .* GB for an image of 8x6.*crop"):
        choices.check_memory(Vast((1, 1, 6, 8), torch.rand(1, 1, 6, 8)), torch.device("cpu"))
    choices.check_memory(Pixels((1, 1, 6, 8), torch.rand(1, 1, 6, 8)), torch.device("cpu"))


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (torch.full((1, 1, 3, 3), 1.0), "summing to 9"),
        (torch.full((1, 1, 3, 5), 1 / 15), "of shape"),
        (torch.tensor([[[[2.0, -1.0, 0.0]] * 3]]) / 3, "negative"),
    ],
)
def test_priors_that_give_no_kernels_are_refused(kernel: torch.Tensor, words: str) -> None:
    class Faulty(KernelPrior):
        def forward(self) -> torch.Tensor:
            return kernel

    with pytest.raises(AssemblyError, match=words):
        choices.check_kernel_prior(Faulty((1, 1, 3, 3)))


def test_time_limit_must_be_positive() -> None:
    job = prepare(IMAGE, recipe="selfdeblur-small", kernel_size=5, overrides=QUICK)
    for limit in (0, -1, "5"):
        with pytest.raises(InputError, match="time limit"):
            job.run(time_limit=limit)


def test_digest_names_a_file(tmp_path: Any) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    assert choices.digest(path) == {
        "file": "x.bin",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
    }
    assert choices.digest(IMAGE) is None


def test_checked_options_keep_their_values() -> None:
    values = {"kernel_size": [3, 5], "color": "rgb", "seed": 7, "device": "cpu", "sigma": 0.1}
    assert Choices.checked(["a=1"], values).model_dump() == values | {"kernel_size": (3, 5), "overrides": ("a=1",)}

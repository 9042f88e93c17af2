"""The Python interface: one call for a picture, assembled problems, and every exchange of one component."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import array

import invkit
from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, NotApplicableError
from invkit.core.interfaces import KernelPrior
from invkit.core.parameters import parameters_of
from invkit.fidelities.norms import MSE
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import centre, shape_of
from invkit.operators.convolution import Convolution
from invkit.pipeline.job import prepare
from invkit.pipeline.kernel_frame import auto_kernel_size
from invkit.recipes.model import parse_recipe
from invkit.solvers.adam import JointAdam

SMALL = "selfdeblur-small"
TINY = ["image_prior.channels=8", "image_prior.scales=2", "kernel_prior.hidden=16"]


@pytest.fixture
def blurry() -> np.ndarray:
    return np.kron(np.random.default_rng(1).uniform(size=(6, 7)), np.ones((6, 6))).astype(np.float32)


def test_a_problem_assembled_from_components(blurry: np.ndarray) -> None:
    data = torch.from_numpy(blurry)[None, None]
    blur, kernel = Convolution(), SoftmaxFCN((1, 1, 5, 5), hidden=16)
    image = DipSkipImage(blur.image_shape(shape_of(data), kernel.shape), channels=8, scales=2)
    problem = invkit.Problem(data, blur, image, kernel, MSE())
    result = JointAdam(iterations=20, milestones=()).solve(problem)
    assert result.image.shape == (1, 1, 40, 46)
    assert result.kernel.shape == (1, 1, 5, 5)
    assert len(result.history) == 20
    assert result.history[-1] < result.history[0]


@pytest.mark.parametrize(("kind", "shape"), [("numpy", (36, 42)), ("numpy", (36, 42, 3)), ("tensor", (3, 36, 42))])
def test_the_result_has_the_kind_and_layout_of_the_input(blurry: np.ndarray, kind: str, shape: tuple[int, ...]) -> None:
    plane = blurry if len(shape) == 2 else np.broadcast_to(blurry[..., None], (36, 42, 3))
    image = plane.copy() if kind == "numpy" else torch.from_numpy(plane.transpose(2, 0, 1).copy())
    overrides = [*TINY, "solver.iterations=3"]
    result = invkit.deblur(image, recipe=SMALL, kernel_size=5, overrides=overrides, progress=False)
    assert type(result.image) is type(image)
    assert result.image.shape == shape
    assert tuple(result.kernel.shape) == (5, 5)
    assert float(result.kernel.sum()) == pytest.approx(1, abs=1e-6)


def test_rgb_restores_every_channel_with_one_kernel(blurry: np.ndarray) -> None:
    image = np.stack([blurry, blurry**2, 1 - blurry], axis=-1)
    overrides = [*TINY, "solver.iterations=3"]
    job = prepare(image, recipe="selfdeblur-small", kernel_size=5, color="rgb", overrides=overrides)
    assert job.assembly.problem.image_prior.shape == (1, 3, 40, 46)
    assert job.run().kernel.shape == (5, 5)


def test_luma_keeps_the_chroma(blurry: np.ndarray) -> None:
    from invkit.media.colour import to_luma_chroma

    image = 0.3 + 0.4 * np.stack([blurry, blurry, 1 - blurry], axis=-1)
    result = invkit.deblur(image, recipe=SMALL, kernel_size=5, overrides=[*TINY, "solver.iterations=3"], progress=False)
    restored = array(result.image)
    given, kept = (to_luma_chroma(torch.from_numpy(x).permute(2, 0, 1)[None])[1] for x in (image, restored))
    inside = torch.from_numpy((restored > 0.001).all(-1) & (restored < 0.999).all(-1))
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(kept[..., inside].float(), given[..., inside].float(), atol=1e-4, rtol=0)


def test_the_seed_determines_the_result(blurry: np.ndarray) -> None:
    overrides = [*TINY, "solver.iterations=5"]
    first, again, other = (
        invkit.deblur(blurry, recipe=SMALL, kernel_size=5, overrides=overrides, seed=s, progress=False)
        for s in (0, 0, 1)
    )
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


UNDEMANDING = ("alternating-adam", "joint-adam")  # they need gradients only
FOR_SPECIAL_PICTURES = ("light-streaks",)


def alone(family: str) -> list[str]:
    """The components of a family that need no nested components."""
    fields = {name: parameters_of(registry.load(family, name)).model_fields for name in registry.names(family)}
    return [name for name, some in fields.items() if not any(field.is_required() for field in some.values())]


KERNELS = [
    name for name in registry.names("kernel_priors") if issubclass(registry.load("kernel_priors", name), KernelPrior)
]
SOLVERS = alone("solvers")


@pytest.mark.parametrize(
    ("image_prior", "kernel_prior", "solver"),
    list(itertools.product(alone("image_priors"), KERNELS, SOLVERS)),
)
def test_any_component_can_be_exchanged(blurry: np.ndarray, image_prior: str, kernel_prior: str, solver: str) -> None:
    """Each combination runs, or is refused before any compute by a sentence that names the missing ability.

    A solver for special pictures may also say, once it has looked at the data, that they are not of its kind.
    """
    recipe = parse_recipe(f'name="swap"\nimage_prior="{image_prior}"\nkernel_prior="{kernel_prior}"\nsolver="{solver}"')
    kernel = np.full((5, 5), 0.04) if kernel_prior == "known" else None
    try:
        job = prepare(blurry, recipe=recipe, kernel_size=5, kernel=kernel, overrides=shortened(recipe, 12))
    except AssemblyError as error:
        refusal = str(error)
        assert solver not in UNDEMANDING, refusal
        assert re.search("these do|needs", refusal), refusal
        return
    try:
        result = job.run()
    except NotApplicableError as refused:
        if solver in FOR_SPECIAL_PICTURES and re.search("use another recipe", str(refused)):
            return
        raise
    assert np.isfinite(result.image).all()
    assert np.isfinite(result.history).all()
    assert solver not in UNDEMANDING or min(result.history[1:]) < result.history[0]


def shortened(recipe: invkit.Recipe, iterations: int) -> list[str]:
    """Settings that make a recipe and its next stages quick."""
    settings = []
    for depth, link in enumerate(recipe.links()):
        place = "next." * depth
        if link.image_prior.name == "dip-skip":
            small = {"channels": 8, "scales": 2, "nonlocal_scales": 0}
            settings += [f"{place}image_prior.{key}={value}" for key, value in small.items()]
        if "iterations" in parameters_of(registry.load("solvers", link.solver.name)).model_fields:
            settings.append(f"{place}solver.iterations={iterations}")
    return settings


def test_save_and_plot(blurry: np.ndarray, tmp_path: Path) -> None:
    result = invkit.deblur(
        blurry, recipe=SMALL, kernel_size=5, overrides=[*TINY, "solver.iterations=2"], progress=False
    )
    assert {p.name for p in result.save(tmp_path / "run").iterdir()} >= {"image.png", "kernel.npy", "result.json"}
    assert len(result.plot().axes) >= 4
    with pytest.raises(InputError, match="overwrite"):
        result.save(tmp_path / "run")


def test_automatic_kernel_size_is_odd_and_fits() -> None:
    for height, width in [(10, 10), (16, 300), (255, 255), (4000, 6000)]:
        rows, columns = auto_kernel_size(torch.zeros(1, 1, height, width))
        assert rows == columns
        assert rows % 2 == 1
        assert 1 <= rows <= min(height, width)
    assert auto_kernel_size(torch.zeros(1, 1, 255, 255)) == (31, 31)


def test_a_solver_without_what_it_needs_is_refused_before_compute(
    blurry: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invkit.core.interfaces import Proximable

    class Needy(JointAdam):  # type: ignore[misc]  # a final class
        """A solver that needs regularizers with a proximal map."""

        needs = {"regularizers": Proximable}  # noqa: RUF012

    registry.register("solvers", "needy", Needy)
    try:
        recipe = parse_recipe(
            'name="x"\nimage_prior="pixels"\nkernel_prior="simplex"\nsolver="needy"\n'
            '[[regularizers]]\nname="kernel-l2"\nweight=1.0'
        )
        with pytest.raises(
            AssemblyError,
            match=r"regularizers\.0: 'needy' needs .* has a proximal map, and 'kernel-l2' does not.*these do: .*tv",
        ):
            prepare(blurry, recipe=recipe, kernel_size=5)
    finally:
        registry.unregister("solvers", "needy")


def test_a_centred_delta_kernel_does_not_shift_the_image(blurry: np.ndarray) -> None:
    """The restored picture lies pixel on pixel over the blurry one."""
    kernel = np.zeros((5, 7))
    kernel[centre((5, 7))] = 1
    recipe = parse_recipe('name="x"\nimage_prior="pixels"\nkernel_prior="known"\nsolver="joint-adam"')
    job = prepare(blurry, recipe=recipe, kernel=kernel, overrides=["solver.iterations=1"])
    assert np.abs(job.run().image - blurry).max() < 0.05


def test_restore_with_a_known_kernel_keeps_it(blurry: np.ndarray) -> None:
    kernel = np.random.default_rng(0).uniform(size=(4, 5))
    kernel /= kernel.sum()
    overrides = [*TINY[:2], "solver.iterations=3"]
    result = invkit.restore(blurry, "selfdeblur-nonblind", kernel=kernel, overrides=overrides, progress=False)
    np.testing.assert_allclose(result.kernel, kernel, atol=1e-7)  # the solve is in float32


def test_a_blind_recipe_refuses_a_kernel_it_would_not_use(blurry: np.ndarray) -> None:
    with pytest.raises((InputError, AssemblyError), match="kernel_prior=known"):
        prepare(blurry, recipe="selfdeblur-small", kernel=np.full((5, 5), 0.04))

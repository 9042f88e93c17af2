"""The recipe levin-2011: its scheme, its variances in the result and in the run folder, other kernel priors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from blurred_rectangles import blurred_rectangles

from invkit import deblur
from invkit.core.errors import AssemblyError
from invkit.core.result import Result
from invkit.media.run_folder import RUN_FILES
from invkit.pipeline.assemble import assemble
from invkit.pipeline.sequence import Outcome
from invkit.pipeline.stages import Stage
from invkit.recipes.model import load_recipe
from invkit.solvers.pyramid import Pyramid
from invkit.solvers.variational import Variational

QUICK = ["solver.inner.iterations=2", "solver.inner.rounds=2", "solver.inner.cg_iterations=2"]
LINE = torch.zeros(1, 1, 7, 7)
LINE[..., 3, :] = 1 / 7


def blurry() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    data, _ = blurred_rectangles(LINE, 60, 0.002)
    found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = data[0, 0].numpy()
    return found


def test_the_scheme_is_that_of_the_paper() -> None:
    recipe = load_recipe("levin-2011")
    assembly = assemble(recipe, torch.full((1, 1, 120, 120), 0.5), (27, 27), sigma=0.1)
    solver = assembly.solver
    assert isinstance(solver, Pyramid)
    assert isinstance(solver.inner, Variational)
    noises = [solver.inner.noise(assembly.problem, iteration) ** 0.5 for iteration in range(11)]
    assert noises == pytest.approx([0.01 * 1.15**exponent for exponent in range(10, -1, -1)])
    assert solver.steps(assembly.problem) == 11 * (int(np.log(5 / 27) / np.log(0.5**0.5)) + 1)
    assert solver.inner.rounds == 3
    assert [link.name for link in recipe.links()] == ["levin-2011", "sparse-admm"]


def test_the_result_and_its_folder_hold_the_variances(tmp_path: Path) -> None:
    image = blurry()
    result = deblur(image, recipe="levin-2011", kernel_size=9, overrides=QUICK, progress=False)
    kernel, gradients = result.variances["kernel"], result.variances["gradients"]
    assert isinstance(kernel, np.ndarray)
    assert kernel.shape == np.shape(result.kernel) == (9, 9)
    assert gradients.shape == (2, *image.shape)
    assert kernel.max() > 0
    assert not kernel[np.asarray(result.kernel) == 0].any()
    result.save(tmp_path / "run")
    for name in ("kernel", "gradients"):
        assert f"{name}_variance.npy" in RUN_FILES
        np.testing.assert_array_equal(np.load(tmp_path / "run" / f"{name}_variance.npy"), result.variances[name])
    replace(result, variances={}).save(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "kernel_variance.npy").exists()


def test_variances_have_the_kind_and_the_batch_of_the_input() -> None:
    image = torch.from_numpy(blurry()).expand(2, 1, -1, -1)
    result = deblur(image, recipe="levin-2011", kernel_size=7, overrides=QUICK, progress=False)
    assert isinstance(result.variances["kernel"], torch.Tensor)
    assert result.variances["kernel"].shape == (2, 7, 7)
    assert result.variances["gradients"].shape == (2, 2, *image.shape[2:])


def test_other_methods_have_no_variances(tmp_path: Path) -> None:
    result = deblur(blurry(), recipe="krishnan", kernel_size=7, progress=False)
    assert result.variances == {}
    result.save(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*variance*"))


def test_the_variances_are_those_of_the_stage_that_found_the_kernel() -> None:
    blind, sparse = load_recipe("levin-2011").links()
    data = torch.zeros(1, 1, 4, 4)
    stages = [Stage(recipe, "luma", data, None, 0.01, False, 0) for recipe in (blind, sparse)]
    kernel = torch.ones(1, 1, 1, 1)
    sure = Result(kernel, kernel, (), "finished", 1, 0.0, variances={"kernel": kernel})
    plain = replace(sure, variances={})
    assert Outcome(stages, [sure, plain], None).variances == {"kernel": kernel}
    assert Outcome(stages, [sure, None], None).variances == {"kernel": kernel}
    assert Outcome([stages[0], *stages], [sure, plain, plain], None).variances == {}
    assert Outcome(stages[:1], [sure], None).with_kernel(kernel).variances == {}


@pytest.mark.parametrize("prior", ["gaussian", "zernike", "softmax-fcn", "motion-path"])
def test_another_kernel_prior_takes_part(prior: str) -> None:
    overrides = [*QUICK, f"kernel_prior={prior}", "initial_kernel=prior", "frame_shift=0", "prior_iterations=5"]
    result = deblur(blurry(), recipe="levin-2011", kernel_size=9, overrides=overrides, progress=False)
    assert np.shape(result.kernel) == (9, 9)
    assert float(np.sum(result.kernel)) == pytest.approx(1)
    assert float(np.max(result.variances["gradients"])) > 0


def test_a_prior_that_cannot_be_set_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(AssemblyError, match="initial_kernel=prior"):
        deblur(blurry(), recipe="levin-2011", kernel_size=9, overrides=["kernel_prior=zernike"], progress=False)

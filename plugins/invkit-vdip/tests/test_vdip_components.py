"""The components pass invkit's conformance checks, a GPU can replay their steps, and the recipes restore an image."""

from __future__ import annotations

import numpy as np
import pytest
from invkit_vdip.variational_adam import VariationalAdam

import invkit
from invkit.core import registry
from invkit.testing import check_component, check_graph_safe, conformance_cases, graph_safety_cases
from invkit.testing.solvers import check_solver

FEW = [
    "channels=4",
    "nonlocal_scales=0",
    "iterations=6",
    "warmup=2",
    "kl_milestones=[3]",
    "kl_until=4",
    "fidelity.derivative-mse.until_iteration=4",
]


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-vdip"))
def test_every_component_conforms(family: str, name: str) -> None:
    check_component(family, name)


def test_a_solve_is_resumed_to_the_same_bits_from_each_of_its_phases() -> None:
    """The check resumes its 20 iterations after 6, 13 and 20; here these lie in the three phases."""
    check_solver(VariationalAdam, {"warmup": 8, "kl_milestones": (10,), "kl_until": 16})


@pytest.mark.parametrize(("family", "name"), graph_safety_cases("invkit-vdip"))
def test_every_component_of_a_step_can_be_recorded(family: str, name: str) -> None:
    check_graph_safe(registry.load(family, name))


def test_each_phase_of_a_solve_can_be_recorded() -> None:
    """Each phase, and both weights of the divergence, last for more steps than a solver takes before it records."""
    phases = {"iterations": 24, "warmup": 6, "kl_milestones": (12,), "kl_until": 18, "milestones": (9,)}
    check_graph_safe(VariationalAdam, phases)


@pytest.mark.parametrize("recipe", ["vdip-sparse", "vdip-extreme", "vdip-small"])
def test_the_recipes_restore_an_image(recipe: str) -> None:
    image = np.random.default_rng(0).uniform(size=(40, 44, 3)).astype(np.float32)
    result = invkit.deblur(image, recipe=recipe, kernel_size=7, overrides=FEW, progress=False, device="cpu")
    assert np.asarray(result.image).shape == image.shape
    assert np.isfinite(result.image).all()
    assert float(np.asarray(result.kernel).sum()) == pytest.approx(1, abs=1e-5)
    assert len(result.history) == 6
    assert np.isfinite(result.history).all()

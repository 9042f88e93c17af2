"""Kinds of unknowns, and the priors of those that are no blur kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import invkit
from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import KernelPrior
from invkit.core.operator_parameters import CoilMapPrior, MaskPrior, ScanPrior
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownCoilMaps, KnownMask, KnownScan
from invkit.kernel_priors.other_parameters import ImageMask, ScanGeometry, SmoothMaps
from invkit.numerics.geometry import shape_of

KINDS = [KernelPrior, MaskPrior, CoilMapPrior, ScanPrior]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_allowed_stays_and_has_no_flaw(kind: type[KernelPrior]) -> None:
    for shape in kind.examples:
        for value in (drawn(*shape), torch.zeros(shape)):
            allowed = kind.allowed(value)
            assert kind.flaw(allowed) is None
            assert torch.allclose(kind.allowed(allowed), allowed, atol=1e-6)


@pytest.mark.parametrize("kind", [KernelPrior, MaskPrior, CoilMapPrior], ids=lambda kind: kind.__name__)
def test_what_is_not_allowed_is_named(kind: type[KernelPrior]) -> None:
    value = 2 + drawn(*kind.examples[0]).abs()
    assert kind.rule in str(kind.flaw(value))
    assert str(kind.flaw(torch.full(kind.examples[0], torch.nan))).startswith("not finite")


@pytest.mark.parametrize("known", [KnownMask, KnownCoilMaps, KnownScan], ids=lambda known: known.__name__)
def test_what_is_known_is_given_back_and_has_no_parameters(known: type[KnownMask]) -> None:
    shape = known.examples[0]
    given = known.allowed(drawn(*shape))
    prior = known(shape, given)
    assert torch.equal(prior(), given)
    assert not list(prior.parameters())
    with pytest.raises(InputError, match="is needed"):
        known(shape, given[..., 1:])


def test_a_mask_must_be_given_and_a_scan_need_not() -> None:
    with pytest.raises(InputError, match="a known mask must be given: use --kernel FILE"):
        KnownMask((1, 1, 4, 4))
    assert not KnownScan((1, 1, 2, 5))().any()


def test_a_mask_outside_its_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"off by 1: it must be in \[0, 1\]"):
        KnownMask((1, 1, 4, 4), torch.full((1, 1, 4, 4), 2.0))


def test_a_mask_is_what_its_image_prior_gives() -> None:
    prior = ImageMask((1, 1, 5, 6), prior=Pixels((1, 1, 5, 6), initial="grey"))
    assert torch.equal(prior(), torch.full((1, 1, 5, 6), 0.5))


def test_smooth_maps_are_fitted_to_what_they_start_from() -> None:
    down, along = torch.meshgrid(torch.linspace(-1, 1, 30), torch.linspace(-1, 1, 24), indexing="ij")
    smooth = torch.stack([2 + down, 2 - along, along, down])[None]
    maps = CoilMapPrior.allowed(smooth)
    assert torch.allclose(
        SmoothMaps(shape_of(maps), maps, order=6)(), maps, atol=0.05
    )  # six cosines do not fit a ramp's ends


def test_the_dark_says_little_of_coil_maps() -> None:
    """A guess whose dark half is nonsense gives the maps of its bright half there too."""
    maps = CoilMapPrior.allowed(torch.ones(1, 4, 20, 20))
    guess = maps.clone()
    guess[..., 10:] = 1e-3 * drawn(1, 4, 20, 10)
    found = SmoothMaps(shape_of(maps), None, guess, order=2)().detach()
    assert float((found - maps)[..., :8].abs().max()) < 0.05


def test_a_scan_is_free_in_what_it_is_asked_to_be() -> None:
    shape = (1, 1, 2, 6)
    guess = drawn(*shape)
    axis_only = ScanGeometry(shape, None, guess)()
    assert torch.allclose(axis_only[:, :, 0], guess[:, :, 0].mean())
    assert not axis_only[:, :, 1].any()
    free = ScanGeometry(shape, guess, displacements=True, angles=True)()
    assert torch.allclose(free[:, :, 0], guess[:, :, 0], atol=1e-6)
    assert torch.allclose(free[:, :, 1], guess[:, :, 1] - guess[:, :, 1].mean(), atol=1e-6)


def test_a_prior_of_another_kind_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(AssemblyError, match=r"convolution.* KernelPrior, .*scan-geometry"):
        invkit.deblur(np.random.rand(20, 20), recipe="selfdeblur-small", overrides=["kernel_prior=scan-geometry"])

"""Adam with all its numbers on the device: the algorithm, whatever the layout of weights and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from invkit.solvers.training import device_adam, set_rates

CPU = torch.device("cpu")
LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rows": lambda weight: weight.contiguous(),
    "channels last": lambda weight: weight.contiguous(memory_format=torch.channels_last),
    "transposed": lambda weight: weight.mT.contiguous().mT,
    "with gaps": lambda weight: weight.repeat_interleave(2, -1)[..., ::2],
}


def by_the_paper(weight: torch.Tensor, gradients: list[torch.Tensor], rates: list[float]) -> torch.Tensor:
    """Kingma & Ba 2015, Algorithm 1, in double precision."""
    value = weight.double()
    first, second = torch.zeros_like(value), torch.zeros_like(value)
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        first = 0.9 * first + 0.1 * gradient.double()
        second = 0.999 * second + 0.001 * gradient.double().square()
        corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
        value = value - rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
    return value


@pytest.mark.parametrize("as_the_weight", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@given(sides=st.tuples(*[st.integers(1, 4)] * 4), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_it_is_the_papers_whatever_lies_where(
    layout: str, as_the_weight: bool, sides: tuple[int, ...], seed: int
) -> None:
    """Gradients come from ``backward``, which lays them out as their weight, in whatever order they are computed."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(sides, generator=generator)
    gradients = [torch.randn(sides, generator=generator) for _ in range(4)]
    weight = nn.Parameter(LAYOUTS[layout](start.clone()))
    optimizer, rates = device_adam([([weight], 0.1)], CPU), [0.1, 0.1, 0.03, 0.03]
    for gradient, rate in zip(gradients, rates, strict=True):
        set_rates(optimizer, [rate])
        (weight * (LAYOUTS[layout](gradient) if as_the_weight else gradient)).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    # float32: a few roundings of numbers up to ten
    torch.testing.assert_close(weight.detach().double(), by_the_paper(start, gradients, rates), rtol=1e-5, atol=1e-5)


def test_rates_are_written_when_they_change_and_not_before() -> None:
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = device_adam([(weights[:1], 0.1), (weights[1:], 0.2)], CPU)
    rates = [group["lr"] for group in optimizer.param_groups]
    versions = [rate._version for rate in rates]
    set_rates(optimizer, (0.1, 0.2))
    assert [rate._version for rate in rates] == versions
    set_rates(optimizer, (0.1, 0.05))
    assert [rate._version for rate in rates] == [versions[0], versions[1] + 1]
    assert [float(rate) for rate in rates] == pytest.approx([0.1, 0.05])
    assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, rates, strict=True))


def test_complex_weights_are_moved_too() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    optimizer = device_adam([([weight], 0.1)], CPU)
    weight.abs().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert not torch.equal(weight.detach(), torch.ones(3, dtype=torch.complex64))

"""Networks of their own for the images of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["each_on_its_own"]


def each_on_its_own(networks: Iterable[nn.Module], inputs: Sequence[Tensor]) -> list[Tensor]:
    """What each network gives for its input.

    While a graph of a GPU is recorded they are branches of it, forth and, as autograd goes back where it came, back: a
    GPU with room replays them at the same time. Otherwise they come one after the other, as launching their kernels
    does.
    """
    pairs = list(zip(networks, inputs, strict=True))
    if len(pairs) > 1 and inputs[0].is_cuda and torch.cuda.is_current_stream_capturing():
        return branched(pairs)
    return [network(one) for network, one in pairs]


def branched(pairs: Sequence[tuple[nn.Module, Tensor]]) -> list[Tensor]:
    """The same, each on a stream of its own, from the current one and back to it."""
    trunk, outputs, branches = torch.cuda.current_stream(), [], []
    for network, one in pairs:
        branch: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        branch.wait_stream(trunk)
        with torch.cuda.stream(branch):
            outputs.append(network(one))
        one.record_stream(branch)  # autograd keeps it until the branch has gone back
        branches.append(branch)
    for branch in branches:
        trunk.wait_stream(branch)
    return outputs

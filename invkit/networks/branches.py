"""Separate networks for the images of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["apply_each"]


def apply_each(networks: Iterable[nn.Module], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Apply each network to its own input.

    While a CUDA graph is recorded, each network runs on a branch of the graph, so that a GPU with free cores replays
    them at the same time. Autograd uses the same branches for the backward pass. Otherwise the networks run one after
    the other, because launching their kernels is sequential anyway.
    """
    pairs = list(zip(networks, inputs, strict=True))
    if len(pairs) > 1 and inputs[0].is_cuda and torch.cuda.is_current_stream_capturing():
        return branched(pairs)
    return [network(one) for network, one in pairs]


def branched(pairs: Sequence[tuple[nn.Module, Tensor]]) -> list[Tensor]:
    """Apply each network on a stream that forks from the current one and joins it again."""
    trunk, outputs, branches = torch.cuda.current_stream(), [], []
    for network, one in pairs:
        branch: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        branch.wait_stream(trunk)
        with torch.cuda.stream(branch):
            outputs.append(network(one))
        one.record_stream(branch)  # autograd keeps the input until the backward pass of this branch ends
        branches.append(branch)
    for branch in branches:
        trunk.wait_stream(branch)
    return outputs

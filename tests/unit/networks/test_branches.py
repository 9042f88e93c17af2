"""Networks beside each other give what they give one after the other, on whatever streams they are launched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from invkit.networks import branches
from invkit.networks.branches import apply_each

NETWORKS = [nn.Linear(3, 2) for _ in range(3)]
INPUTS = torch.rand(3, 1, 3, generator=torch.Generator().manual_seed(0)).unbind()


def test_each_network_has_its_own_input() -> None:
    for network, one, output in zip(NETWORKS, INPUTS, apply_each(NETWORKS, INPUTS), strict=True):
        assert torch.equal(output, network(one))


class Stream:
    """Notes who waits for whom."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def wait_stream(self, other: Stream) -> None:
        self.log.append(f"{self.name} waits for {other.name}")


def test_branches_begin_where_the_trunk_is_and_it_goes_on_when_all_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    trunk, names = Stream(log, "trunk"), iter("abc")

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        log.append(f"on {stream.name}")
        yield

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: trunk)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: Stream(log, next(names)))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: log.append(f"kept for {stream.name}"))
    outputs = branches.branched(list(zip(NETWORKS, INPUTS, strict=True)))
    assert log == [
        *[
            f"{word}{name}{more}"
            for name in "abc"
            for word, more in (("", " waits for trunk"), ("on ", ""), ("kept for ", ""))
        ],
        *[f"trunk waits for {name}" for name in "abc"],
    ]
    assert all(torch.equal(one, other) for one, other in zip(outputs, apply_each(NETWORKS, INPUTS), strict=True))


@pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="needs an Nvidia GPU: pytest tests/unit/networks/test_branches.py on a machine with one",
)
def test_a_recorded_graph_of_branches_has_the_gradients_of_plain_calls() -> None:
    networks = [nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 1, 3)).cuda() for _ in range(4)]
    inputs = torch.rand(4, 1, 4, 40, 40, device="cuda").unbind()

    def work() -> list[torch.Tensor]:
        value = torch.cat(apply_each(networks, inputs)).square().mean()
        return [value, *torch.autograd.grad(value, [weight for one in networks for weight in one.parameters()])]

    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = [each.clone() for each in work()]
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph, stream=stream):
        recorded = [each.detach() for each in work()]
    for _ in range(20):
        graph.replay()
        for one, other in zip(recorded, expected, strict=True):
            torch.testing.assert_close(one, other)

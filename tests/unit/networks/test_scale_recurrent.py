"""The scale-recurrent network: its layers against plain sums, files of weights, checkpoints of the authors' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from convert_scale_recurrent import converted, read, settings_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from invkit.networks.random import seeded
from invkit.networks.scale_recurrent import (
    ScaleRecurrentNetwork,
    ScaleRecurrentSettings,
    read_network,
    save_network,
    with_means_between,
)

CHANNELS = (4, 6, 8)
Arrays = dict[str, npt.NDArray[np.float32]]


def network_of(**settings: Any) -> ScaleRecurrentNetwork:
    with seeded(0):
        return ScaleRecurrentNetwork(ScaleRecurrentSettings(**{"channels": CHANNELS, "blocks": 1, **settings})).eval()


def layer_of(network: ScaleRecurrentNetwork, name: str) -> nn.Conv2d | nn.ConvTranspose2d:
    *block, last = name.split(".")
    layer = getattr(network.layers[block[0]], last) if block else network.layers[last]
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return layer


def biases_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def picture(height: int = 32, width: int = 16, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))


def test_the_paper_s_network_has_the_layers_of_the_authors_and_as_many_weights() -> None:
    network = ScaleRecurrentNetwork(ScaleRecurrentSettings())
    residual = sum(6 * 2 * (25 * n * n + n) for n in (32, 64, 128))  # three blocks of two in encoder and decoder
    strided = 25 * 6 * 32 + 32 + 25 * 32 * 64 + 64 + 25 * 64 * 128 + 128
    transposed = 16 * 128 * 64 + 64 + 16 * 64 * 32 + 32
    recurrent, last = 9 * 256 * 512 + 512, 25 * 32 * 3 + 3
    assert sum(p.numel() for p in network.parameters()) == residual + strided + transposed + recurrent + last
    encoder = {f"enc{stage}_{part}" for stage in (1, 2, 3) for part in (1, 2, 3, 4)}
    decoder = {f"dec{stage}_{part}" for stage in (1, 2, 3) for part in (1, 2, 3)} | {"dec2_4", "dec1_4", "dec1_0"}
    assert set(network.layers) == encoder | decoder | {"convLSTM"}


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("grid", ["tensorflow", "centred"])
def test_every_scale_is_restored_at_its_size(grid: str, recurrent: bool) -> None:
    sizes = [tuple(one.shape) for one in network_of(grid=grid, recurrent=recurrent)(picture())]
    assert sizes == [(1, 3, 8, 4), (1, 3, 16, 8), (1, 3, 32, 16)]


@pytest.mark.parametrize(("grid", "before"), [("tensorflow", 1), ("centred", 2)])
def test_a_strided_convolution_is_the_sum_over_its_window(grid: str, before: int) -> None:
    network = network_of(grid=grid, recurrent=False)
    features = torch.rand(1, CHANNELS[0], 6, 8, generator=torch.Generator().manual_seed(2))
    found, layer = network.encoded("enc2_1", features, stride=2), layer_of(network, "enc2_1")
    assert found.shape[2:] == (3, 4)
    for row, column in np.ndindex(3, 4):
        total = biases_of(layer).clone()
        for a, b in np.ndindex(5, 5):
            i, j = 2 * row + a - before, 2 * column + b - before
            if 0 <= i < 6 and 0 <= j < 8:
                total = total + layer.weight[:, :, a, b] @ features[0, :, i, j]
        torch.testing.assert_close(found[0, :, row, column], total)


def test_the_transposed_convolution_is_the_adjoint_of_a_strided_one() -> None:
    layer = layer_of(network_of(recurrent=False), "dec2_2")
    small = torch.rand(1, CHANNELS[2], 3, 4, generator=torch.Generator().manual_seed(3))
    large = torch.rand(1, CHANNELS[1], 6, 8, generator=torch.Generator().manual_seed(4))
    strided = torch.nn.functional.conv2d(large, layer.weight, stride=2, padding=1)
    upward = layer(small) - biases_of(layer).view(1, -1, 1, 1)
    torch.testing.assert_close((upward * large).sum(), (small * strided).sum())


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8))
def test_doubling_keeps_each_pixel_in_place_and_is_linear_between(values: list[float]) -> None:
    row = torch.tensor(values)
    found = with_means_between(row[None, None, None], 3)[0, 0, 0]
    torch.testing.assert_close(found[::2], row)
    torch.testing.assert_close(found[1:-1:2], (row[1:] + row[:-1]) / 2)
    assert found[-1] == row[-1]


def test_the_memory_changes_what_later_scales_restore() -> None:
    network = network_of()
    with torch.no_grad():
        before = network(picture())
        layer_of(network, "convLSTM").weight[:, CHANNELS[2] :] += 0.5  # what the layer makes of its former output
        after = network(picture())
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_a_cell_forgets_and_remembers_as_its_gates_say() -> None:
    network = network_of()
    layer, features = layer_of(network, "convLSTM"), torch.full((1, CHANNELS[2], 2, 2), 0.3)
    with torch.no_grad():
        layer.weight.zero_()
        biases_of(layer).copy_(torch.tensor([0.5, -0.25, 2.0, 1.0]).repeat_interleave(CHANNELS[2]))
        cell, output = network.remembered(features, (torch.full_like(features, 0.7), features))
    expected = 0.7 / (1 + np.exp(-3.0)) + np.tanh(-0.25) / (1 + np.exp(-0.5))
    np.testing.assert_allclose(cell.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(output.numpy(), np.tanh(expected) / (1 + np.exp(-1.0)), rtol=1e-5)


def checkpoint(recurrent: bool, blocks: int = 3) -> Arrays:
    """Arrays with the names, the layout and, in small, the shapes of the authors' checkpoints."""
    random = np.random.default_rng(0)
    arrays: Arrays = {}

    def add(name: str, *shape: int) -> None:
        arrays[f"g_net/{name}/weights"] = (random.normal(size=shape) / 10).astype(np.float32)
        arrays[f"g_net/{name}/biases"] = random.normal(size=shape[2 if "dec" in name and shape[0] == 4 else 3]).astype(
            np.float32
        )

    inputs = 6
    for stage, channels in enumerate(CHANNELS, 1):
        add(f"enc{stage}_1", 5, 5, inputs, channels)
        for block in range(blocks):
            for part in ("conv1", "conv2"):
                add(f"enc{stage}_{block + 2}/{part}", 5, 5, channels, channels)
                add(f"dec{stage}_{block + 1}/{part}", 5, 5, channels, channels)
        inputs = channels
    if recurrent:
        add("convLSTM/LSTM_conv", 3, 3, 2 * CHANNELS[2], 4 * CHANNELS[2])
    for stage in (2, 1):
        add(f"dec{stage}_{blocks + 1}", 4, 4, CHANNELS[stage - 1], CHANNELS[stage])
    add("dec1_0", 5, 5, CHANNELS[0], 3)
    arrays["g_net/dec1_0/weights/Adam"] = np.zeros(3, dtype=np.float32)  # of the optimizer
    arrays["global_step"] = np.array(5, dtype=np.float32)
    return arrays


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("grid", ["tensorflow", "centred"])
def test_a_checkpoint_of_the_authors_is_loaded_exactly(tmp_path: Path, grid: str, recurrent: bool) -> None:
    made = checkpoint(recurrent)
    np.savez(tmp_path / "checkpoint.npz", **made)  # type: ignore[arg-type]
    arrays = read(tmp_path / "checkpoint.npz")
    settings = settings_of(arrays, 3, grid)
    assert settings.model_dump() == {
        "image_channels": 3, "channels": CHANNELS, "blocks": 3, "scales": 3, "recurrent": recurrent, "grid": grid,
        "residual": False,
    }  # fmt: skip
    save_network(converted(arrays, settings), tmp_path / "srn.npz")
    network = read_network(tmp_path / "srn.npz")
    for name, value in made.items():
        if not name.endswith(("weights", "biases")):
            continue
        path, part = name.removeprefix("g_net/").replace("convLSTM/LSTM_conv", "convLSTM").rsplit("/", 1)
        layer = layer_of(network, path.replace("/", "."))
        kept = (layer.weight if part == "weights" else biases_of(layer)).numpy()
        for place in np.ndindex(value.shape):
            assert kept[place if part == "biases" else (place[3], place[2], place[0], place[1])] == value[place]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [("g_net/enc2_1/weights", "enc2_1/weights"), ("g_net/dec1_0/biases", "dec1_0.bias")],
)
def test_an_incomplete_checkpoint_is_refused_by_name(tmp_path: Path, left_out: str, said: str) -> None:
    made = {name: value for name, value in checkpoint(recurrent=False).items() if name != left_out}
    np.savez(tmp_path / "checkpoint.npz", **made)  # type: ignore[arg-type]
    arrays = read(tmp_path / "checkpoint.npz")
    with pytest.raises(SystemExit, match=said):
        converted(arrays, settings_of(arrays, 3, "tensorflow"))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    with pytest.raises(ValueError, match="no entry 'settings'"):
        read_network(tmp_path / "other.npz")
    network = network_of()
    save_network(network, tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as arrays:
        changed = {name: arrays[name] for name in arrays.files if "dec1_0" not in name}
    np.savez(tmp_path / "cut.npz", **changed)
    with pytest.raises(ValueError, match="do not fit together"):
        read_network(tmp_path / "cut.npz")

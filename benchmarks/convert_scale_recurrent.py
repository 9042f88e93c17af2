"""Convert a checkpoint of the authors of the scale-recurrent network to a file of weights for the recipe ``srn``.

    python benchmarks/convert_scale_recurrent.py CHECKPOINT srn.npz
    invkit deblur photo.jpg --recipe srn --set solver.latent.weights=srn.npz

CHECKPOINT is the path of a TensorFlow checkpoint without its endings (``deblur.model-523000``), for which tensorflow
must be installed, or an ``.npz`` file with the checkpoint's arrays by their names. Where tensorflow is installed but
invkit is not, this writes such a file:

    reader = tensorflow.train.load_checkpoint(CHECKPOINT)
    numpy.savez(FILE, **{name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})

Channels, number of residual blocks, and whether there is a recurrent layer, follow from the arrays' names and shapes.
The arrays of an optimizer are left out. ``--grid centred`` is for networks that were trained with symmetric padding.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from invkit.networks.scale_recurrent import ScaleRecurrentNetwork, ScaleRecurrentSettings, save_network

ROOT = "g_net/"
PARTS = {"weights": "weight", "biases": "bias"}
RECURRENT = "convLSTM/LSTM_conv"

Arrays = Mapping[str, npt.NDArray[np.float32]]


def read(checkpoint: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays of the network in a checkpoint, by their names without the root."""
    if checkpoint.suffix == ".npz":
        with np.load(checkpoint, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    else:
        found = from_tensorflow(checkpoint)
    network = {name.removeprefix(ROOT): value for name, value in found.items() if name.startswith(ROOT)}
    return {name: value for name, value in network.items() if name.rsplit("/", 1)[-1] in PARTS}


def from_tensorflow(checkpoint: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        load_checkpoint = import_module("tensorflow").train.load_checkpoint
    except ImportError as error:
        raise SystemExit("reading a checkpoint needs tensorflow; see --help for how to do without it here") from error
    reader = load_checkpoint(str(checkpoint))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def settings_of(arrays: Arrays, scales: int, grid: str) -> ScaleRecurrentSettings:
    """The settings of the network that has these arrays.

    Args:
        arrays: by name, weights (h, w, inputs, outputs).
        scales: of the network; the arrays do not tell.
        grid: "tensorflow" or "centred".

    Raises:
        SystemExit: they are not those of a scale-recurrent network.
    """
    needed = [*(f"enc{stage}_1/weights" for stage in (1, 2, 3)), "dec1_0/weights"]
    if missing := [name for name in needed if name not in arrays]:
        raise SystemExit(f"this is no checkpoint of a scale-recurrent network: it has no {', '.join(missing)}")
    blocks = {name for name in arrays if re.fullmatch(r"enc1_\d+/conv1/weights", name)}
    return ScaleRecurrentSettings.model_validate(
        {
            "image_channels": arrays["dec1_0/weights"].shape[3],
            "channels": [arrays[name].shape[3] for name in needed[:3]],
            "blocks": len(blocks),
            "scales": scales,
            "recurrent": f"{RECURRENT}/weights" in arrays,
            "grid": grid,
        }
    )


def converted(arrays: Arrays, settings: ScaleRecurrentSettings) -> ScaleRecurrentNetwork:
    """The network with these arrays; raises ``SystemExit`` if one is missing, or one is left over."""
    network = ScaleRecurrentNetwork(settings)
    weights = {own_name(name): torch.from_numpy(own_layout(value)) for name, value in arrays.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise SystemExit(f"the checkpoint does not fit the network of its shapes: {error}") from error
    return network


def own_name(name: str) -> str:
    """The name of a layer's weights or biases in the network.

    Example:
        >>> own_name("enc1_2/conv1/weights"), own_name("convLSTM/LSTM_conv/biases")
        ('layers.enc1_2.conv1.weight', 'layers.convLSTM.bias')
    """
    layer, part = name.replace(RECURRENT, "convLSTM").rsplit("/", 1)
    return f"layers.{layer.replace('/', '.')}.{PARTS[part]}"


def own_layout(value: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(h, w, a, b) -> (b, a, h, w), which serves convolutions, from a to b, and transposed ones, from b to a, alike."""
    return np.ascontiguousarray(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value, dtype=np.float32)


def main() -> None:
    """Convert one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="TensorFlow checkpoint without endings, or .npz")
    parser.add_argument("output", type=Path, help="the file of weights to write (.npz)")
    parser.add_argument("--scales", type=int, default=3, help="of the network")
    parser.add_argument("--grid", choices=("tensorflow", "centred"), default="tensorflow", help="of the training")
    given = parser.parse_args()
    arrays = read(given.checkpoint)
    network = converted(arrays, settings_of(arrays, given.scales, given.grid))
    save_network(network, given.output)
    print(f"{sum(weight.numel() for weight in network.parameters()):,} weights: {given.output}")


if __name__ == "__main__":
    main()

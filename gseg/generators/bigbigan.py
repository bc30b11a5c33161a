"""BigBiGAN's checkpoint in the layout of ajbrock's BigGAN-PyTorch.

The generator is the big residual one. Its spectral normalisation makes one power iteration from a
stored vector in every forward, also in evaluation mode, and never stores the result: a constant,
so it is folded into the weights. The public wrappers use class 0 for every sample, so ours has no
labels and keeps that row of the shared embedding.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from gseg.generators.big_resnet import BigResNetConfig
from gseg.generators.key_map import (
    KeyMap,
    Source,
    WeightRule,
    constant,
    map_keys,
    spectral_ajbrock,
)

_WIDTHS: Final[Mapping[int, tuple[int, ...]]] = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
_LAST_NORM_EPS: Final = 1e-5
_NAMES: Final[tuple[tuple[str, str], ...]] = (
    (r"^norm\.weight$", "output_layer.0.gain"),
    (r"^norm\.", "output_layer.0."),
    (r"^to_rgb\.", "output_layer.2."),
    (r"\.norm([12])\.norm\.", r".bn\1."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.running_(mean|var)$", r".stored_\1"),
    (r"\.skip\.", ".conv_sc."),
    (r"\.query\.", ".theta."),
    (r"\.key\.", ".phi."),
    (r"\.value\.", ".g."),
    (r"\.out\.", ".o."),
)


def bigbigan_config(
    numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[BigResNetConfig, int]:
    """Translate BigGAN-PyTorch's arguments; what is left out is read off the shapes.

    Args:
        numbers: Constructor arguments as BigGAN-PyTorch spells them.
        tensors: The file's tensors.

    Returns:
        Our config, and the rows of the file's shared embedding.

    Raises:
        ValueError: A number is neither given nor to be seen in the file.
    """
    known = {**_seen_numbers(tensors), **numbers}
    needed = ("dim_z", "shared_dim", "resolution", "G_ch", "n_classes")
    absent = [key for key in needed if key not in known]
    if absent:
        raise ValueError(
            f"neither the config nor the file tells {', '.join(absent)}: is it a BigBiGAN "
            "generator in BigGAN-PyTorch's layout?"
        )
    resolution = int(known["resolution"])
    if resolution not in _WIDTHS:
        raise ValueError(f"resolution must be one of {sorted(_WIDTHS)}, got {resolution}.")
    places = [int(place) for place in str(known.get("G_attn", "0")).split("_") if int(place) > 0]
    config = BigResNetConfig(
        latent_dim=known["dim_z"],
        shared_dim=known["shared_dim"],
        resolution=resolution,
        channels=tuple(known["G_ch"] * factor for factor in _WIDTHS[resolution]),
        num_classes=0,
        attention_after=(places[0] // 4).bit_length() - 1 if places else None,
        last_norm_eps=_LAST_NORM_EPS,
    )
    return config, int(known["n_classes"])


def bigbigan_key_map(network: nn.Module, config: BigResNetConfig, classes: int) -> KeyMap:
    """Map the keys of BigBiGAN's generator.

    Args:
        network: Ours.
        config: Its config.
        classes: Rows of the file's shared embedding, of which the first is kept.

    Returns:
        The source of each of our tensors.
    """
    attention = config.attention_after

    def weight(_: str) -> WeightRule:
        return spectral_ajbrock

    def rename(key: str) -> str:
        for pattern, name in _NAMES:
            key = re.sub(pattern, name, key)
        return re.sub(r"^blocks\.(\d+)\.", lambda m: _block_name(int(m[1]), attention), key)

    key_map = map_keys(network, rename, weight)
    state = network.state_dict()
    for key, tensor in state.items():
        if key.endswith("num_batches_tracked"):
            key_map[key] = constant(tuple(tensor.shape), torch.int64)
    key_map["shared.weight"] = Source(
        ("shared.weight",), ((classes, config.shared_dim),), lambda table: table[:1].clone()
    )
    if attention is not None:
        gain = f"{_block_name(attention, attention)}gamma"
        key_map[f"blocks.{attention}.weight"] = Source(
            (gain,), ((),), lambda gamma: gamma.reshape(1)
        )
    return key_map


def _block_name(index: int, attention: int | None) -> str:
    """Name our block in the file, where attention stands beside the block before it."""
    if attention is None or index < attention:
        return f"blocks.{index}.0."
    return f"blocks.{index - 1}.{1 if index == attention else 0}."


def _seen_numbers(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read off the shapes what they tell, in BigGAN-PyTorch's spelling."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    blocks = sum(key.endswith(".conv1.weight") for key in shapes)
    needed = ("linear.weight", "shared.weight", "output_layer.2.weight")
    if blocks == 0 or any(key not in shapes for key in needed):
        return {}
    attention = [int(key.split(".")[1]) for key in shapes if key.endswith(".theta.weight")]
    resolution = 4 * 2**blocks
    return {
        "dim_z": shapes["linear.weight"][1] * (blocks + 1),
        "n_classes": shapes["shared.weight"][0],
        "shared_dim": shapes["shared.weight"][1],
        "resolution": resolution,
        "G_ch": shapes["output_layer.2.weight"][1] // _WIDTHS.get(resolution, (1,))[-1],
        "G_attn": str(8 * 2 ** attention[0]) if attention else "0",
    }

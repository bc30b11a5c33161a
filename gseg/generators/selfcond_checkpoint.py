"""The checkpoints of self-conditioned GANs: sizes and keys of the architecture resnet2."""

import re
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor, nn

from gseg.generators.key_map import KeyMap, WeightRule, map_keys, plain
from gseg.generators.self_conditioned import SelfConditionedConfig

_WIDEST: Final = 16
_NAMES: Final[tuple[tuple[str, str], ...]] = (
    (r"^embedding\.", "get_latent.embedding."),
    (r"^linear\.", "fc."),
    (r"^to_rgb\.", "conv_img."),
    (r"\.conv1\.", ".conv_0."),
    (r"\.conv2\.", ".conv_1."),
    (r"\.skip\.", ".conv_s."),
)


def self_conditioned_config(
    numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> SelfConditionedConfig:
    """Translate the constructor arguments of resnet2; what is left out is read off the shapes.

    Args:
        numbers: Arguments as the public program spells them.
        tensors: The file's tensors.

    Returns:
        Our config.

    Raises:
        ValueError: A number is neither given nor to be seen in the file.
    """
    known = {**_seen_numbers(tensors), **numbers}
    absent = [key for key in ("z_dim", "size", "nfilter", "conditioning") if key not in known]
    if absent:
        raise ValueError(
            f"neither the config nor the file tells {', '.join(absent)}: is it a self-conditioned "
            "generator (resnet2)?"
        )
    labelled = known["conditioning"] == "embedding"
    stages = (known["size"] // 4).bit_length()
    factors = [min(2 ** (stages - 1 - stage), _WIDEST) for stage in range(stages)]
    return SelfConditionedConfig(
        latent_dim=known["z_dim"],
        resolution=known["size"],
        channels=tuple(known["nfilter"] * factor for factor in factors),
        num_classes=known["nlabels"] if labelled else 0,
        embed_dim=known.get("embed_size", 256) if labelled else 0,
    )


def self_conditioned_key_map(network: nn.Module, config: SelfConditionedConfig) -> KeyMap:
    """Map the keys of resnet2; there is no normalisation of any kind.

    Args:
        network: Ours.
        config: Its config.

    Returns:
        The source of each of our tensors.
    """

    def rename(key: str) -> str:
        for pattern, name in _NAMES:
            key = re.sub(pattern, name, key)
        match = re.match(r"^blocks\.(\d+)\.(.*)$", key)
        if match is None:
            return key
        stage, block = divmod(int(match[1]), config.blocks_per_stage)
        return f"resnet_{stage}_{block}.{match[2]}"

    def weight(_: str) -> WeightRule:
        return plain

    return map_keys(network, rename, weight)


def _seen_numbers(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read off the shapes what they tell, in the public program's spelling."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    stages = sum(re.fullmatch(r"resnet_\d+_0\.conv_0\.weight", key) is not None for key in shapes)
    if stages == 0 or "fc.weight" not in shapes or "conv_img.weight" not in shapes:
        return {}
    table = shapes.get("get_latent.embedding.weight")
    return {
        "size": 4 * 2 ** (stages - 1),
        "nfilter": shapes["conv_img.weight"][1],
        "conditioning": "unconditional" if table is None else "embedding",
        "nlabels": 1 if table is None else table[0],
        "embed_size": 256 if table is None else table[1],
        "z_dim": shapes["fc.weight"][1] - (0 if table is None else table[1]),
    }

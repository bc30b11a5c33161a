"""StudioGAN's checkpoints: sizes and key layouts of its residual generators.

Two layouts are public. In that of 2021 ("legacy") the conditional batch normalisation of the
residual generator keeps tables of classes (``embed0``, ``embed1``); since January 2022 it keeps
linear layers on one-hot labels (``gain``, ``bias``), their transposes. The big residual generator
is the same in both.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from torch import Tensor, nn

from gseg.generators.big_resnet import BigResNetConfig
from gseg.generators.key_map import (
    KeyMap,
    WeightRule,
    map_keys,
    plain,
    spectral,
    spectral_transposed,
    transposed,
)
from gseg.generators.resnet import ResNetConfig

Layout = Literal["legacy", "current"]
_WIDTHS: Final[Mapping[int, tuple[int, ...]]] = {
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
_UNCONDITIONAL: Final = ("no", "W/O", "N/A", None)
_NAMES: Final[tuple[tuple[str, str], ...]] = (
    (r"^linear\.", "linear0."),
    (r"^norm\.", "bn4."),
    (r"^to_rgb\.", "conv2d5."),
    (r"^blocks\.(\d+)\.", r"blocks.\1.0."),
    (r"\.norm([12])\.norm\.", r".bn\1.bn."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.conv([12])\.", r".conv2d\1."),
    (r"\.skip\.", ".conv2d0."),
    (r"\.query\.", ".conv1x1_theta."),
    (r"\.key\.", ".conv1x1_phi."),
    (r"\.value\.", ".conv1x1_g."),
    (r"\.out\.", ".conv1x1_attn."),
    (r"^(blocks\.\d+\.0)\.weight$", r"\1.sigma"),
)


def studiogan_config(
    architecture: str, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> ResNetConfig | BigResNetConfig:
    """Translate StudioGAN's constructor arguments; what is left out is read off the shapes.

    Args:
        architecture: ``resnet`` or ``big_resnet``.
        numbers: Constructor arguments as StudioGAN spells them.
        tensors: The file's tensors.

    Returns:
        Our config.

    Raises:
        ValueError: A number is neither given nor to be seen in the file.
    """
    known = {**seen_numbers(tensors), **{key: v for key, v in numbers.items() if v != "N/A"}}
    needed = ["z_dim", "img_size", "g_conv_dim", *["shared_dim"] * (architecture == "big_resnet")]
    absent = [key for key in needed if key not in known]
    if absent:
        raise ValueError(
            f"neither the config nor the file tells {', '.join(absent)}: is it a StudioGAN "
            f"{architecture} generator?"
        )
    if known["img_size"] not in _WIDTHS:
        raise ValueError(f"img_size must be one of {sorted(_WIDTHS)}, got {known['img_size']}.")
    labelled = known.get("conditional_strategy", "as seen") not in _UNCONDITIONAL
    attention = known.get("attention_after_nth_gen_block") if known.get("attention") else None
    common: dict[str, Any] = {
        "latent_dim": known["z_dim"],
        "resolution": known["img_size"],
        "channels": tuple(known["g_conv_dim"] * factor for factor in _WIDTHS[known["img_size"]]),
        "num_classes": known.get("num_classes", 0) if labelled else 0,
        "attention_after": attention,
    }
    if architecture == "big_resnet":
        return BigResNetConfig(shared_dim=known["shared_dim"], **common)
    return ResNetConfig(**common)


def studiogan_key_map(network: nn.Module, tensors: Mapping[str, Tensor]) -> KeyMap:
    """Map the keys of a residual or big residual generator, whichever layout the file has.

    Args:
        network: Our generator.
        tensors: The file's tensors; their names tell the layout and the spectral normalisation.

    Returns:
        The source of each of our tensors.
    """
    legacy = any(".embed0." in key for key in tensors)
    big = hasattr(network, "shared")
    normalised = any(key.endswith("weight_orig") for key in tensors)

    def weight(key: str) -> WeightRule:
        if key == "shared.weight":
            return plain
        if not big and not legacy and re.search(r"\.(gain|bias)\.weight$", key):
            return spectral_transposed if normalised else transposed
        return spectral if normalised else plain

    def rename(key: str) -> str:
        for pattern, name in _NAMES:
            key = re.sub(pattern, name, key)
        if legacy and not big:
            key = re.sub(r"\.gain\.weight$", ".embed0.weight", key)
            key = re.sub(r"(\.bn[12])\.bias\.weight$", r"\1.embed1.weight", key)
        return key

    return map_keys(network, rename, weight)


def seen_numbers(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read off the shapes what they tell, in StudioGAN's spelling.

    Args:
        tensors: The file's tensors.

    Returns:
        Those of the constructor's arguments that could be told.
    """
    shapes = {key.replace("weight_orig", "weight"): tuple(t.shape) for key, t in tensors.items()}
    blocks = sum(key.endswith(".conv2d1.weight") for key in shapes)
    seen: dict[str, Any] = {}
    if blocks == 0 or "linear0.weight" not in shapes or "conv2d5.weight" not in shapes:
        return seen
    big = "shared.weight" in shapes
    seen["img_size"] = 4 * 2**blocks
    seen["g_conv_dim"] = shapes["conv2d5.weight"][1]
    if seen["img_size"] in _WIDTHS:
        seen["g_conv_dim"] //= _WIDTHS[seen["img_size"]][-1]
    seen["z_dim"] = shapes["linear0.weight"][1] * (blocks + 1 if big else 1)
    if big:
        seen["num_classes"], seen["shared_dim"] = shapes["shared.weight"]
    elif "blocks.0.0.bn1.embed0.weight" in shapes:
        seen["num_classes"] = shapes["blocks.0.0.bn1.embed0.weight"][0]
    elif "blocks.0.0.bn1.gain.weight" in shapes:
        seen["num_classes"] = shapes["blocks.0.0.bn1.gain.weight"][1]
    attention = [key.split(".")[1] for key in shapes if key.endswith("conv1x1_theta.weight")]
    if attention:
        seen["attention"] = True
        seen["attention_after_nth_gen_block"] = int(attention[0])
    return seen

"""StyleGAN2's checkpoints in the format of stylegan2-ada-pytorch."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from gseg.generators.inert_pickle import read_stored_module
from gseg.generators.key_map import KeyMap, Source, apply_key_map, plain
from gseg.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator

Truncation = float | tuple[float, int]
_NAMES: Final[tuple[tuple[str, str], ...]] = (
    (r"^mapping\.(\d+)\.", r"mapping.fc\1."),
    (r"^mean_style$", "mapping.w_avg"),
    (r"^const$", "synthesis.b4.const"),
    (r"\.to_rgb\.", ".torgb."),
    (r"\.noise$", ".noise_const"),
)


def load_stylegan2(
    path: Path, stated: Mapping[str, Any], truncation: Truncation | None
) -> StyleGAN2Generator:
    """Load StyleGAN2 from a pickle.

    Args:
        path: The file.
        stated: The config as given to `gseg.generators.from_checkpoint`.
        truncation: psi, or (psi, number of first layers that are truncated); None for none.

    Returns:
        The network on the CPU.

    Raises:
        ValueError: The file is not such a checkpoint, or does not fit the config.
    """
    entry = stated.get("checkpoint", {}).get("weights_at", "G_ema")
    module = read_stored_module(path, entry)
    tensors = module.tensors()
    try:
        given = {**module.state.get("_init_kwargs", {}), **stated.get("config", {})}
        config = stylegan2_config(given, tensors)
        if truncation is not None:
            psi, cutoff = truncation if isinstance(truncation, tuple) else (truncation, None)
            config = replace(config, truncation=psi, truncation_cutoff=cutoff)
        with torch.device("meta"):
            network = StyleGAN2Generator(config)
        state = apply_key_map(stylegan2_key_map(network), tensors)
    except ValueError as error:
        raise ValueError(f"{path} does not fit stylegan2: {error}") from error
    network.load_state_dict(state, strict=True, assign=True)
    return network


def stylegan2_config(numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StyleGAN2Config:
    """Translate the constructor's arguments; what is left out is read off the shapes.

    Args:
        numbers: Arguments as stylegan2-ada-pytorch spells them; also ``noise_mode``.
        tensors: The file's tensors.

    Returns:
        Our config.

    Raises:
        ValueError: The generator has classes, another architecture or other colours than three.
    """
    synthesis = numbers.get("synthesis_kwargs", {})
    for name, found, supported in (
        ("c_dim", numbers.get("c_dim", 0), 0),
        ("img_channels", numbers.get("img_channels", 3), 3),
        ("architecture", synthesis.get("architecture", "skip"), "skip"),
    ):
        if found != supported:
            raise ValueError(f"{name} is {found}; only {supported} is supported.")
    known = {**_seen_numbers(tensors), **numbers}
    absent = [key for key in ("z_dim", "w_dim", "img_resolution") if key not in known]
    if absent:
        raise ValueError(f"neither the config nor the file tells {', '.join(absent)}.")
    base, most = synthesis.get("channel_base", 32768), synthesis.get("channel_max", 512)
    sides = [4 * 2**k for k in range((known["img_resolution"] // 4).bit_length())]
    return StyleGAN2Config(
        latent_dim=known["z_dim"],
        style_dim=known["w_dim"],
        resolution=known["img_resolution"],
        channels=tuple(
            min(base // side, most)
            if "channel_base" in synthesis
            else known["widths"].get(side, most)
            for side in sides
        ),
        mapping_layers=numbers.get("mapping_kwargs", {}).get("num_layers", known.get("layers", 8)),
        clamp=synthesis.get("conv_clamp"),
        noise=numbers.get("noise_mode", "const"),
    )


def stylegan2_key_map(network: nn.Module) -> KeyMap:
    """Map the keys of a StyleGAN2 generator.

    The file repeats the one filter in every layer; ours has it once.

    Args:
        network: Ours.

    Returns:
        The source of each of our tensors.
    """

    def rename(key: str) -> str:
        for pattern, name in _NAMES:
            key = re.sub(pattern, name, key)
        return re.sub(r"^blocks\.(\d+)\.", lambda m: f"synthesis.b{4 * 2 ** int(m[1])}.", key)

    state = network.state_dict()
    key_map = {key: plain(rename(key), tuple(tensor.shape)) for key, tensor in state.items()}
    blocks = sorted({key.split(".")[1] for key in state if key.startswith("blocks.")}, key=int)
    filters = [
        rename(f"blocks.{block}.{layer}resample_filter")
        for block in blocks
        for layer in ("", "conv0.", "conv1.")
        if not (block == "0" and layer == "conv0.")
    ]
    key_map["filter"] = Source(tuple(filters), ((4, 4),) * len(filters), _one_of)
    return key_map


def _one_of(first: Tensor, *others: Tensor) -> Tensor:
    """Give the filter that all layers share."""
    if not first.is_meta and not all(torch.equal(first, other) for other in others):
        raise ValueError("its layers have different resampling filters; expected one for all.")
    return first


def _seen_numbers(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read off the shapes what they tell."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    found = [re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", key) for key in shapes]
    widths = {int(match[1]): shapes[match[0]][0] for match in found if match is not None}
    if not widths or "mapping.fc0.weight" not in shapes:
        return {"widths": widths}
    return {
        "widths": widths,
        "w_dim": shapes["mapping.fc0.weight"][0],
        "z_dim": shapes["mapping.fc0.weight"][1],
        "img_resolution": max(widths),
        "layers": sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in shapes),
    }

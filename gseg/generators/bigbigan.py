"""BigBiGAN's checkpoint in the layout of ajbrock's BigGAN-PyTorch.

The generator is the big residual one, without labels.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch

from gseg.generators import family
from gseg.generators.studiogan import BigResNetConfig

_WIDTHS: Final[Mapping[int, tuple[int, ...]]] = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
_NAMES: Final[family.Names] = (
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


def _plan(stated: family.Stated, tensors: family.Tensors, _: object) -> family.Plan:
    known = {**_seen_numbers(tensors), **stated.get("config", {})}
    needed = ("dim_z", "shared_dim", "resolution", "G_ch", "n_classes")
    family.check_told(known, needed, "a BigBiGAN generator in BigGAN-PyTorch's layout")
    resolution = int(known["resolution"])
    if resolution not in _WIDTHS:
        raise ValueError(f"resolution must be one of {sorted(_WIDTHS)}, got {resolution}.")
    places = [int(place) for place in str(known.get("G_attn", "0")).split("_") if int(place) > 0]
    attention = (places[0] // 4).bit_length() - 1 if places else None
    network = BigResNetConfig(
        latent_dim=known["dim_z"],
        shared_dim=known["shared_dim"],
        resolution=resolution,
        channels=tuple(known["G_ch"] * factor for factor in _WIDTHS[resolution]),
        num_classes=0,
        attention_after=attention,
        last_norm_eps=1e-5,  # the other norms' is 1e-4
    ).build()

    def place(block: int) -> str:
        # In the file, attention stands beside the block before it.
        if attention is None or block < attention:
            return f"blocks.{block}.0."
        return f"blocks.{block - 1}.{1 if block == attention else 0}."

    names = (*_NAMES, (r"^blocks\.(\d+)\.", lambda match: place(int(match[1]))))
    # Its spectral normalisation makes one power iteration from a stored vector in every forward,
    # also in evaluation mode, and never stores the result: a constant.
    key_map = family.map_keys(network, names, lambda _: family.spectral_ajbrock)
    for key in key_map:
        if key.endswith("num_batches_tracked"):  # which the file does not have
            key_map[key] = family.Source((), (), lambda: torch.zeros((), dtype=torch.int64))
    # The public wrappers use class 0 for every sample.
    table = (int(known["n_classes"]), known["shared_dim"])
    first = family.Source(("shared.weight",), (table,), lambda rows: rows[:1].clone())
    key_map["shared.weight"] = first
    if attention is not None:  # whose weight is a scalar in the file
        gamma = family.Source((f"{place(attention)}gamma",), ((),), lambda one: one.reshape(1))
        key_map[f"blocks.{attention}.weight"] = gamma
    return network, key_map


def _seen_numbers(tensors: family.Tensors) -> dict[str, Any]:
    """Read off the shapes what they tell, in BigGAN-PyTorch's spelling."""
    shapes = family.shapes_of(tensors)
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


FAMILIES: Final = (
    family.Family(
        proper_name="BigBiGAN",
        plan=_plan,
        configs=(BigResNetConfig,),
        looks_like="BigBiGAN's generator",
    ),
)

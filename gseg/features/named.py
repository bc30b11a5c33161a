"""Feature networks by name, as configs and the command line give them."""

import difflib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch

from gseg.features.backbones import (
    InceptionInput,
    inception_features,
    inception_name,
    inception_title,
    resnet50_features,
    resnet50_name,
)
from gseg.features.contract import FeatureExtractor
from gseg.features.scenes import SCENES_FEATURES, scenes_features

_INPUTS: Final[dict[str, InceptionInput]] = {
    "inception": "torch-fidelity",
    "inception-pytorch-fid": "pytorch-fid",
}
FORMS: Final = "scenes, inception[:FILE], inception-pytorch-fid[:FILE], resnet50:FILE"


def open_features(spec: str, *, device: str | torch.device = "cpu") -> FeatureExtractor:
    """Load a feature network.

    Args:
        spec: ``scenes``; ``inception`` or ``inception-pytorch-fid``, whose public weights are
            fetched unless a file is given as ``inception:FILE``; or ``resnet50:FILE``.
        device: Where to compute.

    Returns:
        The extractor, with its weights in its name.

    Raises:
        ValueError: There is no such network, or its weights are not there or of another kind.
    """
    kind, file = parse_features(spec)
    makers: dict[str, Callable[[], FeatureExtractor]] = {
        "scenes": lambda: scenes_features(device=device),
        "inception": lambda: inception_features(file, device=device),
        "inception-pytorch-fid": lambda: inception_features(
            file, like=_INPUTS[kind], device=device
        ),
        "resnet50": lambda: resnet50_features(file or "", device=device),
    }
    return makers[kind]()


def features_name(spec: str) -> str:
    """Say which features a name stands for, weights included, without loading the network.

    Args:
        spec: See `open_features`.

    Returns:
        The name of the extractor.

    Raises:
        ValueError: There is no such network, or its weights are not there.
    """
    kind, file = parse_features(spec)
    if kind == "scenes":
        return SCENES_FEATURES
    if file is None:
        return inception_title("2015-12-05", _INPUTS[kind])  # checked when it is loaded
    return _file_name(kind, file, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=8)
def _file_name(kind: str, file: Path, _modified: int) -> str:
    return resnet50_name(file) if kind == "resnet50" else inception_name(file, _INPUTS[kind])


def parse_features(spec: str) -> tuple[str, Path | None]:
    """Take a name apart, without looking whether its file is there.

    Args:
        spec: See `open_features`.

    Returns:
        Kind of network, and the file of its weights if one was given.

    Raises:
        ValueError: There is no such network.
    """
    kind, _, file = spec.partition(":")
    kinds = ("scenes", "inception", "inception-pytorch-fid", "resnet50")
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"Unknown features {spec!r}{hint} There are {FORMS}.")
    if kind == "scenes" and file:
        raise ValueError(f"The features of scenes ship with gseg and take no file, got {spec!r}.")
    if kind == "resnet50" and not file:
        raise ValueError("resnet50 needs its weights: resnet50:FILE, a state dict of torchvision.")
    return kind, Path(file).expanduser() if file else None

"""Feature networks by name, as configs and the command line give them.

Names are told without loading a network; the command line reads this file for its help, so it
imports no PyTorch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gseg.storage.checksums import file_digest
from gseg.words import unknown

if TYPE_CHECKING:
    import torch

    from gseg.features.networks import NetworkFeatures

SCENES_FEATURES: Final = "scenes-features-v3"
"""Name of the shipped weights; other weights or another network must get another name."""
INCEPTION_SHA256: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the public weights: the files of pytorch-fid and of torch-fidelity are the same bytes."""
FORMS: Final = "scenes, inception[:FILE], inception-pytorch-fid[:FILE], resnet50:FILE"

_KINDS: Final = ("scenes", "inception", "inception-pytorch-fid", "resnet50")


def open_features(spec: str, *, device: "str | torch.device" = "cpu") -> "NetworkFeatures":
    """Load a feature network.

    Args:
        spec: ``scenes``; ``inception`` or ``inception-pytorch-fid``, whose public weights are
            fetched unless a file is given as ``inception:FILE``; or ``resnet50:FILE``. The two
            Inceptions differ in how they resize pictures to 299 pixels, and in their numbers:
            as the original graph (torch-fidelity, torchmetrics) or as pytorch-fid does.
        device: Where to compute.

    Returns:
        The extractor, with its weights in its name.

    Raises:
        ValueError: There is no such network, or its weights are not there or of another kind.
    """
    kind, file = parse_features(spec)
    if kind == "scenes":
        from gseg.features.networks import scenes_features

        return scenes_features(device=device)
    from gseg.features.networks import published_features

    return published_features(kind, file, features_name(spec), device=device)


def features_name(spec: str) -> str:
    """Say which features a name stands for, weights included: the name of the extractor.

    Raises:
        ValueError: There is no such network, or its weights are not there.
    """
    kind, file = parse_features(spec)
    if kind == "scenes":
        return SCENES_FEATURES
    weights = "" if file is None else file_checksum(file)[:8]
    if kind == "resnet50":
        return f"resnet50-{weights}"
    # Without a file they are the public weights, whose checksum is looked at when they are loaded.
    if INCEPTION_SHA256.startswith(weights):
        weights = "2015-12-05"
    return f"inception-{weights} ({'torch-fidelity' if kind == 'inception' else 'pytorch-fid'})"


def parse_features(spec: str) -> tuple[str, Path | None]:
    """Take a name apart, without looking whether its file is there.

    Returns:
        Kind of network, and the file of its weights if one was given.

    Raises:
        ValueError: There is no such network.
    """
    kind, _, file = spec.partition(":")
    if kind not in _KINDS:
        raise ValueError(unknown("features", spec, _KINDS, among=FORMS))
    if kind == "scenes" and file:
        raise ValueError(f"The features of scenes ship with gseg and take no file, got {spec!r}.")
    if kind == "resnet50" and not file:
        raise ValueError("resnet50 needs its weights: resnet50:FILE, a state dict of torchvision.")
    return kind, Path(file).expanduser() if file else None


def file_checksum(file: Path) -> str:
    """Give the first 20 digits of a file's SHA-256, in hexadecimal.

    Raises:
        ValueError: There is no such file.
    """
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file of weights.")
    return file_digest(file)

"""Published backbones as feature extractors, with their weights in files that can run no code."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.features.contract import NetworkFeatures
from gseg.features.inception import (
    FEATURES,
    InceptionNetwork,
    like_pytorch_fid,
    like_tensorflow,
)

InceptionInput = Literal["torch-fidelity", "pytorch-fid"]

INCEPTION_SHA256: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the public weights: the files of pytorch-fid and of torch-fidelity are the same bytes."""
INCEPTION_ADDRESS: Final = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)

_INPUTS: Final[Mapping[InceptionInput, Callable[[Tensor], Tensor]]] = {
    "torch-fidelity": like_tensorflow,
    "pytorch-fid": like_pytorch_fid,
}
_RESNET_SIDE: Final = 224
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, as torchvision's weights were trained with."""


def inception_features(
    weights: Path | str | None = None,
    *,
    like: InceptionInput = "torch-fidelity",
    device: str | torch.device = "cpu",
) -> NetworkFeatures:
    """Load the standard Inception network.

    Args:
        weights: File of the public weights; without it the file that torch-fidelity and
            torchmetrics fetch is used, from PyTorch's cache or its address.
        like: Whose way of resizing pictures to 299 pixels: that of the original graph
            (torch-fidelity, torchmetrics) or that of pytorch-fid. Their numbers differ.
        device: Where to compute.

    Returns:
        An extractor with 2048 features, such as "inception-2015-12-05 (torch-fidelity)".

    Raises:
        ValueError: The weights cannot be fetched, or the file does not hold them.
    """
    file = fetch_inception() if weights is None else Path(weights)
    network = InceptionNetwork()
    load_weights(network, file)
    return NetworkFeatures(
        network,
        inception_name(file, like),
        dim=FEATURES,
        compute=lambda pictures: network(_INPUTS[like](pictures)),
        device=device,
    )


def inception_name(file: Path, like: InceptionInput) -> str:
    """Name the features that a weights file gives, without loading the network."""
    known = file_checksum(file)
    return inception_title("2015-12-05" if known == INCEPTION_SHA256 else known[:8], like)


def inception_title(which: str, like: InceptionInput) -> str:
    """Put a name together from which weights these are and how pictures are resized."""
    return f"inception-{which} ({like})"


def resnet50_features(
    weights: Path | str, *, device: str | torch.device = "cpu"
) -> NetworkFeatures:
    """Load a ResNet-50 in torchvision's layout, with any training.

    Pictures are resized to 224 x 224 pixels, bilinearly with antialiasing.

    Args:
        weights: File of its state dict.
        device: Where to compute.

    Returns:
        An extractor with 2048 features, such as "resnet50-11ad3fa6".

    Raises:
        ValueError: The file does not hold such weights.
    """
    from torchvision.models import resnet50  # takes a second to import

    network: nn.Module = resnet50(weights=None)
    load_weights(network, Path(weights))
    network.fc = nn.Identity()
    return NetworkFeatures(
        network,
        resnet50_name(Path(weights)),
        dim=FEATURES,
        compute=lambda pictures: network(_like_torchvision(pictures)),
        device=device,
    )


def resnet50_name(file: Path) -> str:
    """Name the features that a weights file gives, without loading the network."""
    return f"resnet50-{file_checksum(file)[:8]}"


def fetch_inception() -> Path:
    """Find the public Inception weights in PyTorch's cache, or fetch them.

    Returns:
        The file, with the checksum that it is known by.

    Raises:
        ValueError: It cannot be fetched, or is damaged.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_ADDRESS.rpartition("/")[2]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                INCEPTION_ADDRESS, str(file), hash_prefix=INCEPTION_SHA256, progress=False
            )
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            raise ValueError(
                f"The Inception weights could not be fetched from {INCEPTION_ADDRESS}: {error}. "
                "Fetch the file by hand and name it: inception:FILE."
            ) from error
    if file_checksum(file) != INCEPTION_SHA256:
        raise ValueError(
            f"{file} is not the public Inception weights: its SHA-256 is not {INCEPTION_SHA256}. "
            "Remove it, and it is fetched again."
        )
    return file


def load_weights(network: nn.Module, file: Path) -> None:
    """Read a state dict into a network, strictly and without running code from the file.

    Args:
        network: Takes the weights.
        file: A PyTorch file of tensors by name.

    Raises:
        ValueError: It is missing, holds something else, or a tensor is missing, extra or of
            another shape.
    """
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file of weights.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
    except (pickle.UnpicklingError, RuntimeError, TypeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{file} does not hold weights of {type(network).__name__}: {reason} Expected a state "
            "dict, tensors by name."
        ) from error


def file_checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file of weights.")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _like_torchvision(pictures: Tensor) -> Tensor:
    x = F.interpolate(
        pictures.float() / 255,
        (_RESNET_SIDE, _RESNET_SIDE),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (_MEAN, _DEVIATION))
    return (x - mean) / deviation

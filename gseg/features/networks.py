"""Networks that turn pictures into vectors, with their weights in files that can run no code."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from gseg.arrays import check_finite
from gseg.exactness import exact
from gseg.features.named import INCEPTION_SHA256, SCENES_FEATURES, file_checksum
from gseg.images import from_uint8
from gseg.state_dicts import choose_state, fits, likely_state, read_content
from gseg.transfers import send, start_copy

INCEPTION_ADDRESS: Final = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
_FEATURES: Final = 2048
_INCEPTION_SIDE: Final = 299
_RESNET_SIDE: Final = 224
# Widths of the network of scenes, and its pictures in a batch.
_CHANNELS: Final = (24, 48, 64, 64)
_BATCH: Final = 256
# Of ImageNet's pixels, as torchvision's weights were trained with.
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)


class NetworkFeatures:
    """Any backbone as a function from pictures to vectors, in fixed batches on one device.

    Args:
        network: Put into eval mode and frozen.
        name: Says which network with which weights this is; part of every number computed with
            it: other features get another name.
        dim: Length D of a vector.
        compute: Turns (N, 3, H, W) uint8 on the network's device into (N, D); the network itself
            if None.
        device: Where to compute.
        batch: Pictures computed together.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        *,
        dim: int,
        compute: Callable[[Tensor], Tensor] | None = None,
        device: str | torch.device = "cpu",
        batch: int = 64,
    ) -> None:
        self.name, self.dim = name, dim
        self._device, self._batch = torch.device(device), batch
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval().requires_grad_(False)
        self._compute = network if compute is None else compute

    def __call__(self, pictures: Tensor) -> Tensor:
        """Compute the features (N, D) of pictures; see `begin`."""
        return self.begin(pictures)()

    @torch.no_grad()
    def begin(self, pictures: Tensor) -> Callable[[], Tensor]:
        """Begin to compute features.

        Args:
            pictures: (N, 3, H, W) uint8, on the CPU or the network's device.

        Returns:
            A function that waits for them, and gives (N, D) float32 on the CPU.

        Raises:
            ValueError: The pictures are not bytes with three channels, or the network gave
                something else than one vector of length D for each.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
            raise ValueError(
                f"Features need pictures (N, 3, H, W) of uint8, got {tuple(pictures.shape)} of "
                f"{pictures.dtype}; gseg.images.to_uint8 converts."
            )
        parts = [self._features(part) for part in torch.split(pictures, self._batch) if len(part)]
        if not parts:
            return lambda: torch.empty(0, self.dim)
        return lambda: torch.cat([arrived() for arrived in parts])

    def _features(self, pictures: Tensor) -> Callable[[], Tensor]:
        with exact():  # features are compared with those of other machines
            features = self._compute(send(pictures, self._device))
        if features.shape != (len(pictures), self.dim):
            raise ValueError(
                f"{self.name} gave {tuple(features.shape)} for {len(pictures)} pictures, expected "
                f"({len(pictures)}, {self.dim}): pool over space, and check dim."
            )
        return start_copy(features.float())


class ScenesNetwork(nn.Module):
    """Four convolutions, and their spatial mean brought to one scale: 64 features, 80 k weights."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_CHANNELS[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False)
            for a, b in zip(inputs, _CHANNELS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in _CHANNELS)
        self.whitening = nn.Linear(_CHANNELS[-1], _CHANNELS[-1])

    def pooled(self, images: Tensor) -> Tensor:
        """Compute the mean over space of the last convolution's activations.

        Pictures are (N, 3, H, W) float32 in [-1, 1], sides at least 8; the means (N, 64),
        non-negative.
        """
        x, last = images, len(self.norms) - 1
        for depth, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = norm(convolution(x))
            # Before the rectification, which gives the same, and has a quarter to do then.
            x = F.relu(x if depth == last else F.max_pool2d(x, 2), inplace=True)
        return x.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features (N, 64) of pictures (N, 3, H, W) in [-1, 1]."""
        features: Tensor = self.whitening(self.pooled(images))
        return features


class InceptionNetwork(nn.Sequential):
    """The network that the Fréchet inception distance is defined with, 23.9 M weights.

    Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", as the graph
    `inception-2015-12-05` of TensorFlow has it, which Heusel et al. 2017 took. Maps (N, 3, 299,
    299) of about [-1, 1] to logits (N, 1008); what enters the last layer, `fc`, are the features.
    """

    def __init__(self) -> None:
        # Its blocks only: the extractor that torch-fidelity puts together of them reads weights
        # by a pickle that may run code, and fetches them by itself without a checksum.
        from torch_fidelity import feature_extractor_inceptionv3 as blocks

        unit = blocks.BasicConv2d
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": unit(3, 32, kernel_size=3, stride=2),
            "Conv2d_2a_3x3": unit(32, 32, kernel_size=3),
            "Conv2d_2b_3x3": unit(32, 64, kernel_size=3, padding=1),
            "MaxPool_1": nn.MaxPool2d(3, stride=2),
            "Conv2d_3b_1x1": unit(64, 80, kernel_size=1),
            "Conv2d_4a_3x3": unit(80, 192, kernel_size=3),
            "MaxPool_2": nn.MaxPool2d(3, stride=2),
            "Mixed_5b": blocks.InceptionA(192, pool_features=32),
            "Mixed_5c": blocks.InceptionA(256, pool_features=64),
            "Mixed_5d": blocks.InceptionA(288, pool_features=64),
            "Mixed_6a": blocks.InceptionB(288),
            "Mixed_6b": blocks.InceptionC(768, channels_7x7=128),
            "Mixed_6c": blocks.InceptionC(768, channels_7x7=160),
            "Mixed_6d": blocks.InceptionC(768, channels_7x7=160),
            "Mixed_6e": blocks.InceptionC(768, channels_7x7=192),
            "Mixed_7a": blocks.InceptionD(768),
            "Mixed_7b": blocks.InceptionE_1(1280),
            "Mixed_7c": blocks.InceptionE_2(2048),
            "AvgPool": nn.AdaptiveAvgPool2d(1),
            "Flatten": nn.Flatten(),
            "fc": nn.Linear(_FEATURES, 1008),
        }
        super().__init__(OrderedDict(layers))


def scenes_features(*, device: str | torch.device = "cpu") -> NetworkFeatures:
    """Load the shipped feature network of scenes, `SCENES_FEATURES` with 64 features."""
    file = resources.files("gseg") / "scenes" / "weights" / "features.safetensors"
    network = ScenesNetwork()
    network.load_state_dict({name: t.float() for name, t in load(file.read_bytes()).items()})
    return NetworkFeatures(
        network,
        SCENES_FEATURES,
        dim=_CHANNELS[-1],
        compute=lambda pictures: network(from_uint8(pictures)),
        device=device,
        batch=_BATCH,
    )


def published_features(
    kind: str, file: Path | None, name: str, *, device: str | torch.device = "cpu"
) -> NetworkFeatures:
    """Load a published backbone, of which the inputs (N, 2048) of its classifier are taken.

    Args:
        kind: ``inception``, ``inception-pytorch-fid``, or ``resnet50`` in torchvision's layout.
        file: A state dict of any training; None for the public Inception weights.
        name: Of the features.
        device: Where to compute.

    Raises:
        ValueError: The weights cannot be fetched, or the file does not hold them.
    """
    network = _resnet50() if kind == "resnet50" else InceptionNetwork()
    load_weights(network, file or fetch_inception())
    network.fc = nn.Identity()
    prepare = _INPUTS[kind]
    return NetworkFeatures(
        network,
        name,
        dim=_FEATURES,
        compute=lambda pictures: network(prepare(pictures)),
        device=device,
    )


def fetch_inception() -> Path:
    """Find the public Inception weights in PyTorch's cache, or fetch them.

    Returns:
        The file, with the checksum that it is known by.

    Raises:
        ValueError: It cannot be fetched, or is damaged.
    """
    # The place where torch-fidelity and torchmetrics keep it: whoever used one has it already.
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
    if not INCEPTION_SHA256.startswith(file_checksum(file)):
        raise ValueError(
            f"{file} is not the public Inception weights: its SHA-256 is not {INCEPTION_SHA256}. "
            "Remove it, and it is fetched again."
        )
    return file


def load_weights(network: nn.Module, file: Path) -> None:
    """Read a state dict into a network, strictly and without running code from the file.

    Raises:
        ValueError: It holds something else, or a tensor is missing, extra or of another shape.
    """
    content = read_content(file)
    chosen = choose_state(file, content, lambda state: fits(network, state) or None)
    state = likely_state(file, content) if chosen is None else chosen[0]
    try:
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{file} does not hold weights of {type(network).__name__}: {reason} Expected a state "
            "dict, tensors by name."
        ) from error
    check_finite(file, network.state_dict())


def like_tensorflow(pictures: Tensor) -> Tensor:
    """Bring pictures to Inception's size as the original graph and torch-fidelity do.

    Bilinear, with the corner of a pixel, not its centre, as its place, and without antialiasing;
    (x - 128) / 128: (N, 3, H, W) uint8 to (N, 3, 299, 299) float32.
    """
    # Axis by axis: a third of the time of torch-fidelity's, within 2.4e-7 of it.
    x = pictures.float()
    for axis in (2, 3):
        size = x.shape[axis]
        steps = torch.arange(_INCEPTION_SIDE, dtype=torch.float32, device=x.device)
        place = steps * (size / _INCEPTION_SIDE)
        low = place.long()
        beside = x.index_select(axis, (low + 1).clamp_max(size - 1))
        share = (place - low).view((-1, 1) if axis == 2 else (-1,))
        x = torch.lerp(x.index_select(axis, low), beside, share)
    return (x - 128) / 128


def like_pytorch_fid(pictures: Tensor) -> Tensor:
    """Bring pictures to Inception's size as pytorch-fid does: half-pixel centres, 2 x / 255 - 1."""
    return 2 * _resized(pictures, _INCEPTION_SIDE, antialias=False) - 1


def _like_torchvision(pictures: Tensor) -> Tensor:
    x = _resized(pictures, _RESNET_SIDE, antialias=True)
    mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (_MEAN, _DEVIATION))
    return (x - mean) / deviation


def _resized(pictures: Tensor, side: int, *, antialias: bool) -> Tensor:
    """Bring bytes to (N, 3, side, side) in [0, 1], with half-pixel centres."""
    x = pictures.float() / 255
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=antialias)


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50  # takes a second to import

    network: nn.Module = resnet50(weights=None)
    return network


_INPUTS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "inception": like_tensorflow,
    "inception-pytorch-fid": like_pytorch_fid,
    "resnet50": _like_torchvision,
}

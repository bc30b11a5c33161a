"""A trained segmenter: pictures in, probability of the foreground out; one file on disk."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gseg.downloads import why_unreadable
from gseg.exactness import exact
from gseg.segmenters.unet import UNet, blank_unet, load_strictly, read_safetensors
from gseg.state_dicts import choose_state, fits, is_safetensors, likely_state, read_content
from gseg.storage.files import replacing
from gseg.transfers import send, start_copy

SHIPPED: Final = "segmenter.safetensors"
"""File of the segmenter that comes with the package, among the weights of scenes."""
_KEY: Final = "gseg.segmenter"
_FIRST: Final = "inc.double_conv.0.weight"
_LAST: Final = "outc.conv.weight"
_FACTS: Final = {"width": int, "depth": int, "provenance": dict}
_SUFFIX: Final = ".safetensors"
_LARGEST_SIDE: Final = 2**14
# Bounds the memory of a prediction: 256 pictures of 32 pixels, 16 of 128.
_PIXELS_AT_ONCE: Final = 2**18


class Segmenter:
    """A frozen U-Net and where it comes from.

    Args:
        network: Two logits, background and foreground; put into evaluation mode and frozen.
        provenance: JSON values: the training's settings (``training``), number of pairs
            (``pairs``), side of the pictures (``resolution``), what the caller adds.

    Raises:
        ValueError: The network has another number of logits.
    """

    def __init__(self, network: UNet, provenance: Mapping[str, Any] | None = None) -> None:
        if network.out_channels != 2:
            raise ValueError(
                f"A segmenter has two logits, background and foreground; this network has "
                f"{network.out_channels}."
            )
        # One memory layout, so that a loaded segmenter gives the bits of the one that was saved.
        self.network = network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self.provenance: dict[str, Any] = json.loads(json.dumps(dict(provenance or {})))
        self.resolution: int | None = self.provenance.get("resolution")
        sides = range(1, _LARGEST_SIDE + 1)
        if self.resolution is not None and self.resolution not in sides:
            raise ValueError(
                f"The resolution of a segmenter is a side in pixels, got {self.resolution!r}."
            )
        self.smallest_side = int(2**network.depth)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def digest(self) -> str:
        """Name the weights by their content, wherever they are: 20 hexadecimal digits."""
        content = hashlib.sha256()
        for key, tensor in sorted(self.network.state_dict().items()):
            content.update(f"{key} {tuple(tensor.shape)}\n".encode())
            content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return content.hexdigest()[:20]

    def to(self, device: str | torch.device) -> "Segmenter":
        """Move the weights; the segmenter itself comes back."""
        self.network.to(device)
        return self

    def probability(self, images: Tensor) -> Tensor:
        """Say how probably each pixel is foreground.

        Args:
            images: (N, 3, H, W) floating point in [-1, 1], on any device; N may be 0.

        Returns:
            (N, H, W) float32 in [0, 1], on the device of the pictures.

        Raises:
            ValueError: The shape of the pictures does not fit.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(
                f"Pictures must be (N, 3, H, W) floating point in [-1, 1], got "
                f"{tuple(images.shape)} {images.dtype}."
            )
        count = max(1, _PIXELS_AT_ONCE // max(1, images.shape[2] * images.shape[3]))
        parts = [self._begin(images[k : k + count]) for k in range(0, len(images), count)]
        if not parts:
            return torch.zeros(0, *images.shape[2:], device=images.device)
        return torch.cat([arrived() for arrived in parts])

    @exact()
    @torch.no_grad()
    def _begin(self, images: Tensor) -> Callable[[], Tensor]:
        """Predict a part; the result is not waited for."""
        inputs = send(images, self.device).to(torch.float32, memory_format=torch.channels_last)
        logits = self.network(inputs)
        # The softmax of two logits is the logistic function of their difference.
        found = torch.sigmoid(logits[:, 1] - logits[:, 0])
        if images.device.type == "cpu":
            return start_copy(found)
        there = found.to(images.device)
        return lambda: there

    def rounded(self) -> "Segmenter":
        """Give a copy whose weights are those that a file of float16 keeps."""
        network = copy.deepcopy(self.network)
        return Segmenter(network.half().float(), self.provenance)

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write one safetensors file that holds weights, shape and provenance.

        Args:
            path: The file; an older one is replaced when the new one is complete.
            dtype: Of the weights in the file; float16 halves it, see `rounded`.

        Raises:
            ValueError: The disk is full.
        """
        network = self.network
        facts = {"width": network.width, "depth": network.depth, "provenance": self.provenance}
        tensors = {
            key: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
            for key, value in network.state_dict().items()
        }
        with replacing(Path(path)) as part:
            save_file(tensors, part, metadata={_KEY: json.dumps(facts, sort_keys=True)})

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "cpu") -> "Segmenter":
        """Read what `save` wrote, or a checkpoint of the papers' programs.

        Args:
            path: Of any name: what it holds says which of the two it is.
            device: Where to put the weights.

        Raises:
            ValueError: The file is no segmenter, or a tensor is missing, extra or mis-shaped.
        """
        try:
            if not _is_own(Path(path)):
                return cls(load_public_unet(path), {"source": Path(path).name}).to(device)
            tensors, facts = _read(Path(path))
            width, depth = _numbers(tensors)
            if (facts["width"], facts["depth"]) != (width, depth):
                raise ValueError(
                    f"it says width {facts['width']} and depth {facts['depth']} of itself, but its "
                    f"tensors are those of {width} and {depth}: it is damaged."
                )
            network = blank_unet(width=width, depth=depth)
            load_strictly(network, tensors, source=str(path))
            return cls(network, facts["provenance"]).to(device)
        except ValueError as error:
            if str(path) in str(error):
                raise
            raise ValueError(f"{path} is no segmenter: {error}") from error

    @classmethod
    def shipped(cls, *, device: str | torch.device = "cpu") -> "Segmenter":
        """Load the segmenter that comes with the package, for pictures of any kind to try.

        It was trained on samples of an embedded generator (`gseg.pretraining.train_segmenter`); its
        provenance says how, and what it scores.
        """
        with as_file(files("gseg.scenes") / "weights" / SHIPPED) as path:
            return cls.load(path, device=device)


def _numbers(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Read width and depth of a U-Net off the shapes of its tensors.

    Raises:
        ValueError: They are not those of a U-Net that takes colours.
    """
    first, last = tensors.get(_FIRST), tensors.get(_LAST)
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        raise ValueError(
            f"it holds no U-Net: expected tensors named like '{_FIRST}' and '{_LAST}', got "
            f"{sorted(tensors)[:4]}."
        )
    if first.shape[1] != 3 or 0 in first.shape:
        raise ValueError(
            f"'{_FIRST}' has the shape {tuple(first.shape)}, expected (width, 3, 3, 3)."
        )
    downs = [key for key in tensors if key.startswith("down")]
    return first.shape[0], sum(key.endswith(".1.double_conv.0.weight") for key in downs)


class Ensemble:
    """Several segmenters as one: the mean of their probabilities.

    Melas-Kyriazi et al. 2022, Table 6: one network of the lighter and one of the darker direction.

    Args:
        segmenters: At least one.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, segmenters: "Sequence[Predictor]") -> None:
        if not segmenters:
            raise ValueError("An ensemble needs at least one segmenter, got none.")
        self.segmenters = tuple(segmenters)
        sides = {segmenter.resolution for segmenter in segmenters}
        self.resolution: int | None = sides.pop() if len(sides) == 1 else None
        self.smallest_side: int = max(segmenter.smallest_side for segmenter in segmenters)

    def probability(self, images: Tensor) -> Tensor:
        """See `Segmenter.probability`."""
        return torch.stack([each.probability(images) for each in self.segmenters]).mean(0)


Predictor = Segmenter | Ensemble
"""What gives each pixel a probability; `resolution` is the side that it was trained on, if known,
and `smallest_side` the least height and width of a picture."""


def _is_own(path: Path) -> bool:
    """Say whether it is, or was meant to be, what `Segmenter.save` wrote, whatever its name."""
    if not path.is_file():
        return True
    return is_safetensors(path) or (path.suffix.lower() == _SUFFIX and not is_zipfile(path))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    advice = "expected a .safetensors file that Segmenter.save wrote, or a public .ckpt or .pth"
    if not path.is_file():
        raise ValueError(f"There is no segmenter at {path}; {advice}.")
    try:
        tensors, metadata = read_safetensors(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"Cannot read segmenter {path} ({why_unreadable(path, error)}); {advice}."
        ) from error
    facts = json.loads(metadata.get(_KEY, "{}"))
    if not isinstance(facts, dict) or any(
        not isinstance(facts.get(name), kind) for name, kind in _FACTS.items()
    ):
        raise ValueError(f"{path} is no segmenter; {advice}.")
    return tensors, facts


def load_public_unet(path: str | Path) -> UNet:
    """Read a U-Net that the papers' programs saved, or another trainer.

    Two containers are in use there: a PyTorch Lightning checkpoint, whose ``state_dict`` carries
    the prefix ``net.``, and the flat ``segmentation.pth`` of Voynov et al. 2021; others are found
    as `gseg.state_dicts` does. Width, depth and number of logits are read from the tensors' shapes.

    Args:
        path: A ``.ckpt`` or ``.pth`` file.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ValueError: The file is no such checkpoint, or a tensor is missing, extra or mis-shaped.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {path}.")
    try:
        content = read_content(path)
    except ValueError as error:
        raise ValueError(
            f"{error} Expected a state dict as torch.save or PyTorch Lightning writes it."
        ) from error
    chosen = choose_state(path, content, _fit)
    state = likely_state(path, content) if chosen is None else chosen[0]
    network = _blank(state) if chosen is None else chosen[1]
    load_strictly(network, state, source=str(path))
    return network.eval()


def _blank(state: Mapping[str, Tensor]) -> UNet:
    """Make the network whose tensors have these shapes; it has none of their numbers yet."""
    width, depth = _numbers(state)
    return blank_unet(3, state[_LAST].shape[0], width=width, depth=max(depth, 1))


def _fit(state: Mapping[str, Tensor]) -> UNet | None:
    try:
        network = _blank(state)
    except ValueError:
        return None
    return network if fits(network, state) else None

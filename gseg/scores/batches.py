"""Read a benchmark's pictures, bring them to working size, and batch those of equal shape."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.images import UnreadableImageError
from gseg.scores.benchmarks import Benchmark, Example

EvalProtocol = Literal["text", "melas_program"]

_WAITING_BATCHES: Final = 8
"""Pictures of rare shapes wait for company until this many batches of pictures are held."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A picture at working size and the mask that it is scored with.

    Attributes:
        index: Position in the benchmark.
        id: Name within the benchmark.
        picture: (3, h, w) uint8.
        mask: (H, W) bool; H = h and W = w unless scores are taken at the mask's own size.
    """

    index: int
    id: str
    picture: Tensor
    mask: Tensor


def working_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Scale a shape so that its shorter side is `size`; the longer is rounded down.

    Args:
        height: Rows.
        width: Columns.
        size: Shorter side afterwards.

    Returns:
        Height and width.
    """
    shorter = min(height, width)
    return height * size // shorter, width * size // shorter


def prepare(example: Example, index: int, protocol: EvalProtocol, size: int) -> Prepared:
    """Resize a picture, and the mask with it where the protocol says so.

    Args:
        example: The picture with its mask.
        index: Position in the benchmark.
        protocol: "text" resizes the mask, "melas_program" keeps it.
        size: Shorter side afterwards.

    Returns:
        What the segmenter sees and what it is scored with.
    """
    picture, mask = example.picture, example.mask
    shape = working_shape(mask.shape[0], mask.shape[1], size)
    if shape != tuple(mask.shape):
        picture = F.interpolate(
            picture[None], size=shape, mode="bilinear", align_corners=False, antialias=True
        )[0]
        if protocol == "text":
            bytes_ = mask.to(torch.uint8)[None, None]
            mask = F.interpolate(bytes_, size=shape, mode="nearest-exact")[0, 0].bool()
    return Prepared(index=index, id=example.id, picture=picture, mask=mask)


def resize_probability(probability: Tensor, mask: Tensor) -> Tensor:
    """Bring probabilities to the size of the masks that they are scored with.

    Args:
        probability: (N, h, w) floating point in [0, 1].
        mask: (N, H, W).

    Returns:
        (N, H, W) in [0, 1], the same tensor where the sizes agree.
    """
    if probability.shape == mask.shape:
        return probability
    planes = probability[:, None].float()
    resized = F.interpolate(planes, size=mask.shape[1:], mode="bilinear", align_corners=False)
    return resized[:, 0].clamp(0, 1)  # interpolation may round beyond the range


def equal_shapes(
    benchmark: Benchmark,
    protocol: EvalProtocol,
    size: int,
    batch: int,
    unreadable: list[str],
) -> Iterator[list[Prepared]]:
    """Go through a benchmark in groups of equal shape, holding few pictures at a time.

    Args:
        benchmark: The pictures.
        protocol: See `prepare`.
        size: See `prepare`.
        batch: Pictures in a group, at most.
        unreadable: Takes one line for each damaged file, if the benchmark skips these.

    Yields:
        Groups that together are all readable pictures, each once.

    Raises:
        UnreadableImageError: A file is damaged and the benchmark does not skip it.
    """
    waiting: dict[tuple[torch.Size, torch.Size], list[Prepared]] = {}
    held = 0
    for index in range(len(benchmark)):
        try:
            example = benchmark[index]
        except UnreadableImageError as error:
            if not benchmark.skip_bad:
                raise
            unreadable.append(str(error))
            continue
        prepared = prepare(example, index, protocol, size)
        group = waiting.setdefault((prepared.picture.shape, prepared.mask.shape), [])
        group.append(prepared)
        held += 1
        if len(group) < batch and held < _WAITING_BATCHES * batch:
            continue
        key = max(waiting, key=lambda shape: len(waiting[shape]))
        full = waiting.pop(key)
        held -= len(full)
        yield full
    yield from waiting.values()
